"""What the tests of the store share."""

import os
from pathlib import Path

FILES = {"transformer/model.safetensors": os.urandom(300_000), "vae/config.json": b'{"width": 8}', "vae/empty": b""}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def put(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
