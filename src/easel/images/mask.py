"""The mask of an inpainting: how far the change reaches, and that nothing beyond changes."""

from PIL import Image, ImageChops, ImageFilter

# Pixels over which the new image passes into the old one, outside the mask: one cell of the latents.
FEATHER = 8


def widen(mask: Image.Image) -> Image.Image:
    """Return the mask grown by half the feather, so that no cell of the latents falls through a thin stroke."""
    return mask.filter(ImageFilter.MaxFilter(FEATHER + 1))


def keep_outside(image: Image.Image, original: Image.Image, mask: Image.Image) -> Image.Image:
    """`image` inside the mask, `original` outside, and a linear passage over FEATHER pixels around the mask.

    All have one size; the mask (mode L) is 255 where the image may change and 0 elsewhere. A pixel further than
    FEATHER from the mask in both axes keeps its value exactly, one inside gets the image's exactly.
    """
    soft = widen(mask).filter(ImageFilter.BoxBlur(FEATHER // 2))
    soft = ImageChops.lighter(soft, mask)  # the blur's rounding must not touch the inside
    return Image.composite(image, original, soft)
