"""Images that were damaged, or made to do harm: none crashes, hangs, or takes much memory; each gets a sentence."""

import faulthandler
import io
import json
import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path
from time import process_time

import pytest
from PIL import Image
from pillow_heif import from_pillow

from easel.errors import InputError
from tests.support.hostile_images import COUNT, FORMATS
from tests.support.read_images import image_size, read_image

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
HANG = 60  # seconds by the clock; a busy machine must not look like a hang
ISOBMFF = ("AVIF", "HEIC")  # files made of boxes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile_images", tmp_path_factory.mktemp("hostile")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"ended by {done.returncode} at {done.stdout[-100:]}\n{done.stderr[-2000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_none_of_many_damaged_pictures_crashes_the_process(outcomes):
    assert len(outcomes) == COUNT + 1
    assert {one["format"] for one in outcomes[:-1]} == set(FORMATS)


def test_each_is_a_picture_or_a_sentence(outcomes):
    for one in outcomes[:-1]:
        words = one["outcome"]
        assert words == "RGB image" or (words.startswith("image: ") and words.endswith(".")), one
    refused = sum(one["outcome"] != "RGB image" for one in outcomes[:-1])
    assert COUNT / 4 < refused < COUNT, "the damage is too mild or too strong to say anything"


def test_none_takes_over_two_seconds(outcomes):
    slowest = max(outcomes[:-1], key=lambda one: one["seconds"])
    assert slowest["seconds"] < 2, slowest


def test_none_takes_over_a_gigabyte(outcomes):
    assert outcomes[-1]["peak_mb"] < 1024, outcomes[-1]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    if kind == "HEIC":
        from_pillow(image).save(file, **options)
    else:
        image.save(file, kind, **options)
    return file.getvalue()


@cache
def sample(kind: str, side: int = 64) -> bytes:
    return encoded(Image.linear_gradient("L").resize((side, side)).convert("RGB"), kind)


@cache
def animation(kind: str) -> bytes:
    first, *rest = (Image.new("RGB", (64, 64), (12 * k, 0, 99)) for k in range(20))
    return encoded(first, kind, save_all=True, append_images=rest, duration=50)


def with_size(data: bytes, before: bytes, size: bytes) -> bytes:
    """The size in the header behind `before` replaced."""
    at = data.index(before) + len(before)
    return data[:at] + size + data[at + len(size) :]


def jpeg_of_size(width: int, height: int) -> bytes:
    return with_size(sample("JPEG"), b"\xff\xc0\0\x11\x08", struct.pack(">HH", height, width))


def isobmff_of_size(kind: str, width: int, height: int, side: int = 64) -> bytes:
    return with_size(sample(kind, side), b"ispe\0\0\0\0", struct.pack(">II", width, height))


def box_resized(kind: str, box: bytes, size: int) -> bytes:
    data = sample(kind)
    at = data.index(box) - 4
    return data[:at] + struct.pack(">I", size) + data[at + 4 :]


