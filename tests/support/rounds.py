"""How much a test does: how often it repeats what chance decides. EASEL_TEST_ROUNDS=full asks for more, as before a
release.
"""

import os
from typing import TypeVar

Choice = TypeVar("Choice")


def rounds(usual: Choice, full: Choice) -> Choice:
    return full if os.environ.get("EASEL_TEST_ROUNDS") == "full" else usual
