"""Requests to a Cog server of the checkpoint, and what comes back."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from easel.local.client import call, read_state, send
from gpu_check.context import Context

Pixels = np.ndarray  # (height, width, 3), uint8


def reference(context: Context) -> dict[str, Any]:
    """Request A: small, since what counts is that it is the same."""
    width, height, steps = (64, 80, 2) if context.tiny else (512, 640, 4)
    size = {"width": width, "height": height, "num_inference_steps": steps}
    return {"prompt": "a dog on a beach in the evening", "seed": 3, "output_format": "png", **size}


def answer(url: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The prediction. Raises RuntimeError with its error unless it succeeds."""
    prediction: dict[str, Any]
    status, prediction = send(url, {"input": inputs})
    if status != 200 or prediction.get("status") != "succeeded":
        raise RuntimeError(f"{status}: {prediction.get('error') or prediction}")
    return prediction


def images(prediction: dict[str, Any]) -> list[Pixels]:
    data = (base64.b64decode(url.partition(",")[2]) for url in prediction["output"])
    return [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in data]


def make(url: str, **inputs: Any) -> list[Pixels]:
    return images(answer(url, inputs))


def is_varied(image: Pixels) -> bool:
    """Neither constant nor black, as an image of numbers that are not finite would be."""
    return float(image.std()) > 2 and len(np.unique(image)) > 16


def data_url(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def source_image(context: Context) -> Image.Image:
    """A gradient, of the reference's size."""
    size = reference(context)
    ramp = np.linspace(0, 255, size["width"] * size["height"] * 3, dtype=np.uint8)
    return Image.fromarray(ramp.reshape(size["height"], size["width"], 3))


def left_half(context: Context) -> Image.Image:
    """A mask: white (to be painted) on the left."""
    size = reference(context)
    mask = Image.new("L", (size["width"], size["height"]))
    mask.paste(255, (0, 0, size["width"] // 2, size["height"]))
    return mask


def write_lora(folder: Path, seed: int) -> Path:
    """A LoRA of rank 16 on every attention layer, whose changes are about a third of the weights."""
    path = folder / "loras" / f"{seed}.safetensors"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        config = json.loads((folder / "plain" / "transformer" / "config.json").read_text())
        width, rank, random = config["dim"], 16, np.random.default_rng(seed)
        tensors: dict[str, np.ndarray] = {}
        for layer in range(config["n_layers"]):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                stem = f"diffusion_model.layers.{layer}.attention.{part}"
                down = random.standard_normal((rank, width), dtype=np.float32) / width**0.5
                up = random.standard_normal((width, rank), dtype=np.float32) * 0.1
                tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
        save_file(tensors, path)
    return path


def cancel_in_the_middle(context: Context, url: str, inputs: dict[str, Any]) -> str:
    """The status in which a long request ends that is cancelled while it is denoised."""
    found: dict[str, Any] = {}

    def ask() -> None:
        for _ in range(100):  # Right after an answer Cog may still hold its only place: 409.
            found["answer"] = call("PUT", f"{url}/predictions/gpu-check", {"input": inputs}, timeout=120)
            if found["answer"][0] != 409:
                return
            time.sleep(0.02)

    caller = threading.Thread(target=ask, daemon=True)
    caller.start()
    wait_until(lambda: read_state(url) == "BUSY", "the request never began")
    time.sleep(0.3 if context.tiny else 1.0)  # past the text encoder
    call("POST", f"{url}/predictions/gpu-check/cancel")
    caller.join(60)
    if caller.is_alive():
        raise RuntimeError("the request goes on 60 s after its cancellation")
    return str(found["answer"][1].get("status"))


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.005)
