"""Which part of a file's pixels is the image: a GIF's small first frame, an AVIF's clean aperture."""

import struct

import pytest
from PIL import Image

from tests.support.picture_files import encoded, four_corners, read, refusal
from tests.support.read_images import image_size, read_image, read_mask


def gif(screen, frame, at, flags=0x80):
    """A GIF of one frame, red all over, on a screen of another size whose background is green."""
    image = encoded(Image.new("P", frame, 0), "GIF")
    pixels = image[image.index(b",", 13) + 10 :]
    table = bytes([220, 30, 40, 0, 255, 0])
    head = b"GIF89a" + struct.pack("<HH", *screen) + bytes([flags, 1, 0]) + table
    return head + b"," + struct.pack("<HHHHB", *at, *frame, 0) + pixels


@pytest.mark.parametrize("at", [(0, 0), (10, 20), (32, 40)])
def test_outside_the_first_frame_of_a_gif_it_is_transparent(write, at):
    seen = read(write, gif((64, 64), (32, 24), at))
    assert seen.size == (64, 64)
    assert seen.getpixel(at) == seen.getpixel((at[0] + 31, at[1] + 23)) == (220, 30, 40)
    outside = (63, 0) if at[0] < 32 else (0, 0)
    assert seen.getpixel(outside) == (255, 255, 255)
    mask = read_mask(
        "mask", write(gif((64, 64), (32, 24), at).replace(bytes([220, 30, 40]), b"\xff\xff\xff")), (64, 64)
    )
    assert mask.getbbox() == (*at, at[0] + 32, at[1] + 24)


def avif_with_clap(image, width, height, right=(0, 1), down=(0, 1), angle=None):
    """The file with a clap property for its image: boxes grow, so their sizes and the pixels' place change."""
    data = encoded(image, "AVIF", quality=100, subsampling="4:4:4")
    clap = struct.pack(">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, *right, *down)
    at = data.index(b"ipco") - 4
    ipma = data.index(b"ipma") - 4
    count = 0
    walk = at + 8
    while walk < at + int.from_bytes(data[at : at + 4]):
        count, walk = count + 1, walk + int.from_bytes(data[walk : walk + 4])
    added = {b"ipco": 40, b"ipma": 1, b"iprp": 41, b"meta": 41}
    out = bytearray(data)
    for kind, more in added.items():
        place = data.index(kind) - 4
        struct.pack_into(">I", out, place, int.from_bytes(data[place : place + 4]) + more)
    iloc = data.index(b"iloc") - 4
    place = data.index(struct.pack(">I", data.index(b"mdat") + 4), iloc)
    struct.pack_into(">I", out, place, data.index(b"mdat") + 4 + 41)
    associations = ipma + 8 + 4 + 4 + 2  # header, version, count of items, its id
    out[associations] += 1
    end = associations + 1 + data[associations]
    return bytes(out[:walk]) + clap + bytes(out[walk:end]) + bytes([0x80 | (count + 1)]) + bytes(out[end:])


@pytest.mark.parametrize(
    ("size", "right", "down", "box"),
    [
        ((32, 24), (0, 1), (0, 1), (16, 12, 48, 36)),
        ((32, 24), (-16, 1), (-12, 1), (0, 0, 32, 24)),
        ((30, 20), (17, 1), (28, 2), (34, 28, 64, 48)),
        ((64, 48), (0, 1), (0, 1), (0, 0, 64, 48)),
    ],
)
def test_the_clean_aperture_of_an_avif_is_honoured(write, size, right, down, box):
    image = four_corners()
    whole = read(write, encoded(image, "AVIF", quality=100, subsampling="4:4:4"))
    path = write(avif_with_clap(image, *size, right, down))
    assert image_size("image", path) == size
    assert read_image("image", path).tobytes() == whole.crop(box).tobytes()


@pytest.mark.parametrize(
    ("size", "right"), [((65, 48), (0, 1)), ((32, 24), (40, 1)), ((32, 24), (1, 3)), ((0, 0), (0, 1))]
)
def test_an_aperture_of_no_sense_is_none(write, size, right):
    assert image_size("image", write(avif_with_clap(four_corners(), *size, right))) == (64, 48)


def test_an_avif_that_cannot_be_read_is_to_be_converted(write):
    data = encoded(four_corners(), "AVIF")
    broken = data.replace(b"av1C", b"av1X")
    assert "convert it to PNG" in refusal(read_image, "image", write(broken))
