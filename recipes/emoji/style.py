"""Draw the images of samples/training/style.zip: twelve of the icons in one style, two inks on dark blue.

    python -m recipes.emoji.style        # -> samples/training/style.zip

Each icon keeps its shapes. Its brightness becomes a shade between coral and cream, white paper becomes dark blue, and a
cream line goes around it. What is learnt is the style if "TOK style" draws other things so.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from recipes.emoji import data

PAPER, DARK, LIGHT = np.array([16, 42, 84]), np.array([214, 60, 56]), np.array([255, 236, 190])  # RGB
LINE = 3  # pixels around the icon
WHITE = 250  # of 255: the canvas, in which an icon's own white counts only where it is enclosed
NAMES = [
    "red apple",
    "dog face",
    "rocket",
    "house",
    "mushroom",
    "guitar",
    "tropical fish",
    "hot beverage",
    "automobile",
    "tulip",
    "umbrella",
    "snail",
]


def in_style(image: np.ndarray) -> Image.Image:
    """Return an icon (128, 128, 3) uint8 on white, redrawn."""
    shape = Image.fromarray((~is_outside(image)).astype(np.uint8) * 255)
    around = np.asarray(shape.filter(ImageFilter.MaxFilter(2 * LINE + 1)).filter(ImageFilter.GaussianBlur(0.7)))
    inside = np.asarray(shape.filter(ImageFilter.GaussianBlur(0.7)))
    light = np.asarray(Image.fromarray(image).convert("L"))[..., None] / 255.0
    inked = DARK + (LIGHT - DARK) * light
    drawn = PAPER + (LIGHT - PAPER) * (around[..., None] / 255.0)
    drawn = drawn + (inked - drawn) * (inside[..., None] / 255.0)
    return Image.fromarray(drawn.round().astype(np.uint8))


def is_outside(image: np.ndarray) -> np.ndarray:
    """Return where the canvas is seen (height, width): white that is connected with the upper left corner."""
    white = (image.min(axis=-1) >= WHITE).astype(np.uint8)
    edged = np.pad(white, 1, constant_values=1)
    outside = np.zeros_like(edged)
    outside[0, 0] = 1
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= edged
        if (grown == outside).all():
            return grown[1:-1, 1:-1].astype(bool)
        outside = grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("samples/training/style.zip"))
    options = parser.parse_args()
    icons, images = data.load_dataset()
    index = {icon.name: k for k, icon in enumerate(icons)}
    options.to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(options.to, "w") as archive:
        for name in NAMES:
            content = io.BytesIO()
            in_style(images[index[name]]).save(content, "PNG", optimize=True)
            for ending, part in (("png", content.getvalue()), ("txt", f"{name} in TOK style".encode())):
                archive.writestr(zipfile.ZipInfo(f"{name.replace(' ', '-')}.{ending}"), part)
    print(options.to)


if __name__ == "__main__":
    main()
