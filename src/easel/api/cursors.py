"""The places in a list that `next` and `previous` name."""

import base64
import json

from easel.api.problems import Problem
from easel.api.strict_json import check_texts, read_json


def write_cursor(back: bool, at: float, key: str) -> str:
    place = [back, at, key]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> tuple[bool, tuple[float, str] | None]:
    if cursor is None:
        return False, None
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        back, at, key = read_json(data, 4)
        if not (isinstance(back, bool) and isinstance(at, float) and isinstance(key, str)):
            raise ValueError
        check_texts(key)
    except (ValueError, TypeError):
        raise Problem(
            400, "The cursor is not one that this API gave. Follow `next` and `previous` as they are."
        ) from None
    return back, (at, key)
