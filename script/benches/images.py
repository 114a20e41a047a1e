"""The largest image of each format that is accepted, from file to pixels, interleaved with Pillow alone."""

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benches.emoji import REPOSITORY
from PIL import Image
from pillow_heif import HeifImageFile, from_pillow

from easel.images.decode import DECODERS, MAX_BYTES
from easel.images.input import open_image, read_image

SIZE = (8160, 6120)  # 49.9 megapixels, what the largest cameras in phones make
NOISE = 4.0  # of 255, standard deviation: about that of a phone in daylight
WANTED_S = 2.0
OPTIONS = {
    "jpeg": {"quality": 92},
    "jpeg_progressive": {"quality": 92, "progressive": True},
    "png": {"compress_level": 1},
    "webp": {"quality": 80, "method": 0},  # at 90 libwebp's own limit of a partition is passed
    "gif": {},
    "avif": {"quality": 75, "speed": 10},
    "heic": {"quality": 75, "tile_size": 512},  # in tiles, as phones write it
}


def bench_images(rounds: int) -> dict[str, float]:
    """Median seconds of each format, with a Display P3 profile where the format has any; Pillow interleaved with it."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.support.picture_files import P3

    photo = make_photo(*SIZE)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as folder:
        for name, options in OPTIONS.items():
            path = Path(folder) / name
            save(photo, name, path, {**options, "icc_profile": P3})
            ours, pillows = [], []
            for _ in range(rounds):
                ours.append(timed(functools.partial(decode_ours, path)))
                pillows.append(timed(functools.partial(decode_alone, name, path)))
            figures |= {
                f"images_{name}_mb": path.stat().st_size / 1e6,
                f"images_{name}_s": statistics.median(ours),
                f"images_{name}_ratio": statistics.median(ours) / statistics.median(pillows),
            }
    return {**figures, "images_s_wanted": WANTED_S}


def make_photo(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    spots = Image.fromarray(rng.integers(0, 255, (height // 40, width // 40, 3), dtype=np.uint8))
    smooth = np.asarray(spots.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    noisy = smooth + rng.standard_normal((height, width, 1), dtype=np.float32) * NOISE
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def save(photo: Image.Image, name: str, path: Path, options: dict[str, Any]) -> None:
    kind = name.partition("_")[0].upper()
    if kind == "PNG":  # what noise makes of 50 megapixels is over 30 MB
        photo = photo.quantize(16, dither=Image.Dither.NONE).convert("RGB")
    if kind == "GIF":
        photo = photo.quantize(64, method=Image.Quantize.FASTOCTREE)
    if kind == "HEIC":
        from_pillow(photo).save(path, **options)
    else:
        photo.save(path, kind, **options)
    if path.stat().st_size > MAX_BYTES:
        raise SystemExit(f"The {kind} has {path.stat().st_size / 1e6:.1f} MB, more than is accepted.")


def decode_ours(path: Path) -> Image.Image:
    return read_image(open_image("image", path))


def decode_alone(name: str, path: Path) -> Image.Image:
    """The pixels as the file has them: no upright turn, no profile, no checks."""
    decoders: dict[str, Any] = {kind.lower(): decoder for kind, decoder in DECODERS.items()} | {"heic": HeifImageFile}
    image: Image.Image = decoders[name.partition("_")[0]](path)
    image.load()
    return image


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
