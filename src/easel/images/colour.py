"""From the colours that a file means to sRGB: its profile or its gamma, at 16 bits where the file has them."""

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

DISPLAY_GAMMA = 2.2  # of the display that a PNG's gamma is corrected for (PNG 3, 13.13), close to sRGB's own curve
SAME_GAMMA = 0.05  # 1 / 2.2 to within this, as libpng has it (PNG_GAMMA_THRESHOLD), means sRGB
STRIP = 2**20  # pixels converted at once
CURVES = (b"rTRC", b"gTRC", b"bTRC")
BETWEEN = 563  # of 256, 2.2: the gamma of the 8 bits between a file's 16 and its profile


def to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """Return the image as RGB.

    A profile that is damaged, or made for another kind of pixels, counts as none, as in viewers.
    """
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile or b""))
        space = profile.profile.xcolor_space.strip()
        if space == "RGB" and image.mode != "CMYK":
            image = image.convert("RGB")  # a copy, or from grey
        elif space != {"L": "GRAY"}.get(image.mode, image.mode):
            raise ValueError("made for other pixels")
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        in_place = image.mode == "RGB"
        return ImageCms.applyTransform(image, transform, inPlace=in_place) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


def corrected(image: Image.Image, gamma: float) -> Image.Image:
    """Return an L or RGB image whose samples are light to the power of `gamma`, as sRGB."""
    if is_srgb(gamma):
        return image
    curve = (np.linspace(0, 1, 256) ** (1 / (gamma * DISPLAY_GAMMA)) * 255).round().astype(int).tolist()
    return image.point(curve * len(image.getbands()))


def is_srgb(gamma: float) -> bool:
    return abs(gamma * DISPLAY_GAMMA - 1) < SAME_GAMMA


def sixteen_bits(profile: bytes | None, gamma: float | None) -> tuple[list[np.ndarray], bytes | None] | None:
    """Return ([8-bit values of the 16-bit ones] of each channel, the profile of what comes of them); None to cut them
    off.

    A profile of curves and a matrix has its curves applied here: in the dark 8 bits of a linear one are too few.
    """
    if profile is None:
        if gamma is None or is_srgb(gamma):
            return None
        return [in_eight_bits(np.linspace(0, 1, 2**16) ** (1 / (gamma * DISPLAY_GAMMA)))], None
    try:
        tags = {
            profile[at : at + 4]: struct.unpack_from(">II", profile, at + 4)
            for at in range(132, 132 + 12 * min(100, int.from_bytes(profile[128:132])), 12)
        }
        names = [b"kTRC"] if profile[16:20] == b"GRAY" else list(CURVES)
        if not set(names) <= tags.keys() or any(name.startswith((b"A2B", b"D2B")) for name in tags):
            return None
        curves = [curve(profile[tags[name][0] : sum(tags[name])]) for name in names]
    except (struct.error, ValueError, IndexError):
        return None
    light = [np.clip(one(np.linspace(0, 1, 2**16)), 0, 1) for one in curves]
    return [in_eight_bits(one ** (256 / BETWEEN)) for one in light], with_curves(profile, names)


def in_eight_bits(values: np.ndarray) -> np.ndarray:
    return (values * 255).round().astype(np.uint8)


def curve(tag: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """From samples to light, both 0 to 1, by a curve of a profile (ICC.1:2022, 10.6 and 10.18). Raises ValueError."""
    if tag[:4] == b"curv":
        count = int.from_bytes(tag[8:12])
        if count == 0:
            return lambda x: x
        values = np.frombuffer(tag[12 : 12 + 2 * count], ">u2").astype(float)
        if len(values) != count:
            raise ValueError("cut off")
        if count == 1:
            return lambda x: x ** (values[0] / 256)
        return lambda x: np.interp(x, np.linspace(0, 1, count), values / 65535)
    kind = int.from_bytes(tag[8:10])
    if tag[:4] != b"para" or kind > 4:
        raise ValueError("of an unknown kind")
    g, a, b, c, d, e, f = (
        *(value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)),
        *(0.0,) * 6,
    )[:7]
    if kind == 0:
        return lambda x: x**g
    if kind <= 2:  # below -b / a, the constant c alone
        return lambda x: np.maximum(a * x + b, 0) ** g + c
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def with_curves(profile: bytes, names: list[bytes]) -> bytes:
    """Return the profile with the curve of `BETWEEN` in place of its own."""
    at = len(profile) + -len(profile) % 4
    tag = b"curv" + bytes(4) + struct.pack(">IH", 1, BETWEEN) + bytes(2)
    changed = bytearray(profile.ljust(at, b"\0") + tag)
    for entry in range(132, 132 + 12 * int.from_bytes(profile[128:132]), 12):
        if bytes(changed[entry : entry + 4]) in names:
            struct.pack_into(">II", changed, entry + 4, at, 14)
    struct.pack_into(">I", changed, 0, len(changed))
    return bytes(changed)


def reduced(high: Image.Image, low: Image.Image, tables: list[np.ndarray]) -> Image.Image:
    """Return an L or RGB image of 8 bits out of the high and the low bytes of 16, channel by channel through
    `tables`.
    """
    result = Image.new(high.mode, high.size)
    rows = max(1, STRIP // high.width)
    for top in range(0, high.height, rows):
        box = (0, top, high.width, min(top + rows, high.height))
        whole = np.asarray(high.crop(box)).astype(np.uint16) << 8 | np.asarray(low.crop(box))
        if high.mode == "L":
            pixels = tables[0][whole]
        else:
            pixels = np.stack([tables[k % len(tables)][whole[..., k]] for k in range(3)], axis=-1)
        result.paste(Image.fromarray(pixels), box)
    return result
