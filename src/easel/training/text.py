"""A stranger's text: cleaned for a caption, and as a terminal or a page may show it."""

import unicodedata

MAX_SHOWN = 200  # characters of a name or a caption


def clean_text(text: str) -> str:
    """Return the text on one line: without control characters, every run of white space as one space."""
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    return " ".join("".join(kept).replace("\ufeff", "").split())


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """Return the text with escapes for what is invisible or turns a line around, cut off after `limit` characters."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
