"""The `easel` command. The scripts in `script/` call it; each subcommand is a few lines over the other modules.

Standard output carries only results (paths, JSON, a URL); all that is meant for reading goes to standard error.
Exit codes: 0 done, 1 failed, 2 the request cannot be sent as it is, 128 + n stopped by signal n (130: Ctrl-C).
"""

import argparse
import json
import os
import re
import signal
import socket
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from easel.cli.api import add_api_command
from easel.cli.page import add_page_command
from easel.cli.push import add_push_command
from easel.cli.weights import add_weights_commands
from easel.errors import EaselError, InputError
from easel.local import client
from easel.local.console import LogView, print_result, say
from easel.local.guard import LOOPBACK
from easel.local.inputs import cast_inputs, encode_files, parse_inputs, read_json_inputs
from easel.local.server import SETUP_TIMEOUT_S, Server, bind, check_root, run_server
from easel.models import DEFAULT_MODEL
from easel.net.urls import shown_url
from easel.schema.openapi import check_schema, openapi, write_schema

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT_PORT = 5000  # Cog's own, inside a container too.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FAILED, REFUSED, INTERRUPTED = 1, 2, 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    for signum in SIGNALS:  # Ctrl-C too, since a shell starts its background jobs with that one ignored.
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # `nohup` wants to be left alone.
            signal.signal(signum, interrupt)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        say("\nCanceled.")
        return INTERRUPTED
    except EaselError as error:
        say(f"{error}")
        return REFUSED if isinstance(error, InputError) else FAILED


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="easel", description="A text-to-image model, served by Cog without Docker.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--root", type=Path, default=REPOSITORY, help="folder with predict.py (this repository)")
    elsewhere = argparse.ArgumentParser(add_help=False)
    elsewhere.add_argument(
        "--server", type=clean_url, metavar="URL", help="a Cog server that runs already; it is left running"
    )
    setup = argparse.ArgumentParser(add_help=False)
    setup.add_argument(
        "--setup-timeout", type=float, default=SETUP_TIMEOUT_S, metavar="S", help="seconds the model may take to load"
    )

    predict = commands.add_parser(
        "predict", parents=[common, elsewhere, setup], help="send one request and save its files"
    )
    given = predict.add_mutually_exclusive_group()
    given.add_argument(
        "-i",
        "--input",
        dest="inputs",
        action="append",
        metavar="NAME=VALUE",
        help="an input, as prompt='a red apple' or image=@photo.jpg; repeat the name for a list",
    )
    given.add_argument("--json", metavar="OBJECT", help="all inputs as JSON, @file or @-; the answer is JSON too")
    predict.add_argument("-o", "--output", metavar="DIR", help="folder for the files, which replace older ones (.)")
    predict.set_defaults(run=run_predict)

    serve = commands.add_parser("serve", parents=[common, setup], help="run the server until Ctrl-C")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"0 takes a free one ({DEFAULT_PORT})")
    serve.set_defaults(run=run_serve)

    schema = commands.add_parser("schema", parents=[common], help="write openapi.json from predict.py")
    schema.add_argument("--check", action="store_true", help="only say what is wrong with it")
    schema.add_argument("--base", default="HEAD", metavar="REV", help="whose callers --check protects (%(default)s)")
    schema.set_defaults(run=run_schema)

    samples = commands.add_parser(
        "samples", parents=[common, elsewhere, setup], help="make the pictures in samples/outputs"
    )
    samples.set_defaults(run=run_samples)
    add_weights_commands(commands, common)
    add_api_command(commands, common, setup)
    add_page_command(commands, common)
    add_push_command(commands, common)
    return parser.parse_args(argv)


def run_predict(args: argparse.Namespace) -> int:
    folder = Path(args.output or ".")
    check_folder(folder)
    schema = find_schema(args)
    if args.json is None:
        inputs = cast_inputs(parse_inputs(args.inputs or []), schema)
    else:
        inputs = encode_files(read_json_inputs(args.json), Path(), schema)
    with open_server(args) as url:
        prediction = predict_aloud(url, inputs)
        prediction["output"] = client.save_output(prediction.get("output"), folder, "output")
    if args.json is not None:
        text = json.dumps(prediction, indent=2, ensure_ascii=False)
        print_result(text)
        if args.output:  # As `cog run` does.
            (folder / "output.json").write_text(text + "\n", encoding="utf-8")
    if prediction["status"] != "succeeded":
        say(explain_failure(prediction))
        return FAILED
    if args.json is None:
        outputs = prediction["output"]
        if not outputs:
            say("The model made no file.")
        for output in outputs if isinstance(outputs, list) else [outputs]:
            print_result(output if isinstance(output, str) else json.dumps(output))
    return 0


