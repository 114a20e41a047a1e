"""Signed addresses in texts that are shown and kept: their query is a key to somebody's bucket."""

import re

ADDRESS = re.compile(r"(https?://[^\s?\"'<>`]*+)(\?[^\s\"'<>`]++)?", re.IGNORECASE)


def redact_queries(text: str) -> str:
    """Return `text` with `?...` for the query of each http address in it."""
    return ADDRESS.sub(lambda found: f"{found[1]}?..." if found[2] else found[1], text)
