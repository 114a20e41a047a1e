"""Take the one safetensors file out of a tar or zip. What guards against a hostile one is in `easel.archives`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from easel.archives.kinds import archive_kind, archive_members
from easel.archives.members import CHUNK, DAMAGED, DAMAGED_TEXT, Budget, Member, shown_name
from easel.errors import AdapterError, ArchiveError
from easel.files import disk_errors, sync_file

ADAPTER_NAME = "adapter.safetensors"
CONFIG_NAME = "adapter_config.json"
MAX_CONFIG_BYTES = 1_000_000
MAX_CONFIGS = 16  # They are kept in memory until it is known beside which of them the weights are.
MAX_SAFETENSORS_HEADER = 100_000_000  # bytes, safetensors' own limit
MAX_HEADER_READ = 5_000_000  # bytes; that of a LoRA of a thousand layers takes 0.3 MB


def content_kind(start: bytes, size: int) -> str | None:
    """Return what a file of `size` bytes is by its first 512: "safetensors", "zip", a kind of tar, or None."""
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and header <= min(MAX_SAFETENSORS_HEADER, size - 8):
        return "safetensors"
    return archive_kind(start)


def kind_of_file(path: Path) -> str | None:
    with path.open("rb") as stream:
        return content_kind(stream.read(512), path.stat().st_size)


def header_size(path: Path) -> int:
    """Return the bytes of a safetensors file's header, by its own word."""
    with path.open("rb") as stream:
        return int.from_bytes(stream.read(8), "little")


def is_cut_off(path: Path) -> bool:
    """Return whether a safetensors file ends before the last tensor of its header; any other fault is for its reader.

    A body whose end is only that of the connection can end too early, and nothing else tells.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(length)) if length <= MAX_HEADER_READ else {}
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            return 8 + length + max(ends, default=0) > path.stat().st_size
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return False


def unpack_safetensors(archive: Path, folder: Path, max_bytes: int) -> Path:
    """Write the only .safetensors file of an archive to `folder`/adapter.safetensors, and return that path.

    An adapter_config.json that stands beside it in the archive is written beside it too. The archive is a zip or a tar
    (plain, gzip, bzip2, xz) by its content; `max_bytes` limits all that is unpacked from it. Raises AdapterError for
    an archive that is damaged, hostile or has another number of such files, ResourceError when the disk is full.
    """
    target = folder / ADAPTER_NAME
    try:
        with readable(), archive.open("rb") as stream:
            config = extract(stream, kind_of_file(archive), target, max_bytes)
        if config is not None:
            with disk_errors(target):
                target.with_name(CONFIG_NAME).write_bytes(config)
        return target
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@contextmanager
def readable() -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise AdapterError(str(error)) from None
    except DAMAGED:
        raise AdapterError(DAMAGED_TEXT) from None


def extract(stream: BinaryIO, kind: str | None, target: Path, max_bytes: int) -> bytes | None:
    """Writes the weights; returns the bytes of their adapter_config.json."""
    weights: str | None = None
    configs: dict[PurePosixPath, bytes] = {}
    for member in archive_members(stream, kind, Budget(max_bytes)):
        path = PurePosixPath(member.name)
        if "__MACOSX" in path.parts or path.name.startswith("._"):
            continue
        if path.suffix.lower() == ".safetensors":
            if weights is not None:
                both = f"{shown_name(weights)}, {shown_name(member.name)}"
                raise AdapterError(f"The archive has more than one .safetensors file ({both}): keep the right one.")
            weights = member.name
            write_member(member, target)
        elif path.name == CONFIG_NAME:
            config = member.read(MAX_CONFIG_BYTES + 1)
            if len(config) > MAX_CONFIG_BYTES or len(configs) == MAX_CONFIGS:
                raise AdapterError(f"The archive has an {CONFIG_NAME} above 1 MB, or more than {MAX_CONFIGS} of them.")
            configs[path.parent] = config
    if weights is None:
        raise AdapterError("The archive has no .safetensors file; weights in other formats are not read.")
    return configs.get(PurePosixPath(weights).parent)


def write_member(member: Member, target: Path) -> None:
    """Only what the disk does is its error: what the archive's decoder raises must not look like that."""
    with disk_errors(target):
        output = target.open("xb")
    try:
        while chunk := member.read(CHUNK):
            with disk_errors(target):
                output.write(chunk)
        with disk_errors(target):
            sync_file(output)
    finally:
        with disk_errors(target):
            output.close()
