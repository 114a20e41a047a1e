"""A data set out of a stranger's archive: images through the reader of the predict path, captions, what is wrong."""

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from easel.archives.members import CHUNK, DAMAGED, Member
from easel.errors import ArchiveError, InputError
from easel.images.decode import MAX_BYTES, accepted_kind
from easel.images.input import open_image_data, read_image
from easel.training.archive import dataset_files
from easel.training.buckets import shrink_to_cover
from easel.training.captions import MAX_CAPTION_BYTES, Captions, is_caption, match_captions, read_caption
from easel.training.text import printable

MIN_IMAGES = 3  # fewer teach an image, not what is common to them
MAX_IMAGES = 1_000
MAX_LISTED = 50  # files in one error
STRIP = 2**20  # pixels hashed at once


@dataclass(frozen=True)
class Example:
    """An image to train on. `name` is the archive's, for people. `image` is RGB, in sRGB, upright, as it is kept.

    `digest` is the SHA-256 of the file's pixels, whatever size is kept; `original_size` their upright (width, height).
    """

    name: str
    image: Image.Image = field(repr=False)
    caption: str
    digest: str
    original_size: tuple[int, int] | None = None  # None: the image's

    @property
    def size(self) -> tuple[int, int]:
        """Return the (width, height) that decides the bucket."""
        return self.original_size or self.image.size


@dataclass(frozen=True)
class Problem:
    name: str
    fault: str


@dataclass(frozen=True)
class Dataset:
    """What is trained on, and what not.

    `examples` are sorted by name. `problems` are files that are left out, each with the reason; `duplicates` are pairs
    of an image that is left out and the one with the same pixels that is used: the first that has a caption, or else
    the first; `notes` say what is odd about images that are used. `digest` is the SHA-256 over the examples' pixels
    and captions.
    """

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]
    duplicates: tuple[tuple[str, str], ...]
    digest: str
    notes: tuple[Problem, ...] = ()


@dataclass
class Found:
    """What was read so far, by the names in the archive: (image, digest, original size), captions, faults, notes."""

    images: dict[str, tuple[Image.Image, str, tuple[int, int]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    captions: set[str] = field(default_factory=set)
    faults: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def read_dataset(
    path: Path,
    captions: Captions,
    *,
    keep: Callable[[Image.Image], Image.Image] = shrink_to_cover,
    on_image: Callable[[], object] | None = None,
) -> Dataset:
    """Return the images and captions of a zip, a tar or a folder.

    Images are decoded one at a time, and only what `keep` makes of each stays in memory: by default an image that
    fills its bucket at 1024 x 1024 pixels, 3.2 GB for 1,000 of them. `on_image` is called after each. Raises
    InputError for a hostile or damaged archive, above 1,000 images, and for fewer than 3 that can be used: with each
    file's fault.
    """
    found = Found()
    with closing(dataset_files(path)) as members:
        for member in members:
            try:
                read_member(member, found, keep)
            except InputError as error:
                found.faults[member.name] = str(error).removeprefix(f"{printable(member.name)}: ")
            except ArchiveError as error:
                raise InputError(str(error)) from None
            except DAMAGED as error:
                found.faults[member.name] = f"it cannot be read ({reason_of(error)}): pack it again."
            if len(found.images) > MAX_IMAGES:
                raise InputError(f"The data set has more than {MAX_IMAGES} images: choose the best of them.")
            if on_image and member.name in found.images:
                on_image()
    return in_order(found, captions)


def reason_of(error: Exception) -> str:
    return getattr(error, "strerror", None) or printable(str(error)) or type(error).__name__


def read_member(member: Member, found: Found, keep: Callable[[Image.Image], Image.Image]) -> None:
    """Add one file to what was found. Raises InputError with its fault, and `DAMAGED`."""
    if is_caption(member.name):
        found.captions.add(member.name)
        found.texts[member.name] = read_caption(read_up_to(member, MAX_CAPTION_BYTES + 1))
        return
    name = printable(member.name)
    data = member.read(CHUNK)
    accepted_kind(name, data)  # before the rest is read
    data += read_up_to(member, MAX_BYTES + 1 - len(data))
    image = read_image(open_image_data(name, data), lambda text: found.notes.update({member.name: text}))
    del data
    found.images[member.name] = keep(image), digest_of(image), image.size


def read_up_to(member: Member, size: int) -> bytes:
    parts = []
    while size > 0 and (part := member.read(min(size, CHUNK))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def digest_of(image: Image.Image) -> str:
    """Return the SHA-256 of an image's size and pixels, in hex."""
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode())
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        digest.update(image.crop((0, top, image.width, min(top + rows, image.height))).tobytes())
    return digest.hexdigest()


def in_order(found: Found, captions: Captions) -> Dataset:
    """Return what was found as a data set that does not depend on the order of the archive."""
    matches = match_captions({*found.images, *found.faults} - found.captions, found.captions)
    for name in found.captions - set(matches.values()):
        found.faults.setdefault(name, "no image has this name: call it as its image, but for the ending.")
    for name in found.faults.keys() & {matches[image] for image in found.images.keys() & matches.keys()}:
        found.faults[name] += " Its image is trained without it."
    texts = {name: found.texts.get(matches.get(name, ""), "") for name in found.images}
    used: dict[str, str] = {}  # by digest
    for name in sorted(found.images, key=lambda name: (not texts[name], name)):
        used.setdefault(found.images[name][1], name)
    examples, duplicates = [], []
    for name in sorted(found.images):
        image, digest, size = found.images[name]
        if used[digest] == name:
            examples.append(Example(printable(name), image, captions.of(texts[name]), digest, size))
        else:
            duplicates.append((printable(name), printable(used[digest])))
    problems = tuple(Problem(printable(name), found.faults[name]) for name in sorted(found.faults))
    if len(examples) < MIN_IMAGES:
        raise InputError(too_few(len(examples), problems, duplicates))
    every = json.dumps([[example.digest, example.caption] for example in examples])
    notes = tuple(
        Problem(printable(name), found.notes[name].removeprefix(f"{printable(name)} "))
        for name in sorted(found.notes.keys() & set(used.values()))
    )
    digest = hashlib.sha256(every.encode()).hexdigest()
    return Dataset(tuple(examples), problems, tuple(duplicates), digest, notes)


def too_few(usable: int, problems: tuple[Problem, ...], duplicates: list[tuple[str, str]]) -> str:
    lines = [f"{problem.name}: {problem.fault}" for problem in problems]
    lines += [f"{name}: the same pixels as {other}." for name, other in duplicates]
    if len(lines) > MAX_LISTED:
        lines[MAX_LISTED:] = [f"and {len(lines) - MAX_LISTED} more"]
    count = "1 image" if usable == 1 else f"{usable} images"
    told = f"The data set must have at least {MIN_IMAGES} images that can be used, not {count}. Add images"
    return "\n  ".join([f"{told}, or fix these files:", *lines]) if lines else f"{told}."
