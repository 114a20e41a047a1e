"""The cards of this machine, and a Cog server on one of them."""

import argparse
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from easel.errors import InputError
from easel.local.console import print_status
from easel.local.server import Server, choose_port, hidden_host, run_server

if TYPE_CHECKING:
    from easel.api.own_server import OwnServer

DEVICE = re.compile(r"\d+|(?:GPU|MIG)-[\w/-]+")  # as CUDA_VISIBLE_DEVICES has them: a number or a UUID
QUERY = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]


def find_devices(wanted: str, environ: Mapping[str, str]) -> list[str]:
    """Return the cards that `wanted` names: "all", or a list as of CUDA_VISIBLE_DEVICES. Raises InputError."""
    text = wanted
    if wanted == "all":
        visible = environ.get("CUDA_VISIBLE_DEVICES")
        text = ask_driver() if visible is None else visible
    devices = [device.strip() for device in text.split(",") if device.strip()]
    if not devices:
        raise InputError(
            "--gpus all: no card is visible here. `nvidia-smi` must show one, and CUDA_VISIBLE_DEVICES not be empty."
        )
    if wrong := [device for device in devices if not DEVICE.fullmatch(device)]:
        raise InputError(f"--gpus: {wrong[0]!r} is no card. Write all, or numbers with commas between: 0,1.")
    if len(set(devices)) < len(devices):
        raise InputError(f"--gpus: {text} names a card twice, and the model is loaded once for each.")
    return devices


def ask_driver() -> str:
    """Return the numbers of all cards with commas between; nothing without a driver."""
    if not shutil.which(QUERY[0]):
        return ""
    done = subprocess.run(QUERY, capture_output=True, text=True, timeout=30, check=False)
    return ",".join(done.stdout.split()) if done.returncode == 0 else ""


def gpu_server(args: argparse.Namespace, device: str) -> "OwnServer":
    """Return a server that sees this card alone; nothing is started yet."""
    from easel.api.own_server import OwnServer

    host = hidden_host()
    port = choose_port(host, 0)

    @contextmanager
    def start() -> Iterator[Server]:
        began = time.monotonic()
        print_status(f"GPU {device}: loading ...")
        environ = {"CUDA_VISIBLE_DEVICES": device}
        with run_server(args.root, port, timeout=args.setup_timeout, environ=environ) as server:
            print_status(f"GPU {device}: ready after {time.monotonic() - began:.1f} s")
            yield server

    return OwnServer(f"http://{host}:{port}", start)
