"""JSON from strangers, callers and Cog servers alike: its structure is counted before anything is built of it."""

import json
import math
import re
from typing import Any

MOST_DEPTH = 64
MOST_VALUES = 10_000  # of a request; a whole prediction has some dozens, a schema some hundreds
MOST_ANSWER_VALUES = 100_000  # of a Cog server: a language model's output is a list of its tokens
BRACKET = re.compile(rb"[][{}]")


class JsonTooLarge(ValueError):
    """There are more values in it than are read here."""


def read_json(data: bytes, most_values: int = MOST_VALUES) -> Any:
    """Return what `data` says, which JSON can write again and a database can keep, but for NUL and lone surrogates.

    Raises JsonTooLarge, or ValueError for what is not JSON in UTF-8, nests more than 64 deep or has an infinite number.
    """
    check_structure(data, most_values)
    return json.loads(data.decode(), parse_constant=no_number, parse_float=finite)


def check_structure(data: bytes, most_values: int) -> None:
    """Check how deep JSON nests and how much it holds.

    Raises JsonTooLarge, or ValueError for too deep a nesting. Costs no memory but a copy, whatever is in it.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if data.count(b'"') > 4 * most_values:  # a name and a text for each value
        raise JsonTooLarge(f"There are more than {most_values} values in it.")
    outside = b"".join(data.split(b'"')[::2])
    opened = outside.count(b"[") + outside.count(b"{")
    if opened + outside.count(b",") >= most_values:
        raise JsonTooLarge(f"There are more than {most_values} values in it.")
    if outside.count(b"]") + outside.count(b"}") != opened:
        raise ValueError("A bracket is missing, or one too many.")
    depth = 0
    for one in BRACKET.finditer(outside):
        depth += 1 if one[0] in b"[{" else -1
        if depth > MOST_DEPTH:
            raise ValueError(f"It is nested more than {MOST_DEPTH} deep.")


def count_values(given: Any) -> int:
    """Return how many values there are in it, itself included."""
    if isinstance(given, dict):
        given = list(given.values())
    return 1 + sum(map(count_values, given)) if isinstance(given, list) else 1


def no_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is no finite number.")


def finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else no_number(text)


def check_texts(given: Any) -> None:
    """Raise ValueError for what JSON can write and no database or file can keep: lone surrogates, NUL."""
    match given:
        case str():
            if not given.isascii():
                given.encode()
            if "\0" in given:
                raise ValueError("NUL")
        case list():
            for one in given:
                check_texts(one)
        case dict():
            for name, one in given.items():
                check_texts(name)
                check_texts(one)


def clean_texts(given: Any) -> Any:
    """Return the same with a replacement character for each lone surrogate and NUL: a model wrote them by accident."""
    match given:
        case str():
            given = given.replace("\0", "\ufffd")
            return given if given.isascii() else given.encode(errors="replace").decode()  # no copy of what is large
        case list():
            return [clean_texts(one) for one in given]
        case dict():
            return {clean_texts(name): clean_texts(one) for name, one in given.items()}
    return given
