"""A mask as OpenAI has it, in which what is transparent is to be edited, as one of Easel's, in which white is."""

import io

from easel.errors import InputError
from easel.images.decode import decode, refusals
from easel.images.input import open_image_data, split_alpha, upright


def mask_of_alpha(name: str, data: bytes) -> bytes:
    """Return a PNG in which what is fully transparent in `data` is white and all else is black, upright.

    Raises InputError for what is no image that is accepted, or has nothing fully transparent.
    """
    kind = open_image_data(name, data).kind
    with refusals(name, kind):
        image, details = decode(name, kind, data)
        _, alpha = split_alpha(image)
        white = upright(alpha, details).point([255] + [0] * 255) if alpha else None
    if white is None or white.getextrema()[1] == 0:
        raise InputError(
            f"{name}: no pixel is fully transparent. What is transparent is edited, the rest is kept: erase that part."
        )
    file = io.BytesIO()
    white.save(file, "PNG")
    return file.getvalue()
