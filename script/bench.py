"""Measure Easel on this machine: a table for people, then one JSON line.

    script/bench [NAME ...] [--rounds N]

request     one request over HTTP against the bare diffusers pipeline with the same weights, steps and size, interleaved
start       from process start to READY against `python -c "import torch"`, interleaved
cold-start  from process start to 4 GB of weights in memory, page cache emptied, against diffusers' own loading (root)
go-fast     the emoji model at 20 steps, 50 prompts, exact and with go_fast interleaved: time saved, PSNR
fetch       one file from nginx on loopback, by Easel and by curl, aria2 and huggingface_hub, interleaved (needs them)
api         a prediction through `easel api` against its Cog server alone, interleaved; then 1,000 from 32 clients
api-faults  500 random faults under load, or --rounds N: everything around `easel api` and itself breaks (best as root)
train       steps of a training by Easel's loop against a minimal loop over the same model, interleaved; peak memory
images      the largest image of each format that is accepted, from file to sRGB pixels, interleaved with Pillow alone
provenance  a signature: seconds and bytes for each format and size, the import before the first, and a start with and
            without it
simulate    requests a second of the simulation, beside simpy and ciw; 10^4 to 10^8 of them; a sweep of 100 settings
batch       `easel batch` against two bare loops, in turns: images a second; then --rounds x 400 requests under kill -9
            of actors and of the driver, resumed, and the memory that is taken after the last
compile     two starts with EASEL_COMPILE=1: what the second pays of the first, and a request against an uncompiled one

Ratios are what counts: both sides are measured side by side in one run, and medians are taken. Absolute times differ
from machine to machine.
"""

import argparse
import json

from benches.api import bench_api
from benches.api_faults import bench_api_faults
from benches.batch import bench_batch
from benches.cold_start import bench_cold_start
from benches.compile import bench_compile
from benches.emoji import bench_request, bench_start
from benches.fetch import bench_fetch
from benches.go_fast import bench_go_fast
from benches.images import bench_images
from benches.provenance import bench_provenance
from benches.simulate import bench_simulate
from benches.train import bench_train

# What each takes is the number of measured rounds, what it gives are named figures.
BENCHES = {
    "request": bench_request,
    "start": bench_start,
    "cold-start": bench_cold_start,
    "go-fast": bench_go_fast,
    "fetch": bench_fetch,
    "batch": bench_batch,
    "compile": bench_compile,
    "train": bench_train,
    "images": bench_images,
    "provenance": bench_provenance,
    "simulate": bench_simulate,
    "api": bench_api,
    "api-faults": bench_api_faults,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="NAME", help="which (request and start)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds of each (%(default)s)")
    options = parser.parse_args()
    if unknown := set(options.what) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; choose from {', '.join(BENCHES)}")
    results: dict[str, float] = {}
    for name in options.what or ("request", "start"):
        results |= BENCHES[name](options.rounds)
    for name, value in results.items():
        print(f"{name:<28} {value:8.3f}")
    print(json.dumps({"bench": "easel", **{name: round(value, 4) for name, value in results.items()}}))


if __name__ == "__main__":
    main()
