"""URLs as errors and logs may show them."""

import re

MAX_SHOWN = 200  # characters
LOGIN = r"(https?://)[^\s/?#'\"]*@"  # hf://name@revision is none


def shown_url(url: str) -> str:
    """The URL without user name, query and fragment, any of which may be a secret; cut off when it is long."""
    plain = re.split(r"[?#]", re.sub(LOGIN, r"\1", url), maxsplit=1)[0]
    return plain if len(plain) <= MAX_SHOWN else f"{plain[:MAX_SHOWN]}..."


def shown_error(error: Exception) -> str:
    """What an error of an HTTP library says, or its name, without the query of any address that it quotes."""
    text = re.sub(LOGIN, r"\1", str(error))
    return re.sub(r"[?#][^\s'\"<>()]+", "", text) or type(error).__name__
