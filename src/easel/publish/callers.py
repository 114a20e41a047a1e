"""Which lines of the callers that this repository knows stop working with a break of the schema."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from easel.errors import InputError
from easel.schema.compat import Break

KNOWN = ("samples/requests", "samples/clients", "README.md")
SKIPPED = {"node_modules", "__pycache__"}
MAX_BYTES = 2**20  # what is larger is no program of a caller
AT_LEAST = ("minimum", "minLength")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
TEXT = re.compile(r"""(["'])(.*?)(?<!\\)\1""")


@dataclass(frozen=True)
class CallerLine:
    path: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.text.strip()[:160]}"


def find_lines(change: Break, files: Sequence[tuple[str, str]]) -> list[CallerLine]:
    """Return the lines of `files` (name and text) that break, as far as one can tell by reading them one at a time."""
    found: list[CallerLine] = []
    if change.prefix:  # A line does not tell a training from a prediction.
        return found
    for path, text in files:
        if change.kind == "required":
            found += lines_without(change.input, path, text)
        elif change.kind != "output":
            numbered = enumerate(text.splitlines(), 1)
            found += [CallerLine(path, number, line) for number, line in numbered if is_hit(change, line)]
    return found


def is_hit(change: Break, line: str) -> bool:
    name = re.escape(change.input)
    # "seed": 1, seed=1, seed: 1 and input["seed"]; not seeds, my_seed or the `seed` of a table
    uses = re.finditer(rf"""(?<![\w$-])(["']?){name}\1(\s*[:=](?!=)|\])\s*=?\s*""", line)
    return any(breaks_value(change, line[use.end() :]) for use in uses)


def breaks_value(change: Break, value: str) -> bool:
    """Return whether what follows the name is something that no longer works; what cannot be read counts."""
    if change.kind == "choice":
        return bool(re.match(rf"""["'`]?{re.escape(str(change.value))}(?![\w:.-])""", value))
    if change.kind == "enum":
        return not any(re.match(rf"""["'`]?{re.escape(str(choice))}(?![\w:.-])""", value) for choice in change.value)
    if change.kind == "null":
        return bool(re.match(r"(null|None)\b", value))
    given: float
    if change.kind in ("minimum", "maximum"):
        number = NUMBER.match(value)
        if not number:
            return True
        given = float(number[0])
    elif change.kind in ("minLength", "maxLength"):
        text = TEXT.match(value)
        if not text:
            return True
        given = len(text[2])
    else:
        return True
    return bool(given < change.value if change.kind in AT_LEAST else given > change.value)


def lines_without(name: str, path: str, text: str) -> list[CallerLine]:
    """Return a request that does not send an input that is now required. Only of a request's JSON can that be told."""
    if not path.endswith(".json"):
        return []
    try:
        inputs = json.loads(text)
    except ValueError:
        return []
    if not isinstance(inputs, dict) or name in inputs:
        return []
    return [CallerLine(path, 1, text.splitlines()[0])]


def read_callers(root: Path, more: Sequence[Path]) -> list[tuple[str, str]]:
    """Return all texts of the repository's own callers and of the folders or files in `more`."""
    for path in more:
        if not path.exists():
            raise InputError(f"--callers {path}: there is no such file or folder.")
    files = {}
    for start in [*(root / name for name in KNOWN), *more]:
        for path in texts_in(start):
            name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
            try:
                files[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return sorted(files.items())


def texts_in(start: Path) -> Iterator[Path]:
    for path in [start] if start.is_file() else sorted(start.rglob("*")):
        inside = path.relative_to(start).parts
        if any(part in SKIPPED or part.startswith(".") for part in inside):
            continue
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            yield path
