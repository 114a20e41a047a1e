"""What the clients ask for, each in its language."""

from typing import Any

from tests.server.calls import REPOSITORY

MODEL = "easel/emoji"
APPLE = {"prompt": "a red apple", "seed": 7, "num_inference_steps": 2}
SKETCH = REPOSITORY / "samples/inputs/sketch.jpg"
FROM_SKETCH: dict[str, Any] = {**APPLE, "prompt": "lion", "prompt_strength": 0.5}
STEPS = {"prompt": "a dog", "num_inference_steps": 30}  # long enough to be looked at several times
LONG = {"prompt": "a dog", "num_inference_steps": 50, "num_outputs": 4}  # never to be waited for
BROKEN = {"prompt": "x", "width": 128}  # passes the schema, and the model refuses it
WHY = "width is given without height"  # its sentence
ARCHIVE_TOKEN = "token-of-the-archive"  # of an account with ARCHIVED predictions that have ended, and nothing else
ARCHIVED = 203  # three pages, since one has 100
POLL_S = 0.05  # The clients' own 0.5 s would be most of what an image takes.


def pixel_chunk(webp: bytes) -> bytes:
    """Return a WebP's compressed pixels: beside them stands a signature, which is another one in each file."""
    at = webp.index(b"VP8 ")
    return webp[at : at + 8 + int.from_bytes(webp[at + 4 : at + 8], "little")]
