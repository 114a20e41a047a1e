"""Picture sizes: from an aspect ratio and an area to width and height that a model accepts. All in pixels."""

ASPECT_RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")


def snap(length: float, multiple: int) -> int:
    """The nearest positive multiple; halves go up."""
    return max(multiple, int(length / multiple + 0.5) * multiple)


def size_for(aspect_ratio: str, area: int, multiple: int) -> tuple[int, int]:
    """(width, height) of about `area` square pixels whose sides have the ratio "W:H", snapped to `multiple`."""
    across, down = (int(part) for part in aspect_ratio.split(":"))
    width = (area * across / down) ** 0.5
    return snap(width, multiple), snap(width * down / across, multiple)
