"""What the tests of OpenAI's clients share."""

import base64
import io

import numpy as np
from openai import OpenAI
from PIL import Image

from tests.server.calls import REPOSITORY
from tests.support.api_process import Api

HOUSE = REPOSITORY / "samples/inputs/house.png"
APPLE = {"model": "easel/emoji", "prompt": "a red apple", "size": "128x128"}
QUICK = {"seed": 7, "num_inference_steps": 2}


def client(api: Api, **options) -> OpenAI:
    return OpenAI(base_url=f"{api.url}/v1", api_key=options.pop("api_key", api.token), max_retries=0, **options)


def image_of(text: str) -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        image.load()
        return image


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=int)


def coarse(text: str) -> np.ndarray:
    """The mean grey of each 8 x 8 pixels of an image in base64: a preview has no more, and colours only nearly."""
    return np.asarray(image_of(text).convert("L").reduce(8), dtype=float).ravel()


def mask_of_upper_half(path) -> bytes:
    """A PNG of the image's size, of which the upper half is transparent."""
    with Image.open(path) as image:
        alpha = Image.new("L", image.size, 255)
        alpha.paste(0, (0, 0, image.width, image.height // 2))
        mask = Image.new("RGBA", image.size, "black")
        mask.putalpha(alpha)
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()
