"""`easel dataset`: the subcommands."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from easel.cli.exit_codes import FAILED
from easel.errors import InputError
from easel.local.console import print_result, print_status
from easel.models import DEFAULT_MODEL, load_model
from easel.net.urls import shown_url
from easel.progress import Bar, LineWriter
from easel.training.buckets import resolution_for
from easel.training.captions import Captions
from easel.training.dataset import read_dataset
from easel.training.report import Report, as_json, preview, summary, table, write_report
from easel.training.source import local_dataset

DESCRIPTION = """\
Check the images of a fine-tuning without training: which are used, at which size, how they are cropped and captioned,
and what is wrong with the others. Writes one HTML page with all of them.

FILE is a zip or a tar of images, a folder, or an https:// address of an archive. An image's caption is in a .txt file
of its name: dog.jpg, dog.txt. Without one it is the trigger word; where that is missing in a caption, it stands first.
"""
EPILOG = """\
examples:
  easel dataset check images.zip
  easel dataset check images.zip --model z-image-turbo --resolution 768 -o report.html
  easel dataset check my-images/ --trigger-word SKS --caption-prefix 'a photo of SKS,' --json

The exit status is 0 when every file is used, 1 when some are left out, 2 when the set cannot be used: then standard
error has each file and its fault. docs/fine-tuning.md has the limits.
"""
PAGE = Path("dataset.html")
BAR = "{n_fmt} images, {elapsed}"


def add_dataset_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    dataset = commands.add_parser("dataset", help="check the images of a fine-tuning")
    actions = dataset.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        parents=[common],
        help="what a training would use of them, and how",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("source", metavar="FILE", help="a zip or tar, a folder, or an https:// address")
    check.add_argument("--trigger-word", default="TOK", metavar="TOK", help="the word that will stand for them (TOK)")
    check.add_argument("--caption-prefix", default="", metavar="TEXT", help="what every caption begins with")
    check.add_argument("--caption-suffix", default="", metavar="TEXT", help="what every caption ends with")
    check.add_argument("--resolution", type=int, metavar="N", help="side of a square image in pixels (the model's own)")
    check.add_argument("--model", metavar="NAME", help="a folder of weights/ (EASEL_MODEL, or emoji)")
    check.add_argument("-o", "--output", type=Path, metavar="FILE", help=f"the page ({PAGE})")
    check.add_argument("--json", action="store_true", help="print the report as JSON; without -o no page is written")
    check.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    captions = Captions(args.trigger_word, args.caption_prefix, args.caption_suffix)
    model = load_model(args.root / "weights" / (args.model or os.environ.get("EASEL_MODEL") or DEFAULT_MODEL))
    resolution = resolution_for(model, args.resolution)
    stream = sys.stderr if sys.stderr.isatty() else LineWriter(sys.stderr)
    with (
        local_dataset(args.source, print_status) as path,
        Bar(file=stream, delay=1.0, mininterval=1.0, bar_format=BAR, leave=False) as bar,
    ):
        dataset = read_dataset(path, captions, keep=preview, on_image=bar.update)
    report = Report(dataset, resolution, model.multiple)
    for line in [*table(report), "", summary(report)]:
        print_status(line)
    if args.output or not args.json:
        output = args.output or PAGE
        try:
            write_report(output, title_of(args.source), report)
        except OSError as error:
            raise InputError(f"-o {output}: cannot be written ({error.strerror}). Choose another file.") from None
        if not args.json:
            print_result(str(output))
    if args.json:
        print_result(json.dumps(as_json(report)))
    return 0 if report.is_clean else FAILED


def title_of(source: str) -> str:
    return shown_url(source) if "://" in source else source
