"""`samples/`: the requests to start from, the pictures they made, and which files of the repository are shown."""

import json
from pathlib import Path
from typing import Any

# No SVG and no HTML: an address of its own would let them run scripts.
SHOWN = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".safetensors"}
FOLDERS = ("samples", "docs")


def find_file(root: Path, name: str) -> Path | None:
    """A picture or LoRA in one of the folders that are shown; `name` comes from an address."""
    path = (root / name).resolve()
    folders = [(root / folder).resolve() for folder in FOLDERS]
    if path.suffix.lower() not in SHOWN or not any(path.is_relative_to(folder) for folder in folders):
        return None
    return path if path.is_file() else None


def read_examples(root: Path) -> list[dict[str, Any]]:
    """Each with `name`, `input` and `output`; a file is {"file": its address on this server, "name": ...}."""
    examples = []
    for request in sorted((root / "samples" / "requests").glob("*.json")):
        outputs = sorted((root / "samples" / "outputs").glob(f"{request.stem}.*"))
        try:
            given = json.loads(request.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # One that is being edited must not take the page away.
        if outputs and isinstance(given, dict):
            inputs = {name: locate(value, request.parent, root) for name, value in given.items()}
            pictures = [address(path, root)["file"] for path in outputs]
            examples.append({"name": request.stem, "input": inputs, "output": pictures})
    return examples


def locate(value: Any, folder: Path, root: Path) -> Any:
    """`@path` as the requests write a file, relative to their folder."""
    if isinstance(value, list):
        return [locate(one, folder, root) for one in value]
    if isinstance(value, str) and value.startswith("@"):
        return address((folder / value[1:]).resolve(), root)
    return value


def address(path: Path, root: Path) -> dict[str, str]:
    return {"file": f"/repository/{path.resolve().relative_to(root.resolve()).as_posix()}", "name": path.name}
