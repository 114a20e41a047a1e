"""A Cog server of `tests/yielder`, a model that gives its output part by part."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from easel.local.client import ServerError, read_state
from easel.local.server import server_environment
from easel.schema.openapi import openapi
from tests.server.calls import wait_for

RUNNER = Path(__file__).parents[1] / "yielder/predict.py"
OUTPUT = {
    "title": "Output",
    "type": "array",
    "items": {"type": "string"},
    "x-cog-array-type": "iterator",
    "x-cog-array-display": "concatenate",
}


@contextmanager
def run_yielder(folder: Path) -> Iterator[str]:
    """Its URL. `folder` must not exist yet."""
    (folder / ".cog").mkdir(parents=True)
    # Easel's own schema writer has no iterators: of the same inputs with a text as output, changed as Cog writes it.
    text = RUNNER.read_text()
    plain = folder / "plain.py"
    plain.write_text(
        text.replace("BaseRunner, ConcatenateIterator", "BaseRunner").replace("ConcatenateIterator[str]", "str")
    )
    document = openapi(plain)
    document["components"]["schemas"]["Output"] = OUTPUT
    (folder / ".cog/openapi_schema.json").write_text(json.dumps(document))
    shutil.copy(RUNNER, folder)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        environment = os.environ | server_environment(port)
        command = [sys.executable, "-m", "cog.server.http"]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_for(lambda: is_ready(url), "it never got ready")
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def is_ready(url: str) -> bool:
    try:
        return read_state(url) == "READY"
    except ServerError:
        return False
