"""One accepted prediction while it has not ended, and what is read out of a Cog server's words about it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from easel.api.cogs import CogServer
from easel.api.input_files import Size
from easel.api.signed import without_queries
from easel.api.tables import Prediction

WARNING = "Warning: "


@dataclass(eq=False)
class Run:
    """A prediction that has not ended."""

    prediction: Prediction
    size: Size = field(default_factory=Size)  # of its input
    server: CogServer | None = None  # while one may have it
    accepted: bool = False  # by that server
    canceling: str = ""  # or the status with which it is to end
    ending: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.id, self.account = self.prediction.id, self.prediction.account
        # What stands before the server's log; after a restart the rest comes anew.
        lines = self.prediction.logs.splitlines(keepends=True)
        self.preface = "".join(line for line in lines if line.startswith(WARNING))
        if self.prediction.cancel_requested:  # before a restart, and sent then
            self.canceling = "canceled"

    @property
    def version(self) -> str:
        return self.prediction.version


async def ends_within(run: Run, seconds: float) -> bool:
    try:
        await asyncio.wait_for(run.ended.wait(), seconds)
    except TimeoutError:
        return False
    return True


def refusal(answer: Any) -> str:
    """Return why a Cog server did not take a prediction, from its answer."""
    detail = (answer.get("detail") or answer.get("error") or answer) if isinstance(answer, dict) else answer
    if isinstance(detail, list) and all(isinstance(one, dict) and isinstance(one.get("loc"), list) for one in detail):
        detail = "; ".join(f"{'.'.join(map(str, one['loc'][2:]))}: {one.get('msg')}" for one in detail[:20])
    return without_queries(str(detail)[:2000])
