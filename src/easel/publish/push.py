"""What the steps of a push share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.publish.replicate_api import Replicate, open_api
from easel.publish.state import State
from easel.publish.target import CogFile, Target


@dataclass(frozen=True)
class Push:
    """All that the steps share. `checks` is the state of the commit alone, `state` that of the commit and the model."""

    root: Path
    commit: str
    cog_file: CogFile
    target: Target | None
    checks: State
    state: State
    folder: Path  # for images and the contact sheet
    cases_folder: Path
    hardware: str
    price: float
    allow_break: bool = False
    callers: Sequence[Path] = field(default_factory=tuple)
    deployment: str | None = None
    lock: int | None = None  # the descriptor that `cog` inherits

    @cached_property
    def api(self) -> Replicate:
        return open_api()

    @cached_property
    def document(self) -> dict[str, Any]:
        path = self.root / "openapi.json"
        try:
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return document
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}): write it with easel schema.") from None

    @property
    def required_target(self) -> Target:
        if self.target is None:
            raise InputError("Which model? Name IMAGE, as HOST/OWNER/NAME, or write it as `image:` into the Cog file.")
        return self.target
