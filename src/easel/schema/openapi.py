"""`predict.py` and `train.py` -> `openapi.json`: the published contract, the document that `cog build` would write.

Cog stamps its own release as `info.version`, and takes the document as it is from a file named in COG_OPENAPI_SCHEMA.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from easel.files import write_atomically
from easel.schema.compat import breaking_changes
from easel.schema.document import paths_of, schemas_of
from easel.schema.inputs import SchemaError
from easel.schema.reader import read_runner, read_trainer

__all__ = [
    "COG_VERSION",
    "SchemaError",
    "breaking_changes",
    "check_schema",
    "install_schema",
    "openapi",
    "read_runner",
    "read_trainer",
    "to_json",
    "write_schema",
]

COG_VERSION = "0.23.1"  # requirements.txt pins the same; a test holds the two equal


def openapi(path: Path) -> dict[str, Any]:
    """Return the OpenAPI 3.0.2 document of the runner in `path` and of the trainer in the train.py beside it, if any.

    Raises `SchemaError` for what Cog would drop or refuse.
    """
    runner, train = read_runner(path), path.with_name("train.py")
    trainer = read_trainer(train) if train.is_file() else None
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": COG_VERSION},
        "paths": paths_of(trainer),
        "components": {"schemas": schemas_of(runner, trainer)},
    }


def to_json(document: dict[str, Any]) -> str:
    """Return the text of `openapi.json`: keys in the order of the document, so that the same source gives the same
    bytes.
    """
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_schema(root: Path) -> bool:
    """Write `openapi.json` from `predict.py` and `train.py`; whether it changed."""
    return _write(root / "openapi.json", to_json(openapi(root / "predict.py")))


def install_schema(root: Path) -> bool:
    """Put the document where Cog's server looks, `.cog/openapi_schema.json`; without it, it accepts any input."""
    return _write(root / ".cog" / "openapi_schema.json", to_json(openapi(root / "predict.py")))


def check_schema(root: Path, base: str = "HEAD") -> list[str]:
    """Return what is wrong with the committed contract, a sentence each: unreadable, stale, or breaking callers of
    `base`.

    `base` is the Git revision whose `openapi.json` callers rely on. Outside of Git, or where that revision has no such
    file, there is nothing to break.
    """
    try:
        document = openapi(root / "predict.py")
    except SchemaError as error:
        return str(error).splitlines()
    problems = []
    published = root / "openapi.json"
    if not published.is_file():
        problems.append("openapi.json is missing; write it with `easel schema`")
    elif published.read_text(encoding="utf-8") != to_json(document):
        problems.append("openapi.json is not what predict.py and train.py say; write it again with `easel schema`")
    promised = _committed(root, base)
    if promised is not None:
        problems += [f"breaks callers of {base}: {change}" for change in breaking_changes(promised, document)]
    return problems


def _committed(root: Path, base: str) -> dict[str, Any] | None:
    try:
        shown = subprocess.run(
            ["git", "-C", str(root), "show", f"{base}:./openapi.json"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git
        return None
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def _write(path: Path, text: str) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path, sync=False) as stream:
        stream.write(text.encode())
    return True
