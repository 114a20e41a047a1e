"""`easel page`: the subcommand."""

import argparse
import asyncio
import os
import re
import sys
import webbrowser
from typing import Any

from easel.cli.api import listen
from easel.cli.servers import clean_url
from easel.errors import EaselError, InputError
from easel.local.console import print_result, print_status
from easel.weights.store import WeightPaths

DEFAULT_PORT = 5002
REPLICATE = "https://api.replicate.com"
MODEL = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
HOST = "127.0.0.1"  # Who reaches the page spends the token, so no other machine does.
EPILOG = f"""\
  easel api                       in one terminal; it prints the two variables below
  easel page                      in another

environment:
  REPLICATE_API_TOKEN   the token, which the browser never sees
  REPLICATE_BASE_URL    the API without /v1: what `easel api` printed, otherwise {REPLICATE}
"""


def add_page_command(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser(
        "page",
        parents=[common],
        help="the model's page in the browser",
        description="An API's models in the browser: a form for each, its runs, versions and README, code for it, "
        "and trainings. With the extra `plan` also a planner: what your traffic costs on each platform.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    page.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"0 takes a free one ({DEFAULT_PORT})")
    page.add_argument(
        "--model", default="easel/emoji", metavar="OWNER/NAME", help="what the page opens with (%(default)s)"
    )
    page.set_defaults(run=run_page)


def run_page(args: argparse.Namespace) -> int:
    try:
        import uvicorn

        from easel.page.app import PageSettings, create_page_app
    except ImportError as error:
        raise InputError(f"`easel page` needs {error.name}: install the extra, pip install 'easel[api]'.") from None
    token = os.environ.get("REPLICATE_API_TOKEN", "").strip()
    if not token:
        raise InputError(
            "There is no REPLICATE_API_TOKEN in the environment. Set it to a token of the API that the page is to use: "
            "`easel api` prints one of its own, and Replicate's are at https://replicate.com/account/api-tokens."
        )
    if not MODEL.fullmatch(args.model):
        raise InputError(f"--model {args.model}: write it as OWNER/NAME, for example easel/emoji.")
    try:
        base = clean_url(os.environ.get("REPLICATE_BASE_URL") or REPLICATE)
    except argparse.ArgumentTypeError as error:
        raise InputError(f"REPLICATE_BASE_URL: {error}") from None
    with listen(HOST, args.port) as listener:
        port = listener.getsockname()[1]
        settings = PageSettings(
            model=args.model,
            api=base.removesuffix("/v1"),
            token=token,
            port=port,
            samples=args.root / "samples",
            weights=args.root / "weights",
            cache=WeightPaths.from_environ(os.environ).cache,
        )
        app = create_page_app(settings)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2)
        try:
            asyncio.run(serve(uvicorn.Server(config), listener, settings))
        except KeyboardInterrupt:
            print_status("\nStopping.")
    return 0


async def serve(server: Any, listener: Any, settings: Any) -> None:
    """Print the address as soon as the page is there; show it where a person sits at the terminal."""
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    if server.started:
        url = f"http://{HOST}:{settings.port}"
        print_result(url)
        print_status(f"{settings.model} by {settings.api}. Ctrl-C stops the page.")
        if sys.stdout.isatty():
            webbrowser.open(url)
    await task
    if not server.started:
        raise EaselError("The page could not start; see above.")
