"""`easel train`: a caller's images in, a LoRA out."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from easel.local.inputs import parse_inputs
from easel.training.job import job_arguments


def add_train_command(commands: Any, common: argparse.ArgumentParser) -> None:
    train = commands.add_parser(
        "train",
        parents=[common],
        help="train a LoRA on your images",
        description="Train a LoRA on your images, for the model that EASEL_MODEL names (emoji). Ctrl-C keeps what is "
        "done: the same command goes on from there. See docs/fine-tuning.md for the inputs.",
    )
    train.add_argument(
        "-i",
        "--input",
        dest="inputs",
        action="append",
        required=True,
        metavar="NAME=VALUE",
        help="an input, as input_images=@images.zip or steps=1000",
    )
    train.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the files")
    train.set_defaults(run=run_train)


def run_train(args: argparse.Namespace) -> int:
    """Check the inputs and become the process that trains, which needs torch; the terminal's signals reach it."""
    arguments = job_arguments(parse_inputs(args.inputs), args.root / "weights", os.environ, args.output)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *arguments])  # it does not return
