"""Reads hundreds of damaged images in a process of its own: `python -m tests.support.hostile_images FOLDER`.

Prints one JSON line for each: format, seed, CPU seconds, what came of it; and at the end the peak memory. A line is
begun before its image is read, so that a crash or a hang shows which one it was.
"""

import io
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from pillow_heif import from_pillow

from easel.errors import InputError
from tests.support.read_images import read_image
from tests.support.rounds import rounds

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIC")
MODES = {"PNG": ("RGB", "RGBA", "L", "P", "1", "I;16"), "GIF": ("P", "L"), "JPEG": ("RGB", "L", "CMYK")}
EXTREMES = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\xff\xff")
COUNT = rounds(usual=400, full=1000)


def picture(random: random.Random, mode: str) -> Image.Image:
    """Some of everything: smooth areas and noise, in a size of its own."""
    size = random.randrange(16, 200), random.randrange(16, 200)
    image = Image.linear_gradient("L").resize(size).convert(mode)
    noise = Image.frombytes("L", (16, 16), random.randbytes(256)).convert(mode)
    image.paste(noise, (random.randrange(size[0]), random.randrange(size[1])))
    return image


def whole_file(random: random.Random, kind: str) -> bytes:
    mode = random.choice(MODES.get(kind, ("RGB", "RGBA")))
    image = picture(random, "L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = image.convert("I;16")
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = random.randrange(1, 9)
    options = {"exif": exif.tobytes()} if kind in ("JPEG", "PNG", "WEBP", "AVIF") else {}
    if kind == "JPEG":
        options["progressive"] = random.random() < 0.5
    if kind in ("GIF", "WEBP", "PNG") and mode == "RGB" and random.random() < 0.3:
        options |= {"save_all": True, "append_images": [image.rotate(90).resize(image.size)]}
    if kind == "HEIC":
        from_pillow(image.convert("RGB")).save(stream, format="HEIF")
    else:
        image.save(stream, kind, **options)
    return stream.getvalue()


def damaged(random: random.Random, data: bytes) -> bytes:
    """Cut, flipped in some bits, with a stretch repeated, or with numbers overwritten by extreme ones."""
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 5, 20])):
        at = random.randrange(min(len(changed), random.choice([64, 512, len(changed)])))
        match random.randrange(5):
            case 0:
                changed = changed[: max(1, random.randrange(len(changed)))]
            case 1 | 2:
                changed[at] ^= 1 << random.randrange(8)
            case 3:
                changed[at : at + 4] = random.choice(EXTREMES)
            case 4:
                changed[at:at] = changed[at : at + random.randrange(1, 64)]
    return bytes(changed)


def cases() -> Iterator[tuple[str, int, bytes]]:
    for seed in range(COUNT):
        draw = random.Random(seed)
        kind = FORMATS[seed % len(FORMATS)]
        yield kind, seed, damaged(draw, whole_file(draw, kind))


def main() -> None:
    path = Path(sys.argv[1]) / "image"
    before = peak_mb()
    for kind, seed, data in cases():
        path.write_bytes(data)
        sys.stdout.write(f'{{"format": "{kind}", "seed": {seed}')
        sys.stdout.flush()
        began = time.process_time()
        try:
            image = read_image("image", path)
            outcome = f"{image.mode} image"
        except InputError as error:
            outcome = str(error)
        seconds = time.process_time() - began
        sys.stdout.write(f', "seconds": {seconds:.3f}, "outcome": {json.dumps(outcome)}}}\n')
    sys.stdout.write(json.dumps({"peak_mb": peak_mb(), "before_mb": before}) + "\n")


def peak_mb() -> float:
    """Of this process alone: `ru_maxrss` can be that of the one that started it."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


if __name__ == "__main__":
    main()
