"""Captions: out of a .txt file, matched with an image by its name, with the trigger word in them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from easel.errors import InputError
from easel.training.text import clean_text, printable

MAX_TRIGGER = 50  # characters
MAX_ADDED = 500  # characters of caption_prefix and of caption_suffix
MAX_CAPTION_BYTES = 8_000  # a caption of 512 tokens, the most that a model here reads, has about 2,500
CAPTION_SUFFIX = ".txt"
NO_SPACE_BEFORE = (",", ".", ";", ":", "!", "?")


@dataclass(frozen=True)
class Captions:
    """How captions are made. Raises InputError for a trigger word, prefix or suffix that is not accepted."""

    trigger_word: str = "TOK"
    prefix: str = ""
    suffix: str = ""

    def __post_init__(self) -> None:
        word = self.trigger_word
        if not word.strip() or len(word) > MAX_TRIGGER or not word.isprintable():
            raise InputError(
                f"trigger_word must be 1 to {MAX_TRIGGER} characters on one line, not {printable(word, 60)!r}. "
                "Choose a word that the model does not know, such as TOK."
            )
        for name, text in (("caption_prefix", self.prefix), ("caption_suffix", self.suffix)):
            if len(text) > MAX_ADDED or not text.isprintable():
                raise InputError(f"{name} must be at most {MAX_ADDED} characters on one line. Make it shorter.")

    def of(self, text: str | None) -> str:
        """Return an image's caption: prefix, its own text, suffix.

        Where the trigger word is in none of them, as a whole word in this spelling, it stands before the image's text.
        """
        word, own = clean_text(self.trigger_word), clean_text(text or "")
        caption = joined(self.prefix, own, self.suffix)
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", caption):
            return caption
        return joined(self.prefix, f"{word} {own}", self.suffix)


def joined(prefix: str, text: str, suffix: str) -> str:
    """Return the parts with one space between them, and none before a comma or full stop."""
    before, after = " ".join(f"{prefix} {text}".split()), " ".join(suffix.split())
    return before + after if after.startswith(NO_SPACE_BEFORE) else f"{before} {after}".strip()


def is_caption(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() == CAPTION_SUFFIX


def read_caption(data: bytes) -> str:
    """Return the text of a caption's file, "" for an empty one. Raises InputError with what is wrong with it.

    UTF-8 with or without a byte order mark, or UTF-16 with one, as Windows' Notepad writes it.
    """
    if len(data) > MAX_CAPTION_BYTES:
        raise InputError(f"the caption has more than {MAX_CAPTION_BYTES} bytes: make it shorter.")
    try:
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return clean_text(data.decode(encoding))
    except UnicodeDecodeError:
        raise InputError("the caption is not UTF-8: save it as UTF-8.") from None


def match_captions(images: Collection[str], captions: Collection[str]) -> dict[str, str]:
    """Return {image: its caption}, all by their names in the archive.

    A caption has the image's name but for the ending. Where none has it exactly, upper and lower case count as equal,
    as on Windows and macOS, and so do the ways in which Unicode writes an accent, if that leaves only one.
    """
    by_stem = {stem(name): name for name in sorted(captions)}
    exact = {name: by_stem[stem(name)] for name in images if stem(name) in by_stem}
    left = set(captions) - set(exact.values())
    counts = Counter(folded(name) for name in left)
    loose = {folded(name): name for name in left if counts[folded(name)] == 1}
    return {name: loose[folded(name)] for name in images if folded(name) in loose} | exact


def stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", stem(name)).casefold()
