"""Open and decode in one call: what most tests of images need."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from easel.images import input as images
from easel.models import Model
from easel.plan import Plan, plan_request
from easel.request import Request


def image_size(name: str, path: Path) -> tuple[int, int]:
    return images.open_image(name, path).size


def read_image(name: str, path: Path, warn: Callable[[str], None] | None = None) -> Image.Image:
    return images.read_image(images.open_image(name, path), warn)


def read_mask(name: str, path: Path, size: tuple[int, int]) -> Image.Image:
    return images.read_mask(images.open_image(name, path), size)


def plan_and_images(request: Request, model: Model) -> tuple[Plan, images.InputImage | None, images.InputImage | None]:
    """Open what the request brings, then plan it: (plan, image, mask)."""
    image = images.open_image("image", request.image) if request.image else None
    mask = images.open_image("mask", request.mask) if request.mask else None
    return plan_request(request, model, image.size if image else None), image, mask
