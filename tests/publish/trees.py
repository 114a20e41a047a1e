"""A small Git tree that can be pushed: what step 1 runs there are scripts of its own, as in every tree."""

import json
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """#!/bin/sh
echo "$0 $*" >> .cache/steps
test -z "$REPLICATE_API_TOKEN" || exit 3 # no check needs it
test ! -e ".cache/fail-$(basename "$0")"
"""
CASES = ("red-apple", "dog-16x9", "four-robots")
FILES = (
    ".gitignore",
    "README.md",
    "cog.yaml",
    "cog.emoji.yaml",
    "openapi.json",
    "predict.py",
    "train.py",
    "samples/grid.png",
)


def make_tree(folder: Path, cases: tuple[str, ...] = CASES) -> Path:
    for name in FILES:
        copy(name, folder)
    for path in (REPOSITORY / "docs").glob("*.png"):  # The README shows them.
        copy(str(path.relative_to(REPOSITORY)), folder)
    for path in sorted((REPOSITORY / "samples").glob("*/*")):
        if path.parent.name != "requests" or path.stem in cases:
            copy(str(path.relative_to(REPOSITORY)), folder)
    for path in (folder / "samples" / "requests").glob("*.json"):  # the same requests, sooner done
        given = json.loads(path.read_text()) | {"num_inference_steps": 2}
        if "num_outputs" in given:
            given["num_outputs"] = 2
        path.write_text(json.dumps(given) + "\n")
    for model in ("emoji", "z-image-turbo"):
        for name in ("model.yaml", "weights.lock"):
            copy(f"weights/{model}/{name}", folder)
    for name in ("script/lint", "script/test", ".venv/bin/easel"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SCRIPT)
        (folder / name).chmod(0o755)
    (folder / ".cache").mkdir()
    git(folder, "init", "--quiet")
    commit(folder, "a tree to push")
    return folder


def copy(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(REPOSITORY / name, folder / name)


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD").strip()


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True).stdout


def steps_run(folder: Path) -> list[str]:
    """The scripts of step 1 that ran, in order."""
    path = folder / ".cache" / "steps"
    return [Path(line.split()[0]).name for line in path.read_text().splitlines()] if path.exists() else []


def document() -> dict:
    return json.loads((REPOSITORY / "openapi.json").read_text())


def take_away_16_9(root: Path) -> None:
    path = root / "openapi.json"
    document = json.loads(path.read_text())
    document["components"]["schemas"]["aspect_ratio"]["enum"].remove("16:9")
    path.write_text(json.dumps(document))
    commit(root, "no more 16:9")


def keep_one_case(root: Path) -> None:
    for case in CASES[1:]:
        (root / "samples" / "requests" / f"{case}.json").unlink()
    commit(root, "one case")