BOMB = zlib.compress(bytes(100_000_000), 9)  # 97 kB
PIXEL = chunk(b"IDAT", zlib.compress(bytes(2)))
EITHER = "RGB image of .*|image: .*"
HARMFUL = {  # name: (content, what must come of it)
    "PNG of 60000 x 60000 without a pixel": (png(60000, 60000), "3600 megapixels"),
    "PNG of no size": (png(0, 0), "damaged"),
    "PNG with more pixels than its header says": (png(16, 16, chunk(b"IDAT", BOMB)), "image of 16 x 16"),
    "PNG with fewer pixels than its header says": (
        png(7000, 7000, chunk(b"IDAT", zlib.compress(bytes(99)))),
        "damaged",
    ),
    "PNG of 49 megapixels in 97 kB": (png(7000, 7000, chunk(b"IDAT", BOMB)), "image of 7000 x 7000"),
    "PNG with 25 MB of text": (png(1, 1, chunk(b"tEXt", b"a\0" + b"b" * 25_000_000), PIXEL), "image of 1 x 1"),
    "PNG with a text that unpacks to 100 MB": (png(1, 1, chunk(b"zTXt", b"Comment\0\0" + BOMB)), "damaged"),
    "PNG with a profile that unpacks to 100 MB": (png(1, 1, chunk(b"iCCP", b"x\0\0" + BOMB)), "damaged"),
    "PNG of a million empty chunks": (png(1, 1, chunk(b"IDAT", b"") * 1_000_000, PIXEL), "too many parts"),
    "PNG that is said to have 2^31 frames": (
        png(1, 1, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), PIXEL),
        "image of 1 x 1",
    ),
    "JPEG that says it is 65500 x 65500": (jpeg_of_size(65500, 65500), "4290.25 megapixels"),
    "JPEG that says it is 7000 x 7000": (jpeg_of_size(7000, 7000), EITHER),
    "JPEG that says it is narrower": (jpeg_of_size(8, 64), EITHER),
    "JPEG of no height": (jpeg_of_size(64, 0), "damaged"),
    "JPEG of a million segments": (b"\xff\xd8" + b"\xff\xfe\0\2" * 1_000_000, "too many parts"),
    "JPEG of 29 MB of fill bytes": (b"\xff\xd8" + b"\xff" * 29_000_000, "damaged"),
    "GIF whose frame lies outside": (
        b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xff\xff\xff,\xff\xff\xff\xff\x02\0\x02\0\0\x02\x02D\x01\0;",
        "megapixels",
    ),
    "GIF whose frame is larger than its screen": (
        b"GIF89a\x02\0\x02\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
        "megapixels|damaged",
    ),
    "WebP whose canvas is larger than its frame": (
        with_size(animation("WEBP"), b"VP8X\x0a\0\0\0\x02\0\0\0", (6999).to_bytes(3, "little") * 2),
        EITHER,
    ),
    "WebP of 16384 x 16384": (
        with_size(animation("WEBP"), b"VP8X\x0a\0\0\0\x02\0\0\0", (16383).to_bytes(3, "little") * 2),
        "megapixels",
    ),
    **{f"animated {kind}": (animation(kind), "image of 64 x 64") for kind in ("PNG", "GIF", "WEBP", "AVIF")},
    **{
        f"half of an animated {kind}": (animation(kind)[: len(animation(kind)) // 2], EITHER)
        for kind in ("PNG", "GIF", "WEBP", "AVIF")
    },
    **{f"{kind} of 60000 x 60000": (isobmff_of_size(kind, 60000, 60000), "megapixels|damaged") for kind in ISOBMFF},
    **{f"{kind} of no width": (isobmff_of_size(kind, 0, 64), "damaged") for kind in ISOBMFF},
    **{f"{kind} that says it is larger": (isobmff_of_size(kind, 7000, 7000), EITHER) for kind in ISOBMFF},
    **{f"{kind} that says it is smaller": (isobmff_of_size(kind, 64, 64, side=1500), EITHER) for kind in ISOBMFF},
    **{
        f"{kind} whose box {box.decode()} says it has {size} bytes": (box_resized(kind, box, size), EITHER)
        for kind in ISOBMFF
        for box in (b"meta", b"iloc", b"iprp", b"ipco", b"mdat", b"iinf")
        for size in (0, 1, 7, 2**31 - 1, 2**32 - 1)
    },
    "HEIC of boxes within boxes": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + b"\0\0\0\x08meta" * 10_000, "damaged"),
    "AVIF with a box of no size": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\0meta", "damaged"),
}


def measure(path: Path) -> dict:
    """What comes of a file, the CPU seconds for it, and the most memory of the process meanwhile, in MB."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    began = process_time()
    try:
        image = read_image("image", path)
        outcome = f"{image.mode} image of {image.width} x {image.height}"
    except InputError as error:
        outcome = str(error)
    seconds = process_time() - began
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    return {"outcome": outcome, "seconds": seconds, "peak_mb": int(peak) / 1024}


def measure_all(folder: Path) -> None:
    """For a process of its own: a line for each file, begun before it is read, so that a crash shows which it was."""
    most = resource.getpagesize() * int(Path("/proc/self/statm").read_text().split()[0]) + 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))  # for the machine's sake; what is judged is the memory in use
    for path in sorted(folder.iterdir()):
        sys.stdout.write(f"{path.name}\t")
        sys.stdout.flush()
        faulthandler.dump_traceback_later(HANG, exit=True)
        sys.stdout.write(json.dumps(measure(path)) + "\n")
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, dict]:
    if sys.platform != "linux":
        pytest.skip("the peak memory is read from /proc")
    folder = tmp_path_factory.mktemp("harmful")
    for name, (data, _) in HARMFUL.items():
        (folder / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, __file__, folder],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
        capture_output=True,
        text=True,
        timeout=5 * HANG,
        check=False,
    )
    assert done.returncode == 0, f"ended by {done.returncode} at {done.stdout[-100:]}\n{done.stderr[-2000:]}"
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return {name: json.loads(result) for name, result in lines}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_picture_made_to_do_harm_is_refused_or_read_cheaply(measured, name):
    result = measured[name]
    assert re.search(HARMFUL[name][1], result["outcome"]), result
    assert result["seconds"] < 2, result
    assert result["peak_mb"] < 1024, result


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF"])
def test_of_an_animation_only_the_first_picture_is_read(tmp_path, kind):
    first, *rest = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "lime", "white")]
    path = tmp_path / "image"
    first.save(path, kind, save_all=True, append_images=rest, duration=50)
    assert image_size("image", path) == (32, 32)
    red, green, blue = read_image("image", path).getpixel((16, 16))
    assert red > 240
    assert green < 20
    assert blue < 20


if __name__ == "__main__":
    measure_all(Path(sys.argv[1]))
