"""The Cog server that a command works with: one that runs already, or one of its own."""

import argparse
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from easel.local import client
from easel.local.console import print_status
from easel.local.server import SETUP_TIMEOUT_S, Server, check_root, run_server
from easel.models import DEFAULT_MODEL
from easel.net.urls import shown_url, split_url
from easel.schema.openapi import openapi


def elsewhere() -> argparse.ArgumentParser:
    """Return the option that names a server which runs already."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--server", type=clean_url, metavar="URL", help="a Cog server that runs already; it is left running"
    )
    return parser


def setup() -> argparse.ArgumentParser:
    """Return the option of a command that starts a server."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--setup-timeout", type=float, default=SETUP_TIMEOUT_S, metavar="S", help="seconds the model may take to load"
    )
    return parser


def find_schema(args: argparse.Namespace) -> dict[str, Any]:
    """Return which inputs there are, known before the model is loaded: a misspelt name should not cost that wait."""
    if args.server:
        return client.fetch_schema(args.server)
    check_root(args.root)
    return openapi(args.root / "predict.py")


@contextmanager
def open_server(args: argparse.Namespace) -> Iterator[str]:
    """Give the URL of the server named by the caller, or of one that lives as long as this block."""
    if args.server:
        yield args.server
    else:
        with start_server(args) as server:
            yield server.url


def clean_url(url: str) -> str:
    url = (url if "://" in url else f"http://{url}").rstrip("/")
    parts = split_url(url)
    if parts is None or not parts.hostname or re.search(r"\s", url):
        raise argparse.ArgumentTypeError(f"{shown_url(url)} is not a URL; write it as http://127.0.0.1:5000")
    return url


@contextmanager
def start_server(
    args: argparse.Namespace, port: int = 0, show_log: bool = False, listener: socket.socket | None = None
) -> Iterator[Server]:
    """Give a server of our own, with one line that shows the wait: a live one on a terminal that no log shares."""
    started = time.monotonic()
    loading = f"Loading {os.environ.get('EASEL_MODEL') or DEFAULT_MODEL} ..."
    live = sys.stderr.isatty() and not show_log
    ready = False

    def show_wait(seconds: float) -> None:
        if live:
            sys.stderr.write(f"\r{loading} {seconds:.0f} s")
            sys.stderr.flush()

    if not live:
        print_status(loading)
    try:
        options = {"listener": listener, "show_log": show_log, "timeout": args.setup_timeout, "on_wait": show_wait}
        with run_server(args.root, port, **options) as server:
            ready = True
            print_status(f"{chr(13) if live else ''}{loading} ready after {time.monotonic() - started:.1f} s")
            yield server
    finally:
        if live and not ready:
            print_status("")
