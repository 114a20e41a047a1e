"""The Cog server in which `easel api` trains."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from easel.local.server import Server, choose_port, hidden_host, run_server
from easel.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from easel.api.own_server import OwnServer


def training_server(args: argparse.Namespace) -> "tuple[str, OwnServer] | None":
    """Return the model that can be trained and its server, which is not started yet; None without a train.py."""
    from easel.api.own_server import OwnServer

    if not (args.root / "train.py").is_file():
        return None
    host = hidden_host()
    port = choose_port(host, 0)

    @contextmanager
    def start() -> Iterator[Server]:
        with run_server(args.root, port, timeout=args.setup_timeout, train=True) as server:
            yield server

    return os.environ.get("EASEL_MODEL") or DEFAULT_MODEL, OwnServer(f"http://{host}:{port}", start)
