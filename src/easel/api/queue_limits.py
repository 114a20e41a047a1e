"""How much may wait at a time, in all and of one account."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from easel.api.input_files import Size
from easel.api.problems import Problem

MB = 1_000_000


class Waiting(Protocol):
    @property
    def account(self) -> str: ...

    @property
    def size(self) -> Size: ...


@dataclass(frozen=True)
class QueueLimits:
    """Each of `accounts` has an equal share that no other one can take, and may always have one. Sizes in bytes."""

    accounts: int
    predictions: int = 1000
    rows: int = 64 * MB  # in memory, together
    files: int = 8000 * MB  # on disk, together

    def check(self, account: str, size: Size, waiting: Iterable[Waiting]) -> None:
        """Raise Problem (429) if `account` has no room for one more of this size."""
        mine = [one.size for one in waiting if one.account == account] + [size]
        rows, files = sum(one.row for one in mine), sum(one.files for one in mine)
        for used, total, what in (
            (len(mine), self.predictions, "{:.0f} predictions"),
            (rows / MB, self.rows / MB, "{:g} MB of inputs without their files"),
            (files / MB, self.files / MB, "{:g} MB of files"),
        ):
            share = total / self.accounts
            if used > share and len(mine) > 1:
                sentence = (
                    f"The queue is full: {what.format(share)} wait, as much as an account may have. Try again later."
                )
                raise Problem(429, sentence, retry_after=5)
