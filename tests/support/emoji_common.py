"""What the tests of the emoji server share."""

from easel.local.client import predict
from easel.local.server import Server

SMALL = {"width": 64, "height": 64, "num_inference_steps": 2}  # where any image will do


def ask(server: Server, **inputs: object) -> dict:
    """One prediction by `easel.local.client`, as script/predict makes it."""
    return predict(server.url, inputs, lambda text: None)
