"""URLs as errors and logs may show them."""

import re

MAX_SHOWN = 200  # characters


def shown_url(url: str) -> str:
    """The URL without user name, query and fragment, any of which may be a secret; cut off when it is long."""
    plain = re.split(r"[?#]", re.sub(r"//[^/?#]*@", "//", url), maxsplit=1)[0]
    return plain if len(plain) <= MAX_SHOWN else f"{plain[:MAX_SHOWN]}..."
