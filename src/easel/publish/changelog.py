"""`CHANGELOG.md`: what changed, and a record of each version that was released, newest first. script/push writes it."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easel.files import write_atomically
from easel.weights.manifest import read_manifest

NAME = "CHANGELOG.md"
HEADING = """# Changelog

What changed for callers and operators stands under each version of Easel. `script/push --release` writes a record for
every version of a model that it publishes, the newest first; see docs/push.md.
"""


@dataclass(frozen=True)
class Record:
    model: str
    version: str
    commit: str
    day: datetime.date
    cog_file: str
    weights: Path  # the folder with the lock
    live: str | None  # the version before
    differences: Sequence[str]
    cases: Sequence[str]
    deployment: str | None = None


def write_record(root: Path, record: Record) -> bool:
    """Put the record on top. False where the version is there already: a run that was broken off wrote it."""
    path = root / NAME
    text = path.read_text(encoding="utf-8") if path.is_file() else HEADING
    if f"- version `{record.version}`" in text:
        return False
    head, mark, older = text.partition("\n## ")
    with write_atomically(path) as stream:
        stream.write(f"{head.rstrip()}\n\n{record_text(record)}{mark}{older}".encode())
    return True


def record_text(record: Record) -> str:
    lock = read_manifest(record.weights)
    tensors = [file for file in lock.files if file.path.endswith(".safetensors")]
    deployment = f"- deployment `{record.deployment}` runs it\n" if record.deployment else ""
    schema = (
        f"schema, since `{record.live}`:{listed(record.differences)}" if record.live else "schema: the first version"
    )
    return (
        f"## {record.day.isoformat()} {record.model}\n\n"
        f"- version `{record.version}`, commit `{record.commit}`, `{record.cog_file}`\n{deployment}"
        f"- weights of {record.weights.name}: `{lock.digest}`\n"
        + "".join(f"  - `{file.path}`: `{file.digest}`\n" for file in tensors)
        + f"- {schema}\n"
        + f"- cases:{listed(record.cases)}\n"
    )


def listed(lines: Sequence[str]) -> str:
    return "".join(f"\n  - {line}" for line in lines) or " no difference"
