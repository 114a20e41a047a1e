"""What tests of a running server share: requests, also those that are cancelled, and what comes back."""

import base64
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from PIL import Image, ImageDraw

from easel.local.client import call, read_state, send
from easel.local.server import Server

REPOSITORY = Path(__file__).resolve().parents[2]


def answer_to(server: Server, **inputs: object) -> dict:
    status, answer = send(server.url, {"input": inputs})
    assert status == 200, answer
    return answer


def images(answer: dict) -> list[Image.Image]:
    assert answer["status"] == "succeeded", answer
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in answer["output"]]


def pixels(answer: dict) -> list[bytes]:
    return [image.convert("RGB").tobytes() for image in images(answer)]


def data_url(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def decoded(url: str) -> bytes:
    return base64.b64decode(url.partition(",")[2])


def picture(colour: str = "red") -> str:
    image = Image.new("RGB", (90, 60), "white")
    ImageDraw.Draw(image).ellipse((20, 10, 60, 50), fill=colour)
    return data_url(image)


def mask() -> str:
    image = Image.new("L", (90, 60))
    ImageDraw.Draw(image).rectangle((0, 0, 44, 59), fill=255)
    return data_url(image)


class Caller(threading.Thread):
    """A request that is under way, to be cancelled."""

    def __init__(self, server: Server, name: str, kind: str = "predictions", **inputs: object) -> None:
        super().__init__(daemon=True)
        self.server, self.inputs, self.answer = server, inputs, {}
        self.url = f"{server.url}/{kind}/{name}"
        self.start()

    def run(self) -> None:
        for _ in range(100):  # right after an answer the server may still hold its only place
            status, self.answer = call("PUT", self.url, {"input": self.inputs}, timeout=60)
            if status != 409:
                return
            time.sleep(0.02)

    def cancel(self) -> None:
        """Cancel it, and wait until its answer is there. While the server holds its only place, it does not know it."""
        while self.is_alive() and call("POST", f"{self.url}/cancel")[0] == 404:
            time.sleep(0.005)
        self.join(30)
        assert not self.is_alive()


def wait_until_busy(server: Server) -> None:
    wait_for(lambda: read_state(server.url) == "BUSY", "the request never started")


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def files_in(folder: Path) -> list[Path]:
    return [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]


def worker_of(server: Server) -> psutil.Process:
    (process,) = psutil.Process(server.process.pid).children(recursive=True)
    return process
