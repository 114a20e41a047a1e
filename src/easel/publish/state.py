"""What a push has done already, on disk: a run that was broken off goes on where it stopped."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from easel.errors import InputError
from easel.files import write_atomically


class State:
    """A JSON document that is written anew, whole, with every change. Values are reached by the path of their keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._values = {}
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error}). Remove it to begin this push anew.") from None

    def get(self, *keys: str, default: Any = None) -> Any:
        value = self._values
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return default
            value = value[key]
        return value

    def set(self, *keys: str, value: Any) -> None:
        at = self._values
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = value
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(self.path) as stream:
            stream.write(json.dumps(self._values, indent=1, ensure_ascii=False).encode())


@contextmanager
def push_lock(path: Path) -> Iterator[int]:
    """Hold the lock of the only push of this tree.

    The descriptor is passed on to `cog`, so that it holds as long as a push that was killed leaves its `cog` behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                "Another push of this tree is running, or the cog that it started. Wait until it has ended."
            ) from None
        yield file.fileno()