def run_serve(args: argparse.Namespace) -> int:
    with bind(LOOPBACK, args.port) as listener, start_server(args, listener=listener, show_log=True) as server:
        print_result(server.url)
        say(
            f"Try it: curl {server.url}/predictions -H 'Content-Type: application/json' "
            """-d '{"input": {"prompt": "a red apple"}}'\n"""
            f"or:     script/predict --server {server.url} -i prompt='a red apple'\n"
            "Ctrl-C stops the server."
        )
        try:
            code = server.process.wait()
        except KeyboardInterrupt:
            say("\nStopping.")
            return 0
        raise client.ServerError(f"The server ended by itself with exit code {code}.")


def run_schema(args: argparse.Namespace) -> int:
    if not args.check:
        say("openapi.json written." if write_schema(args.root) else "openapi.json is up to date.")
        return 0
    problems = check_schema(args.root, args.base)
    for problem in problems:
        say(problem)
    return FAILED if problems else 0


def run_samples(args: argparse.Namespace) -> int:
    folder = args.root / "samples"
    requests = sorted((folder / "requests").glob("*.json"))
    if not requests:
        raise InputError(f"There is no request in {folder / 'requests'}: put the inputs of one in NAME.json.")
    schema = find_schema(args)
    with open_server(args) as url:
        for path in requests:
            say(path.stem)
            inputs = encode_files(read_json_inputs(f"@{path}"), path.parent, schema)
            prediction = predict_aloud(url, inputs)
            if prediction["status"] != "succeeded":
                raise client.ServerError(f"{path.name}: {explain_failure(prediction)}")
            output = prediction["output"]
            single = output[0] if isinstance(output, list) and len(output) == 1 else output
            saved = client.save_output(single, folder / "outputs", path.stem)
            print_result("\n".join(saved) if isinstance(saved, list) else saved)
    return 0


def check_folder(folder: Path) -> None:
    if folder.suffix in client.EXTENSIONS.values() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"-o {folder}: give a folder. The files in it are called output.0.webp, output.1.webp, ...")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        raise InputError(f"-o {folder}: {existing} is a file. Choose a folder with -o.")
    if not os.access(existing, os.W_OK):
        raise InputError(f"-o {folder}: no permission to write in {existing}. Choose another folder with -o.")


def find_schema(args: argparse.Namespace) -> dict[str, Any]:
    """Which inputs there are, known before the model is loaded: a misspelt name should not cost that wait."""
    if args.server:
        return client.fetch_schema(args.server)
    check_root(args.root)
    return openapi(args.root / "predict.py")


@contextmanager
def open_server(args: argparse.Namespace) -> Iterator[str]:
    """The URL of the server named by the caller, or of one that lives as long as this block."""
    if args.server:
        yield args.server
    else:
        with start_server(args) as server:
            yield server.url


def clean_url(url: str) -> str:
    url = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        valid = bool(urllib.parse.urlsplit(url).hostname) and not re.search(r"\s", url)
    except ValueError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(f"{shown_url(url)} is not a URL; write it as http://127.0.0.1:5000")
    return url


@contextmanager
def start_server(
    args: argparse.Namespace, port: int = 0, show_log: bool = False, listener: socket.socket | None = None
) -> Iterator[Server]:
    """A server of our own, with one line that shows the wait: a live one on a terminal that no log shares."""
    started = time.monotonic()
    loading = f"Loading {os.environ.get('EASEL_MODEL') or DEFAULT_MODEL} ..."
    live = sys.stderr.isatty() and not show_log
    ready = False

    def show_wait(seconds: float) -> None:
        if live:
            sys.stderr.write(f"\r{loading} {seconds:.0f} s")
            sys.stderr.flush()

    if not live:
        say(loading)
    try:
        options = {"listener": listener, "show_log": show_log, "timeout": args.setup_timeout, "on_wait": show_wait}
        with run_server(args.root, port, **options) as server:
            ready = True
            say(f"{chr(13) if live else ''}{loading} ready after {time.monotonic() - started:.1f} s")
            yield server
    finally:
        if live and not ready:
            say("")


def predict_aloud(url: str, inputs: dict[str, Any]) -> dict[str, Any]:
    view = LogView()
    try:
        return client.predict(url, inputs, view.write)
    finally:
        view.close()


def explain_failure(prediction: dict[str, Any]) -> str:
    if prediction["status"] == "canceled":
        return "The prediction was canceled on the server."
    return f"The prediction failed: {client.plain_error(prediction.get('error') or prediction['status'])}"


def interrupt(signum: int, frame: object) -> NoReturn:
    """Leave through every `finally`. What they do ends within seconds; a second signal would break it off half-way."""
    for each in SIGNALS:
        signal.signal(each, lambda signum, frame: None)
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
