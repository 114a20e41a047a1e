"""`easel verify`: what an image says of itself, and whether it holds."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from easel.cli.exit_codes import FAILED, REFUSED
from easel.errors import InputError
from easel.local.console import print_result
from easel.weights.store import WeightPaths

DESCRIPTION = """\
Verify the signed C2PA manifest in each image, and show what it says: model, weights, parameters, time, signer. Nothing
is fetched. The exit status is 0 when all are valid, 1 when one is not or has no manifest, 2 when one cannot be read.
"""


def add_verify_command(commands: Any, common: argparse.ArgumentParser) -> None:
    verify = commands.add_parser(
        "verify",
        help="whether an image is what it says",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="a PNG, JPEG or WebP; GIF, AVIF and HEIC too"
    )
    verify.add_argument("--trust", type=Path, metavar="PEM", help="certificates of authorities to trust, in a file")
    verify.add_argument("--json", action="store_true", help="print a list with one object for each file")
    verify.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> int:
    from easel.images.verify import Authorities, verify_file  # here: it loads c2pa, which takes 0.2 s

    try:
        given = args.trust.read_bytes() if args.trust else b""
    except OSError as error:
        raise InputError(f"--trust {args.trust}: cannot be read ({error.strerror}). Name a PEM file.") from None
    authorities = Authorities.find(WeightPaths.from_environ(os.environ).cache, given)
    reports = [(path, verify_file(path, authorities)) for path in args.files]
    if args.json:
        print_result(json.dumps([{"file": str(path), **one.to_json()} for path, one in reports], indent=2))
    else:
        print_result("\n\n".join(table(str(path), one.to_json()) for path, one in reports))
    codes = {"valid": 0, "invalid": FAILED, "unsigned": FAILED, "unreadable": REFUSED}
    return max(codes[one.state] for _, one in reports)


def table(name: str, report: dict[str, Any]) -> str:
    """Return the lines of one file: its state, then what it says."""
    trust = f"{report['signer']} ({TRUST[report['trust']]})" if report["trust"] else ""
    parameters = {
        name: value for name, value in report["parameters"].items() if name not in ("model", "weights", "easel")
    }
    said = {
        "signed by": trust,
        "made at": report["made_at"],
        "kind": report["kind"],
        "made with": report["generator"],
        "model": report["model"],
        "weights": report["weights"],
        "made from": ", ".join(report["ingredients"]),
        **parameters,
    }
    rows = [(label, " ".join(str(value).split())) for label, value in said.items() if value not in ("", None)]
    width = max((len(label) for label, _ in rows), default=0)
    state = f"{report['state']}: {report['reason']}" if report["reason"] else report["state"]
    return "\n".join([f"{name}: {state}", *(f"  {label:<{width}}  {value}" for label, value in rows)])


TRUST = {
    "trusted": "trusted",
    "this machine": "self-made certificate of this machine",
    "self-made": "self-made certificate, which nobody vouches for",
    "unknown": "not among the authorities that are trusted here",
}
