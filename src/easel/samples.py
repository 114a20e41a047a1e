"""Read a folder of sample requests: NAME.json holds the inputs of one, and "@FILE" in it names a file beside it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easel.errors import InputError


@dataclass(frozen=True)
class Sample:
    """One request, as `path` has it: `inputs` by their names."""

    path: Path
    inputs: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem

    def file_of(self, value: Any) -> Path | None:
        """Return the file that a value of the inputs names, if it names one."""
        return self.path.parent / value[1:] if isinstance(value, str) and value.startswith("@") else None

    def with_files(self, replace: Callable[[Path], Any]) -> dict[str, Any]:
        """Return the inputs with `replace(path)` for each file that they name, also in a list."""

        def replaced(value: Any) -> Any:
            if isinstance(value, list):
                return [replaced(item) for item in value]
            path = self.file_of(value)
            return value if path is None else replace(path)

        return {name: replaced(value) for name, value in self.inputs.items()}


def read_samples(folder: Path) -> list[Sample]:
    """Return the samples in `folder`, by name. Raises InputError if there is none, or one is not a JSON object."""
    samples = []
    for path in sorted(folder.glob("*.json")):
        try:
            inputs = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} must be JSON, and is not ({error}).") from None
        if not isinstance(inputs, dict):
            raise InputError(f'{path} must hold an object of inputs, as in {{"prompt": "a red apple"}}.')
        samples.append(Sample(path, inputs))
    if not samples:
        raise InputError(f"There is no request in {folder}: put the inputs of one in NAME.json.")
    return samples
