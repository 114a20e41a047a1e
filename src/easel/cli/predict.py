"""`easel predict` and `easel samples`: requests to a Cog server, and their files."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from easel.cli.exit_codes import FAILED
from easel.cli.servers import elsewhere, find_schema, open_server, setup
from easel.errors import InputError
from easel.local import client
from easel.local.console import LogView, print_result, print_status
from easel.local.inputs import cast_inputs, encode_files, parse_inputs, read_json_inputs
from easel.samples import read_samples


def add_predict_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    parents = [common, elsewhere(), setup()]
    predict = commands.add_parser("predict", parents=parents, help="send one request and save its files")
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

    samples = commands.add_parser(
        "samples",
        parents=parents,
        help="make the images in samples/outputs",
        description="Make the images in samples/outputs from the requests in samples/requests, by a server that is "
        "started for it, or by --server.",
    )
    samples.set_defaults(run=run_samples)


def run_predict(args: argparse.Namespace) -> int:
    folder = Path(args.output or ".")
    check_folder(folder)
    schema = find_schema(args)
    if args.json is None:
        inputs = cast_inputs(parse_inputs(args.inputs or []), schema)
    else:
        inputs = encode_files(read_json_inputs(args.json), Path(), schema)
    with open_server(args) as url:
        prediction = predict_with_logs(url, inputs)
        prediction["output"] = client.save_output(prediction.get("output"), folder, "output")
    if args.json is not None:
        text = json.dumps(prediction, indent=2, ensure_ascii=False)
        print_result(text)
        if args.output:  # As `cog run` does.
            (folder / "output.json").write_text(text + "\n", encoding="utf-8")
    if prediction["status"] != "succeeded":
        print_status(explain_failure(prediction))
        return FAILED
    if args.json is None:
        outputs = prediction["output"]
        if not outputs:
            print_status("The model made no file.")
        for output in outputs if isinstance(outputs, list) else [outputs]:
            print_result(output if isinstance(output, str) else json.dumps(output))
    return 0


def run_samples(args: argparse.Namespace) -> int:
    folder = args.root / "samples"
    samples = read_samples(folder / "requests")
    schema = find_schema(args)
    with open_server(args) as url:
        for sample in samples:
            print_status(sample.name)
            inputs = encode_files(sample.inputs, sample.path.parent, schema)
            prediction = predict_with_logs(url, inputs)
            if prediction["status"] != "succeeded":
                raise client.ServerError(f"{sample.path.name}: {explain_failure(prediction)}")
            output = prediction["output"]
            single = output[0] if isinstance(output, list) and len(output) == 1 else output
            saved = client.save_output(single, folder / "outputs", sample.name)
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


def predict_with_logs(url: str, inputs: dict[str, Any]) -> dict[str, Any]:
    view = LogView()
    try:
        return client.predict(url, inputs, view.write)
    finally:
        view.close()


def explain_failure(prediction: dict[str, Any]) -> str:
    if prediction["status"] == "canceled":
        return "The prediction was canceled on the server."
    return f"The prediction failed: {client.plain_error(prediction.get('error') or prediction['status'])}"
