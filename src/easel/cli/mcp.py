"""`easel mcp`: the subcommand."""

import argparse
import asyncio
import json
import os
from typing import Any

from easel.cli.api import listen
from easel.cli.page import REPLICATE
from easel.cli.servers import clean_url
from easel.errors import InputError
from easel.local.console import print_result, print_status
from easel.net.urls import is_loopback_host

EPILOG = f"""\
An assistant's program starts it and speaks to it over standard input and output. Its configuration, for example
claude_desktop_config.json (the first path is that of this `easel`):

  {{"mcpServers": {{"easel": {{
    "command": "/path/to/easel/.venv/bin/easel", "args": ["mcp"],
    "env": {{"REPLICATE_BASE_URL": "http://127.0.0.1:5001", "REPLICATE_API_TOKEN": "..."}}}}}}}}

  easel api               in a terminal; it prints the two variables
  easel mcp --http 5003   for clients that take an address: http://127.0.0.1:5003/mcp

tools: generate_image, edit_image, list_models, get_prediction, cancel_prediction. It reads and writes no files.

environment:
  REPLICATE_API_TOKEN   the token, which the assistant never sees
  REPLICATE_BASE_URL    the API without /v1: what `easel api` printed, otherwise {REPLICATE}
  EASEL_MCP_TOKEN       with --http: what clients send as Authorization: Bearer; needed with --host
"""


def add_mcp_command(commands: Any, common: argparse.ArgumentParser) -> None:
    mcp = commands.add_parser(
        "mcp",
        parents=[common],
        help="the models as tools of an assistant",
        description="A Model Context Protocol server: an assistant makes and edits images with the models of an API.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mcp.add_argument("--http", type=int, metavar="PORT", help="streamable HTTP instead; 0 takes a free port")
    mcp.add_argument("--host", default="127.0.0.1", help="with --http: address to listen on (%(default)s)")
    mcp.add_argument(
        "--model", default="easel/emoji", metavar="OWNER/NAME", help="whose inputs the tools have (%(default)s)"
    )
    mcp.set_defaults(run=run_mcp)


def run_mcp(args: argparse.Namespace) -> int:
    try:
        import uvicorn

        from easel.api.mcp import MODEL, Tools
        from easel.api.mcp_transports import create_app, open_api, serve_stdio
    except ImportError as error:
        raise InputError(f"`easel mcp` needs {error.name}: install the extra, pip install 'easel[api]'.") from None
    token = os.environ.get("REPLICATE_API_TOKEN", "").strip()
    if not token or not token.isascii():
        raise InputError("REPLICATE_API_TOKEN must be set to a token of the API. `easel api` prints one of its own.")
    if not MODEL.fullmatch(args.model):
        raise InputError(f"--model {args.model}: write it as OWNER/NAME, for example easel/emoji.")
    try:
        base = clean_url(os.environ.get("REPLICATE_BASE_URL") or REPLICATE).removesuffix("/v1")
    except argparse.ArgumentTypeError as error:
        raise InputError(f"REPLICATE_BASE_URL: {error}") from None
    own_token = os.environ.get("EASEL_MCP_TOKEN", "").strip() or None
    loopback = is_loopback_host(args.host)
    if args.http is not None and not loopback and not own_token:
        raise InputError(f"--host {args.host}: others reach it there. Set EASEL_MCP_TOKEN to a token that they send.")
    contract = args.root / "openapi.json"
    published = json.loads(contract.read_text(encoding="utf-8")) if contract.is_file() else {}
    api = open_api(base, token)
    tools = Tools(api, args.model, published)
    if args.http is None:
        print_status(f"{args.model} by {base}, over standard input and output, until that is closed or Ctrl-C.")
        return asyncio.run(serve_stdio(tools))
    with listen(args.host, args.http) as listener:
        app = create_app(tools.server(), own_token, loopback)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2)
        host = f"[{args.host}]" if ":" in args.host else args.host
        print_result(f"http://{host}:{listener.getsockname()[1]}/mcp")
        print_status(f"{args.model} by {base}. Ctrl-C stops it.")
        try:
            asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
        except KeyboardInterrupt:
            print_status("\nStopping.")
    return 0
