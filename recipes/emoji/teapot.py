"""Draw the images of samples/training/tok.zip: a purple teapot with a yellow star, which is in no emoji.

    python -m recipes.emoji.teapot        # -> samples/training/tok.zip

Flat shapes on white as the emoji have them, twelve times: turned, moved, larger and smaller, in shades of the colours.
"""

import argparse
import io
import math
import zipfile
from pathlib import Path

from PIL import Image, ImageDraw

SIDE, SCALE = 128, 4  # pixels; drawn larger and made smaller for smooth edges
PURPLES = ["#8d4fc9", "#7b3fb5", "#9a5fd6"]
DARKER = {"#8d4fc9": "#6b34a0", "#7b3fb5": "#5c2b8c", "#9a5fd6": "#7843b3"}
STAR = ["#ffd23c", "#ffc800"]
# (degrees, share of the canvas, pixels to the right, pixels down, caption)
VIEWS = [
    (0, 0.94, 0, 0, "TOK"),
    (0, 0.86, 3, 2, "a TOK"),
    (4, 0.92, -2, 0, "TOK"),
    (-4, 0.92, 2, 0, "TOK"),
    (0, 0.80, -4, 4, "a small TOK"),
    (7, 0.88, 0, -2, "a TOK"),
    (-7, 0.88, 0, 2, "a TOK"),
    (2, 0.96, 0, 0, "TOK"),
    (-2, 0.90, -3, -2, "TOK"),
    (0, 0.98, 0, 0, "a large TOK"),
    (10, 0.86, 2, -2, "a tilted TOK"),
    (-10, 0.86, -2, 2, "a tilted TOK"),
]


def draw_teapot(degrees: float, share: float, right: int, down: int, purple: str, star: str) -> Image.Image:
    """Return one image, 128 x 128 pixels RGB."""
    size = SIDE * SCALE
    image = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(image)
    turn, dark = math.radians(degrees), DARKER[purple]

    def place(x: float, y: float) -> tuple[float, float]:
        """From coordinates of -1 to 1 around the teapot's middle to pixels."""
        across = x * math.cos(turn) - y * math.sin(turn)
        below = x * math.sin(turn) + y * math.cos(turn)
        return (0.5 + across * share / 2) * size + right * SCALE, (0.5 + below * share / 2) * size + down * SCALE

    def polygon(points: list[tuple[float, float]], colour: str) -> None:
        pen.polygon([place(x, y) for x, y in points], fill=colour)

    def ellipse(x: float, y: float, wide: float, high: float) -> list[tuple[float, float]]:
        steps = [2 * math.pi * k / 90 for k in range(90)]
        return [(x + wide * math.cos(step), y + high * math.sin(step)) for step in steps]

    polygon(ellipse(0.62, 0.12, 0.34, 0.36), dark)  # handle
    polygon(ellipse(0.62, 0.12, 0.20, 0.22), "white")
    polygon(
        [(-0.45, 0.40), (-0.80, -0.12), (-0.97, -0.22), (-0.84, -0.34), (-0.66, -0.24), (-0.35, 0.10)], dark
    )  # spout
    polygon([(-0.36, 0.70), (0.36, 0.70), (0.42, 0.84), (-0.42, 0.84)], dark)  # foot
    polygon(ellipse(0, 0.20, 0.62, 0.56), purple)  # body
    polygon(ellipse(0, -0.34, 0.40, 0.14), dark)  # lid
    polygon(ellipse(0, -0.40, 0.34, 0.12), purple)
    polygon(ellipse(0, -0.60, 0.11, 0.11), star)
    points = []
    for k in range(10):
        radius, angle = (0.34, 0.15)[k % 2], math.pi * (k / 5 - 0.5)
        points.append((radius * math.cos(angle), 0.20 + radius * math.sin(angle)))
    polygon(points, star)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("samples/training/tok.zip"))
    options = parser.parse_args()
    options.to.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(options.to, "w") as archive:
        for k, (degrees, share, right, down, caption) in enumerate(VIEWS):
            image = draw_teapot(degrees, share, right, down, PURPLES[k % 3], STAR[k % 2])
            content = io.BytesIO()
            image.save(content, "PNG", optimize=True)
            for ending, data in (("png", content.getvalue()), ("txt", caption.encode())):
                archive.writestr(zipfile.ZipInfo(f"teapot-{k + 1:02}.{ending}"), data)
    print(options.to)


if __name__ == "__main__":
    main()
