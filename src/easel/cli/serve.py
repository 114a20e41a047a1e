"""`easel serve`: the Cog server for people; `easel schema`: its published contract."""

import argparse
from typing import Any

from easel.cli.exit_codes import FAILED
from easel.cli.servers import setup, start_server
from easel.local import client
from easel.local.console import print_result, print_status
from easel.local.guard import LOOPBACK
from easel.local.server import bind
from easel.schema.openapi import check_schema, write_schema

DEFAULT_PORT = 5000  # Cog's own, inside a container too.


def add_server_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    serve = commands.add_parser("serve", parents=[common, setup()], help="run the server until Ctrl-C")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"0 takes a free one ({DEFAULT_PORT})")
    serve.set_defaults(run=run_serve)

    schema = commands.add_parser(
        "schema",
        parents=[common],
        help="write openapi.json from predict.py",
        description="Write the published contract, openapi.json, from predict.py. With --check nothing is written; "
        "exit code 1 and a sentence for each thing that is out of date or breaks a caller of --base.",
    )
    schema.add_argument("--check", action="store_true", help="only say what is wrong with it")
    schema.add_argument("--base", default="HEAD", metavar="REV", help="whose callers --check protects (%(default)s)")
    schema.set_defaults(run=run_schema)


def run_serve(args: argparse.Namespace) -> int:
    with bind(LOOPBACK, args.port) as listener, start_server(args, listener=listener, show_log=True) as server:
        print_result(server.url)
        print_status(
            f"Try it: curl {server.url}/predictions -H 'Content-Type: application/json' "
            """-d '{"input": {"prompt": "a red apple"}}'\n"""
            f"or:     script/predict --server {server.url} -i prompt='a red apple'\n"
            "Ctrl-C stops the server."
        )
        try:
            code = server.process.wait()
        except KeyboardInterrupt:
            print_status("\nStopping.")
            return 0
        raise client.ServerError(f"The server ended by itself with exit code {code}.")


def run_schema(args: argparse.Namespace) -> int:
    if not args.check:
        print_status("openapi.json written." if write_schema(args.root) else "openapi.json is up to date.")
        return 0
    problems = check_schema(args.root, args.base)
    for problem in problems:
        print_status(problem)
    return FAILED if problems else 0
