"""Image sizes: from an aspect ratio and an area to width and height that a model accepts. All in pixels."""

ASPECT_RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
MATCH_INPUT_IMAGE = "match_input_image"  # as Replicate's models call it


def snap(length: float, multiple: int) -> int:
    """Return the nearest positive multiple; halves go up."""
    return max(multiple, int(length / multiple + 0.5) * multiple)


def size_for(aspect_ratio: str, area: int, multiple: int) -> tuple[int, int]:
    """Return (width, height) of about `area` square pixels whose sides have the ratio "W:H", snapped to `multiple`."""
    across, down = (int(part) for part in aspect_ratio.split(":"))
    width = (area * across / down) ** 0.5
    return snap(width, multiple), snap(width * down / across, multiple)


def ratio_of(width: int, height: int) -> str:
    """Return the ratio "W:H" of a size, or the widest or tallest of ASPECT_RATIOS when its sides differ by more
    than that.
    """
    if width * 9 > height * 21:
        return "21:9"
    return "9:21" if height * 9 > width * 21 else f"{width}:{height}"
