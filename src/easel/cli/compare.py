"""`easel compare`: the images of a start-up option beside the exact ones."""

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from easel.cli.exit_codes import FAILED
from easel.cli.predict import check_folder, explain_failure
from easel.cli.servers import setup, start_server
from easel.errors import InputError
from easel.inference.options import Options
from easel.local import client
from easel.local.console import print_result, print_status
from easel.models import DEFAULT_MODEL, MEMORY_MODES, load_model
from easel.publish.quality import LPIPS_LIMIT, Pair, compare_images, load_lpips, write_comparison

DESCRIPTION = """\
Draw 20 fixed prompts twice, by a server that is exact and by one with an option of the start, and say how far the
images are from each other: PSNR, LPIPS where the package lpips is installed, seconds an image, and a page of all pairs.

The options are those of the environment variables EASEL_GO_FAST, EASEL_MEMORY, EASEL_ATTENTION and EASEL_COMPILE; see
docs/speed.md. The exit status is 1 when the mean LPIPS is above 0.10, which is the limit for go_fast.
"""
NAMES = {"compile": "EASEL_COMPILE", "attention": "EASEL_ATTENTION", "go_fast": "EASEL_GO_FAST"}


def add_compare_command(commands: Any, common: argparse.ArgumentParser) -> None:
    compare = commands.add_parser(
        "compare",
        parents=[common, setup()],
        help="show what an option of the start does to the images",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: easel compare z-image-turbo --go-fast",
    )
    compare.add_argument("model", nargs="?", help="a folder of weights/ (EASEL_MODEL, or emoji)")
    compare.add_argument("--go-fast", action="store_true", help="float8 products in the transformer")
    compare.add_argument("--memory", choices=MEMORY_MODES, help="how the weights share the device's memory")
    compare.add_argument("--attention", action="store_true", help="the back end of model.yaml for this card")
    compare.add_argument("--compile", action="store_true", help="torch.compile")
    compare.add_argument("--prompts", type=Path, metavar="FILE", help="one a line (samples/compare.txt)")
    compare.add_argument("-o", "--output", type=Path, default=Path("compare"), metavar="DIR", help="(compare)")
    compare.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> int:
    options = Options(compile=args.compile, attention=args.attention, go_fast=args.go_fast, memory=args.memory)
    wanted = environment_of(options)
    if not wanted:
        raise InputError(
            "Name what to compare with the exact images: --go-fast, --memory MODE, --attention, --compile."
        )
    Options.from_environ(wanted)
    check_folder(args.output)
    prompts = read_prompts(args.prompts or args.root / "samples" / "compare.txt")
    model = load_model(args.root / "weights" / (args.model or os.environ.get("EASEL_MODEL") or DEFAULT_MODEL))
    lpips, reason = load_lpips()
    if reason:
        print_status(reason)
    exact, exact_s = draw_all(args, model.name, {}, prompts, args.output / "exact")
    others, other_s = draw_all(args, model.name, wanted, prompts, args.output / "other")
    pairs = compare_images(prompts, exact, others, lpips)
    result = {"model": model.name, **wanted, **summary(pairs), "exact_s": exact_s, "other_s": other_s}
    page = args.output / "index.html"
    facts = [f"{name}: {value}" for name, value in result.items()]
    write_comparison(page, f"{model.title}: exact, and with {', '.join(wanted)}", facts, pairs)
    print_result(json.dumps(result | {"page": str(page)}))
    return FAILED if (result["lpips_mean"] or 0) > LPIPS_LIMIT else 0


def environment_of(options: Options) -> dict[str, str]:
    """Return the variables that ask a server for these options."""
    wanted = {variable: "1" for name, variable in NAMES.items() if getattr(options, name)}
    return wanted | ({"EASEL_MEMORY": options.memory} if options.memory else {})


def draw_all(
    args: argparse.Namespace, model: str, environ: dict[str, str], prompts: list[str], folder: Path
) -> tuple[list[Path], float]:
    """Draw each prompt with the seed of its number by a server of our own; return the files and median seconds."""
    for name in (*NAMES.values(), "EASEL_MEMORY"):
        os.environ.pop(name, None)
    os.environ.update({"EASEL_MODEL": model, **environ})
    files, seconds = [], []
    with start_server(args) as server:
        for seed, prompt in enumerate(prompts):
            print_status(f"{folder.name} {seed + 1}/{len(prompts)}: {prompt}")
            inputs = {"prompt": prompt, "seed": seed, "output_format": "png"}
            prediction = client.predict(server.url, inputs, lambda text: None)
            if prediction["status"] != "succeeded":
                raise client.ServerError(f"{prompt}: {explain_failure(prediction)}")
            saved = client.save_output(prediction["output"][0], folder, f"{seed:02}")
            files.append(Path(saved))
            seconds.append(prediction["metrics"]["predict_time"])
    return files, round(statistics.median(seconds), 3)


def summary(pairs: list[Pair]) -> dict[str, Any]:
    """Return the figures over all pairs, each pair's before on standard error."""
    for pair in pairs:
        distance = "" if pair.lpips is None else f"  LPIPS {pair.lpips:.3f}"
        print_status(f"{pair.psnr:6.1f} dB{distance}  {pair.prompt}")
    measured = [pair.lpips for pair in pairs if pair.lpips is not None]
    return {
        "images": len(pairs),
        "psnr_mean_db": round(statistics.mean(pair.psnr for pair in pairs), 2),
        "psnr_min_db": round(min(pair.psnr for pair in pairs), 2),
        "lpips_mean": round(statistics.mean(measured), 4) if measured else None,
        "lpips_limit": LPIPS_LIMIT,
    }


def read_prompts(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if prompts := [line for line in lines if line]:
        return prompts
    raise InputError(f"{path} has no prompt: write one a line.")
