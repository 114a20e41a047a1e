"""A model's lock file, `weights.lock`: which files it consists of, their sizes and digests, and the check of both.

JSON: {"files": [{"path": ..., "size": bytes, "digest": "sha256:<64 hex>"}, ...]}, paths relative to the folder. A file
that is not in the repository also has its "source", pinned to a revision. For such a one the size may be null, and the
digest too, or "md5:<32 hex>" as its publisher gave it, until `easel weights lock` has filled them in.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from types import NoneType

from easel.errors import WeightsError
from easel.files import write_atomically
from easel.weights.sources import WeightSource, parse_weight_source

LOCK_NAME = "weights.lock"
DIGEST = r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}"
PIECE_BYTES = 32 * 2**20  # few, since after each a thread waits for the interpreter, which may be importing
# Written by hand, or about the weights, or of no weight: without previews the images are the same.
UNLOCKED = {LOCK_NAME, LOCK_NAME + ".tmp", "model.yaml", "preview.json", "README.md"}


@dataclass(frozen=True)
class LockedFile:
    path: str  # relative, with forward slashes
    size: int | None  # bytes
    digest: str | None  # "sha256:" and 64 hex digits, or "md5:" and 32
    source: str | None = None  # hf://owner/name@REVISION/filename, https://..., file:...; None: beside the lock

    @property
    def parsed_source(self) -> WeightSource:
        """Where the file comes from. Raises WeightsError if `source` is not one, or is None."""
        return parse_weight_source(self.source or "")

    @property
    def blob_name(self) -> str:
        """The file's digest. Raises WeightsError if it has none yet."""
        if self.digest is None:
            raise WeightsError(f"{self.path} has no digest in {LOCK_NAME}: run `easel weights lock`.")
        return self.digest

    @property
    def is_pinned(self) -> bool:
        """Whether size and SHA-256 are known: nothing is left for `easel weights lock` to fill in."""
        return self.size is not None and (self.digest or "").startswith("sha256:")


@dataclass(frozen=True)
class Manifest:
    files: tuple[LockedFile, ...]

    @property
    def digest(self) -> str:
        """One "sha256:..." for the whole model: over the digests and paths of its files, in order of path."""
        lines = "".join(f"{file.digest}  {file.path}\n" for file in sorted(self.files, key=lambda file: file.path))
        return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def parse_manifest(text: str | bytes, name: str = LOCK_NAME) -> Manifest:
    """Return the manifest.

    Raises WeightsError for what is not a lock file, or names a path outside the model's folder.
    """
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
    texts = (file.path, file.digest or "", file.source or "")
    if not all(isinstance(text, str) for text in texts) or type(file.size) not in (int, NoneType):
        return f"the entry of {str(file.path)[:200]!r} has a value of the wrong type"
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath(".") or re.search(r"[\\\x00-\x1f]", file.path):
        return f"path {file.path!r} leaves the model's folder"
    if file.digest is not None and not re.fullmatch(DIGEST, file.digest):
        return f"digest {file.digest!r} of {file.path} is not sha256: and 64 hex digits, nor md5: and 32"
    if file.source is None and not file.is_pinned:
        return f"{file.path} lies beside the lock, so it needs a size and a sha256"
    if (file.size or 0) < 0:
        return f"size {file.size} of {file.path} is negative"
    return source_problem(file) if file.source is not None else None


def source_problem(file: LockedFile) -> str | None:
    try:
        _ = file.parsed_source
    except WeightsError as error:
        return f"{file.path}: {str(error).removesuffix('.')}"
    return None


def read_manifest(folder: Path) -> Manifest:
    path = folder / LOCK_NAME
    if not path.is_file():
        raise WeightsError(f"{path} is missing: the model's files cannot be verified. Restore it from the repository.")
    return parse_manifest(path.read_bytes(), str(path))


def check_files(manifest: Manifest, folder: Path) -> None:
    """That all files are there with their sizes and none beside them, in one WeightsError; no byte is read for it:
    the caller must still verify their digests.
    """
    problems = [file_problem(file, folder) for file in manifest.files]
    raise_problems([*problems, *unlisted(manifest, folder)], manifest, folder)


def raise_problems(problems: Iterable[str | None], manifest: Manifest, folder: Path) -> None:
    found = [problem for problem in problems if problem]
    if found:
        raise WeightsError(
            f"The files in {folder} are not the {len(manifest.files)} of {LOCK_NAME}: {'; '.join(found)}. "
            "Put the right ones there, and see that they may be read."
        )


def unlisted(manifest: Manifest, folder: Path) -> list[str]:
    """Return why a file beside the lock is refused: a loader could read it instead of one that is listed."""
    listed = {file.path for file in manifest.files}
    return [f"{path} is not listed" for path in relative_paths(folder) if path not in listed]


def relative_paths(folder: Path) -> list[str]:
    """Return all files of a model's folder that a lock lists, in order; hidden ones (.DS_Store) are no part of a
    model.
    """
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    visible = (path for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(path.as_posix() for path in visible if path.as_posix() not in UNLOCKED)


def file_problem(file: LockedFile, folder: Path) -> str | None:
    path = folder / file.path
    if not path.is_file():
        return f"{file.path} is missing"
    size = path.stat().st_size
    return f"{file.path} has {size} bytes instead of {file.size}" if file.size not in (None, size) else None


def digest_problem(file: LockedFile, folder: Path) -> str | None:
    if file.digest is None:
        return f"{file.path} has no digest in {LOCK_NAME}"
    digest = digest_of(folder / file.path, file.digest.partition(":")[0])
    return None if digest == file.digest else f"{file.path} has digest {digest} instead of {file.digest}"


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in pieces(path):
        digest.update(piece)
    return f"{algorithm}:{digest.hexdigest()}"


def pieces(path: Path) -> Iterator[memoryview]:
    """Yield the bytes of a file, in pieces that each are gone when the next one is asked for."""
    with path.open("rb", buffering=0) as stream:
        buffer = memoryview(bytearray(min(PIECE_BYTES, path.stat().st_size)))
        while count := stream.readinto(buffer):
            yield buffer[:count]


def lock_files(folder: Path, paths: Iterable[str]) -> tuple[LockedFile, ...]:
    """Return the entries of files that are in the folder now."""
    return tuple(LockedFile(path, (folder / path).stat().st_size, digest_of(folder / path)) for path in paths)


def lock_folder(folder: Path) -> Manifest:
    """Write `folder/weights.lock` from the files that are there now."""
    manifest = Manifest(lock_files(folder, relative_paths(folder)))
    if not manifest.files:
        raise WeightsError(f"There is no file to lock in {folder}.")
    write_manifest(manifest, folder)
    return manifest


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Replace `folder/weights.lock`, which is the old one or the new one at every moment."""
    entries = [
        {key: value for key, value in asdict(file).items() if (key, value) != ("source", None)}
        for file in manifest.files
    ]
    with write_atomically(folder / LOCK_NAME) as stream:
        stream.write((json.dumps({"files": entries}, indent=1) + "\n").encode())
