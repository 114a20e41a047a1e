"""Pictures that were damaged, or made to do harm: none crashes, hangs, or takes much memory; each gets a sentence."""

import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from easel.errors import InputError
from easel.input_images import image_size, read_image
from tests.hostile_images import COUNT, FORMATS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile_images", tmp_path_factory.mktemp("hostile")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"ended by {done.returncode} at {done.stdout[-100:]}\n{done.stderr[-2000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_none_of_a_thousand_damaged_pictures_crashes_the_process(outcomes):
    assert len(outcomes) == COUNT + 1
    assert {one["format"] for one in outcomes[:-1]} == set(FORMATS)


def test_each_is_a_picture_or_a_sentence(outcomes):
    for one in outcomes[:-1]:
        words = one["outcome"]
        assert words == "RGB picture" or (words.startswith("image: ") and words.endswith(".")), one
    refused = sum(one["outcome"] != "RGB picture" for one in outcomes[:-1])
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


BOMB = zlib.compress(bytes(100_000_000), 9)  # 97 kB
HARMFUL = {
    "60000 x 60000 without a pixel": (png(60000, 60000), "3600 megapixels"),
    "a size of nothing": (png(0, 0), "damaged"),
    "more pixels than its header says": (png(16, 16, chunk(b"IDAT", BOMB)), None),
    "fewer pixels than its header says": (png(7000, 7000, chunk(b"IDAT", zlib.compress(bytes(1000)))), "damaged"),
    "a text that unpacks to 100 MB": (png(1, 1, chunk(b"zTXt", b"Comment\0\0" + BOMB)), "damaged"),
    "a profile that unpacks to 100 MB": (png(1, 1, chunk(b"iCCP", b"x\0\0" + BOMB)), "damaged"),
    "a JPEG that says it is 65500 wide": (
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xdc\xff\xdc\x03\x01\x11\0\x02\x11\0\x03\x11\0" + bytes(100),
        "megapixels",
    ),
    "a GIF whose frame lies outside": (
        b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xff\xff\xff,\xff\xff\xff\xff\x02\0\x02\0\0\x02\x02D\x01\0;",
        "megapixels",
    ),
    "a GIF frame of 65535 x 65535": (
        b"GIF89a\x02\0\x02\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
        "megapixels|damaged",
    ),
    "boxes within boxes": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + b"\0\0\0\x08meta" * 10_000, "damaged"),
    "a box of no size": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\0meta", "damaged"),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_picture_made_to_do_harm_is_refused_cheaply(tmp_path, name):
    data, sentence = HARMFUL[name]
    path = tmp_path / "picture"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        if sentence is None:
            assert read_image("image", path).size == (16, 16)
        else:
            with pytest.raises(InputError, match=sentence):
                read_image("image", path)
        assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF"])
def test_of_an_animation_only_the_first_picture_is_read(tmp_path, kind):
    first, *rest = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "lime", "white")]
    path = tmp_path / "picture"
    first.save(path, kind, save_all=True, append_images=rest, duration=50)
    assert image_size("image", path) == (32, 32)
    red, green, blue = read_image("image", path).getpixel((16, 16))
    assert red > 240
    assert green < 20
    assert blue < 20
