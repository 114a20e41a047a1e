"""What the tests of `easel weights` share."""

import os

LARGE, SMALL = os.urandom(400_000), b'{"width": 8}'


FILES = {"transformer/model.safetensors": LARGE, "vae/config.json": SMALL}


def row(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(name + " "))
