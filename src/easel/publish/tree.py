"""The tree that is pushed, as Git knows it."""

import subprocess
from pathlib import Path

from easel.errors import InputError


def commit_of(root: Path) -> str:
    return _git(root, "rev-parse", "HEAD").strip()


def changed_files(root: Path) -> list[str]:
    """Files that differ from the commit, and those that Git does not know and does not ignore."""
    listed = _git(root, "status", "--porcelain", "--untracked-files=all", "-z").split("\0")
    return [entry[3:] for entry in listed if entry[2:3] == " "]  # a renamed file's old name has no status before it


def check_clean(root: Path, allowed: str | None = None) -> None:
    """What is pushed is a commit. `allowed` names a file that may differ all the same."""
    changed = [name for name in changed_files(root) if name != allowed]
    if changed:
        raise InputError(
            "The tree is not clean, and only a commit is pushed. Commit, remove or ignore these:\n  "
            + "\n  ".join(changed)
        )


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError("script/push needs git on the PATH, since what is pushed is a commit.") from None
    if done.returncode:
        raise InputError(f"{root} is not a Git repository with a commit: {done.stderr.strip()}")
    return done.stdout
