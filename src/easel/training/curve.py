"""The loss of every step as a table and as an image."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

SIZE, MARGIN = (800, 400), 50  # pixels
PAPER, AXIS, EACH, MEAN = "white", "#444444", "#c9d8ee", "#1f5fb0"
SMOOTHING = 0.02  # share of the steps over which the line is averaged: each step has its own noise level
TICKS = 4


def loss_table(losses: Sequence[float]) -> str:
    """Return CSV: the step, from 1, and its loss."""
    return "step,loss\n" + "".join(f"{step},{loss:.6f}\n" for step, loss in enumerate(losses, start=1))


def running_mean(values: Sequence[float], count: int) -> list[float]:
    """Return for each value the mean of it and up to count - 1 before it."""
    means, total = [], 0.0
    for k, value in enumerate(values):
        total += value - (values[k - count] if k >= count else 0.0)
        means.append(total / min(k + 1, count))
    return means


def loss_image(losses: Sequence[float]) -> Image.Image:
    """Return the curve: each step's loss in light blue, their running mean in blue. There is at least one loss."""
    image = Image.new("RGB", SIZE, PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    means = running_mean(losses, max(1, round(len(losses) * SMOOTHING)))
    top = 1.5 * max(means) or 1.0  # single steps may leave the image
    width, height = SIZE[0] - 2 * MARGIN, SIZE[1] - 2 * MARGIN

    def point(step: float, loss: float) -> tuple[float, float]:
        across = step / max(1, len(losses) - 1)
        return MARGIN + across * width, SIZE[1] - MARGIN - min(loss / top, 1.0) * height

    for k in range(TICKS + 1):
        step, loss = round(k * len(losses) / TICKS), k * top / TICKS
        pen.text((MARGIN + k * width / TICKS, SIZE[1] - MARGIN + 8), str(step), AXIS, font, anchor="ma")
        pen.text((MARGIN - 8, SIZE[1] - MARGIN - k * height / TICKS), f"{loss:.3g}", AXIS, font, anchor="rm")
    pen.line([point(0, top), point(0, 0), point(max(1, len(losses) - 1), 0)], AXIS, 1)
    for values, colour, thick in ((losses, EACH, 1), (means, MEAN, 2)):
        pen.line([point(step, loss) for step, loss in enumerate(values)], colour, thick)
    pen.text((SIZE[0] / 2, 14), "loss by step", AXIS, font, anchor="ma")
    return image
