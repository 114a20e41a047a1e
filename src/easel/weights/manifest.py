"""A model's lock file, `weights.lock`: which files it consists of, their sizes and digests, and the check of both.

JSON: {"files": [{"path": ..., "size": bytes, "digest": "sha256:<64 hex>"}, ...]}, paths relative to the folder.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from easel.errors import WeightsError

LOCK_NAME = "weights.lock"
UNLOCKED = {LOCK_NAME, LOCK_NAME + ".tmp", "model.yaml", "README.md"}  # hand-written or about the weights, not weights


@dataclass(frozen=True)
class LockedFile:
    path: str  # relative, with forward slashes
    size: int  # bytes
    digest: str  # "sha256:" and 64 hex digits


@dataclass(frozen=True)
class Manifest:
    files: tuple[LockedFile, ...]

    @property
    def digest(self) -> str:
        """One "sha256:..." for the whole model: over the digests and paths of its files, in order of path."""
        lines = "".join(f"{file.digest}  {file.path}\n" for file in sorted(self.files, key=lambda file: file.path))
        return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def parse_manifest(text: str | bytes, name: str = LOCK_NAME) -> Manifest:
    """Raises WeightsError for anything that is not a lock file, or names a path outside the model's folder."""
    try:
        files = tuple(LockedFile(**entry) for entry in json.loads(text)["files"])
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{name} is not a lock file ({error}): restore it from the repository.") from error
    for file in files:
        problem = entry_problem(file)
        if problem:
            raise WeightsError(f"{name}: {problem}: restore it from the repository.")
    if len({file.path for file in files}) != len(files) or not files:
        raise WeightsError(f"{name} names no file, or one twice: restore it from the repository.")
    return Manifest(files)


def entry_problem(file: LockedFile) -> str | None:
    if not isinstance(file.path, str) or not isinstance(file.digest, str) or type(file.size) is not int:
        return f"{file} has a value of the wrong type"
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath(".") or re.search(r"[\\\x00-\x1f]", file.path):
        return f"path {file.path!r} leaves the model's folder"
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", file.digest):
        return f"digest {file.digest!r} of {file.path} is not sha256: and 64 hex digits"
    return f"size {file.size} of {file.path} is negative" if file.size < 0 else None


def read_manifest(folder: Path) -> Manifest:
    path = folder / LOCK_NAME
    if not path.is_file():
        raise WeightsError(f"{path} is missing: the model's files cannot be proven. Restore it from the repository.")
    return parse_manifest(path.read_bytes(), str(path))


def verify_files(manifest: Manifest, folder: Path) -> None:
    """Presence first, then size, then digest of every file, and none beside them; all problems in one WeightsError."""
    problems = [problem for file in manifest.files if (problem := file_problem(file, folder))]
    listed = {file.path for file in manifest.files}
    # A loader picks files by name: one that is not listed could be read instead of one that is.
    problems += [f"{path} is not listed" for path in relative_paths(folder) if path not in listed]
    if problems:
        raise WeightsError(
            f"The files in {folder} are not the {len(manifest.files)} of {LOCK_NAME}: {'; '.join(problems)}. "
            "Restore them from the repository."
        )


def relative_paths(folder: Path) -> list[str]:
    """All files of a model's folder that a lock lists, in order; hidden ones (.DS_Store) are no part of a model."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    visible = (path for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(path.as_posix() for path in visible if path.as_posix() not in UNLOCKED)


def file_problem(file: LockedFile, folder: Path) -> str | None:
    path = folder / file.path
    if not path.is_file():
        return f"{file.path} is missing"
    size = path.stat().st_size
    if size != file.size:
        return f"{file.path} has {size} bytes instead of {file.size}"
    digest = digest_of(path)
    return None if digest == file.digest else f"{file.path} has digest {digest} instead of {file.digest}"


def digest_of(path: Path) -> str:
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def lock_folder(folder: Path) -> Manifest:
    """Write `folder/weights.lock` from the files that are there now."""
    paths = relative_paths(folder)
    if not paths:
        raise WeightsError(f"There is no file to lock in {folder}.")
    manifest = Manifest(
        tuple(LockedFile(path, (folder / path).stat().st_size, digest_of(folder / path)) for path in paths)
    )
    text = json.dumps({"files": [asdict(file) for file in manifest.files]}, indent=1) + "\n"
    temporary = folder / (LOCK_NAME + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / LOCK_NAME)
    return manifest
