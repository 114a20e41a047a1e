"""`easel api`: the subcommand."""

import argparse
import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from easel.cli.gpus import find_devices, gpu_server
from easel.cli.servers import clean_url, setup, start_server
from easel.cli.training_server import training_server
from easel.errors import InputError
from easel.local.console import print_status
from easel.models import DEFAULT_MODEL
from easel.net.urls import is_loopback

DEFAULT_PORT = 5001
EPILOG = """\
Applications that use Replicate's clients run against it unchanged: set REPLICATE_BASE_URL to the address that it prints
and REPLICATE_API_TOKEN to a token of yours. Without --server it starts a Cog server of this repository's own.

  easel api
  easel api --server http://127.0.0.1:5000 --server http://127.0.0.1:5010
  EASEL_MODEL=z-image-turbo easel api --gpus all
  easel api --server me/z-image-turbo=http://gpu-box:5000 --callback-url http://this-machine:5001

environment:
  EASEL_API_TOKENS   TOKEN or TOKEN ACCOUNT, several with commas between; without any, one is made and shown
  DATABASE_URL       postgresql://user@host/name; without it, SQLite in the --data folder
"""


def add_api_command(commands: Any, common: argparse.ArgumentParser) -> None:
    api = commands.add_parser(
        "api",
        parents=[common, setup()],
        help="Replicate's HTTP API in front of Cog servers",
        description="Replicate's HTTP API, version 1, in front of one or more Cog servers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    api.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"0 takes a free one ({DEFAULT_PORT})")
    api.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine only)")
    api.add_argument(
        "--server", action="append", default=[], metavar="[OWNER/NAME=]URL", help="a Cog server; repeat for several"
    )
    api.add_argument(
        "--gpus",
        metavar="all|N,N,...",
        help="start a Cog server for each of these cards, and again when one dies; all: those of CUDA_VISIBLE_DEVICES, "
        "or of nvidia-smi",
    )
    api.add_argument("--data", type=Path, help="folder for database and files (~/.cache/easel/api)")
    api.add_argument("--tokens", type=Path, metavar="FILE", help="a line each: TOKEN or TOKEN ACCOUNT")
    api.add_argument("--public-url", metavar="URL", help="as clients reach it, if not http://HOST:PORT")
    api.add_argument("--callback-url", metavar="URL", help="as the Cog servers reach it, if not http://HOST:PORT")
    api.add_argument(
        "--tls",
        action="store_true",
        help="https with a certificate of its own, so that outputs are https addresses; what to export is printed. "
        "Cog servers call back without it, at the next port",
    )
    api.add_argument("--page-url", metavar="URL", help="of `easel page`, for links to models and predictions")
    api.add_argument(
        "--retention", type=float, default=3600, metavar="S", help="inputs and outputs are kept so long (%(default)s)"
    )
    api.add_argument(
        "--max-queue", type=int, default=1000, metavar="N", help="predictions that may wait; then 429 (%(default)s)"
    )
    api.add_argument(
        "--max-seconds", type=float, default=1800, metavar="S", help="a prediction may run so long (%(default)s)"
    )
    api.add_argument(
        "--rate-limit", type=int, default=600, metavar="N", help="creates a minute and account; 0: any (%(default)s)"
    )
    api.add_argument(
        "--allow-private-webhooks", action="store_true", help="deliver also to http:// and to private addresses"
    )
    api.add_argument(
        "--allow-push", action="store_true", help="a version may be registered with the Cog servers that run it"
    )
    api.set_defaults(run=run_api)


def run_api(args: argparse.Namespace) -> int:
    try:
        from easel.api.own_server import OwnServer
        from easel.api.service import Api
        from easel.api.serving import serve
        from easel.api.settings import Settings, read_tokens
        from easel.api.tls import host_names, own_certificate
    except ImportError as error:
        raise InputError(f"`easel api` needs {error.name}: install the extra, pip install 'easel[api]'.") from None
    tokens = read_tokens(args.tokens)
    data = args.data or Path(os.environ.get("EASEL_CACHE_DIR") or Path.home() / ".cache" / "easel") / "api"
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        data.chmod(0o700)  # inputs, secrets and uploads of all accounts
    except OSError as error:
        raise InputError(f"--data {data}: cannot be made ({error.strerror}). Choose another folder.") from None
    if args.gpus and args.server:
        raise InputError("--gpus starts the servers, and --server names some that run: give one of them.")
    devices = find_devices(args.gpus, os.environ) if args.gpus else []
    servers: list[tuple[str, str]] = [parse_server(text) for text in args.server]
    own = [gpu_server(args, device) for device in devices]
    servers += [parse_server(one.url) for one in own]
    with ExitStack() as stack:
        listener = stack.enter_context(listen(args.host, args.port))
        if not servers:
            server = stack.enter_context(start_server(args))
            own_port = int(server.url.rpartition(":")[2])
            own = [OwnServer(server.url, lambda: start_server(args, own_port), server.process)]
            servers = [parse_server(server.url)]
        for one in own:
            stack.callback(one.close)
        host = args.host if args.host not in ("0.0.0.0", "::") else "127.0.0.1"
        port = listener.getsockname()[1]
        url = f"{'https' if args.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        certificate, callbacks, callback_url = None, None, args.callback_url or url
        if args.tls:
            certificate = own_certificate(data / "tls", host_names(host, urlsplit(args.public_url or "").hostname))
            print_status(certificate.exports())
            if not args.callback_url:  # Cog's webhooks trust no certificate of ours
                callbacks = stack.enter_context(listen("127.0.0.1", port + 1 if args.port else 0))
                callback_url = f"http://127.0.0.1:{callbacks.getsockname()[1]}"
        if not tokens:
            token = f"r8_{secrets.token_urlsafe(24)}"
            tokens = {token: "easel"}
            print_status(f"export REPLICATE_BASE_URL={args.public_url or url} REPLICATE_API_TOKEN={token}")
        settings = Settings(
            public_url=(args.public_url or url).rstrip("/"),
            callback_url=callback_url.rstrip("/"),
            data=data,
            database_url=os.environ.get("DATABASE_URL") or f"sqlite:///{data / 'easel.db'}",
            tokens=tokens,
            servers=tuple(servers),
            page_url=args.page_url.rstrip("/") if args.page_url else None,
            root=args.root,
            retention_s=args.retention,
            max_queue=args.max_queue,
            max_seconds=args.max_seconds,
            creates_per_minute=args.rate_limit,
            allow_private_webhooks=args.allow_private_webhooks,
            allow_push=args.allow_push,
            public=not is_loopback(url) or not is_loopback(args.public_url or url) or args.host != host,
        )
        api = Api(settings, own, training_server(args))
        try:
            asyncio.run(serve(api, listener, certificate, callbacks))
        except KeyboardInterrupt:
            print_status("\nStopping.")
    return 0


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{host}:{port} cannot be used ({reason}). Choose another --port; 0 takes a free one."
            ) from None
        yield listener


def parse_server(text: str) -> tuple[str, str]:
    """`owner/name=URL` or `URL`, whose model is then easel/<EASEL_MODEL>. Raises InputError."""
    model, equals, url = text.partition("=")
    if not equals or "/" not in model or "://" in model:
        model, url = f"easel/{os.environ.get('EASEL_MODEL') or DEFAULT_MODEL}", text
    if model.count("/") != 1 or not all(model.split("/")):
        raise InputError(f"--server {text}: write it as OWNER/NAME=http://127.0.0.1:5000")
    try:
        return model, clean_url(url)
    except argparse.ArgumentTypeError as error:
        raise InputError(f"--server {text}: {error}") from None
