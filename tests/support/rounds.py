"""How often a test repeats what chance decides. EASEL_TEST_ROUNDS=full asks for more, as before a release."""

import os


def rounds(usual: int, full: int) -> int:
    return full if os.environ.get("EASEL_TEST_ROUNDS") == "full" else usual
