"""EASEL_COMPILE=1 on a small transformer, in processes of their own, since what torch compiles belongs to a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.fx.experimental._config as shapes
from torch._dynamo.utils import counters

from easel.inference.compile import load_kept, prepare, run_uncompiled
from tests.support.tiny_z_image import tiny_modules

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys, threading
from pathlib import Path
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch._dynamo.utils import counters
from easel.lora.adapter import Adapter, Pair, Transformer
from easel.inference.compile import compile_modules

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(16, 32), torch.nn.Linear(32, 16)

    def forward(self, x):
        return x + self.down(torch.nn.functional.silu(self.up(x)).sin())

class Small(ModelMixin, ConfigMixin):
    _repeated_blocks = ["Block"]

    @register_to_config
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x

torch.manual_seed(0)
model = Small().eval().requires_grad_(False)
transformer = Transformer(model, torch.device("cpu"), torch.float32)
lora = Adapter("lora", {"blocks.1.up": Pair(torch.randn(4, 16), torch.randn(32, 4), 1.0)})
inputs = [torch.randn(2, length, 16) for length in (8, 20, 33)]

@torch.inference_mode()
def run(x, adapters=()):
    with transformer.adapted(adapters):
        return model(x)

def frames():
    return counters["frames"]["total"]

eager, eager_lora = [run(x) for x in inputs], run(inputs[0], [(lora, 1.0)])
logs = []
compile_modules(model, [], lambda: run(inputs[0]), Path(sys.argv[1]), "small", logs.append)
compiled, threads = frames(), threading.active_count()
first = run(inputs[0])
with_lora = run(inputs[0], [(lora, 1.0)])
other_scale = run(inputs[0], [(lora, 0.5)])
in_thread = []
thread = threading.Thread(target=lambda: in_thread.append(run(inputs[0])))
thread.start(); thread.join()
print(json.dumps({
    "logs": logs,
    "compiled_later": frames() - compiled,
    "misses": counters["inductor"]["fxgraph_cache_miss"],
    "hits": counters["inductor"]["fxgraph_cache_hit"],
    "calls": [block._compiled_call_impl is not None for block in model.blocks],
    "far": max(float((run(x) - e).abs().max()) for x, e in zip(inputs, eager)),
    "a_b_a": run(inputs[0]).equal(first) and in_thread[0].equal(first),
    "lora_far": float((with_lora - eager_lora).abs().max() / eager_lora.abs().max()),
    "lora_counts": not with_lora.equal(other_scale) and not with_lora.equal(first),
    "threads_later": threading.active_count() - threads,
}))
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def start(kept, tmp_path):
    """Runs PROGRAM in a new process whose inductor has an empty folder; returns what it prints."""

    def run(**environ: str) -> dict:
        # Torch's header for C++ takes longer to precompile than the one kernel here that includes it.
        environ |= {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}
        environ |= {
            "TORCHINDUCTOR_VEC_ISA_OK": "1"
        }  # it would compile a program for each kind that the CPU says it has
        env = os.environ | {"PYTHONPATH": str(ROOT / "src")} | environ
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(kept)], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def check_images(report: dict) -> None:
    assert report["far"] < 1e-5
    assert report["a_b_a"]
    assert report["lora_far"] < 1e-5
    assert report["lora_counts"]


def test_without_a_compiler_the_blocks_run_uncompiled_and_the_log_says_why(start, kept):
    report = start(PATH="/nowhere", CXX="/nowhere/g++")
    assert len(report["logs"]) == 1
    assert report["logs"][0].startswith("compile: the model stays uncompiled: ")
    assert report["calls"] == [False] * 3
    assert report["far"] == 0
    check_images(report)
    assert list(kept.rglob("*")) == []


def test_one_graph_serves_all_blocks_and_sizes_and_nothing_is_compiled_in_a_request(start, kept):
    report = start()
    assert report["logs"][0].startswith("compile: ")
    assert report["logs"][0].endswith(" s")
    assert (report["misses"], report["compiled_later"], report["threads_later"]) == (1, 0, 0)
    assert report["calls"] == [True] * 3
    check_images(report)
    (file,) = kept.rglob("*.*")
    assert file.suffix == ".bin"


def test_a_second_start_compiles_nothing(start, kept):
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.bin")}
    report = start()
    assert report["logs"][0].endswith(" s, with what an earlier start has kept")
    assert (report["misses"], report["compiled_later"]) == (0, 0)
    assert report["hits"] > 0
    assert report["calls"] == [True] * 3
    check_images(report)
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()} == before


def test_one_graph_of_each_kind_of_block_serves_every_number_of_tokens_and_size():
    """Of Z-Image's own classes: blocks with and without a timestep, and the VAE's decoder."""
    transformer, _, vae = (module.eval().requires_grad_(False) for module in tiny_modules())
    width, channels = transformer.config.cap_feat_dim, transformer.config.in_channels

    def run(tokens: int, height: int, width_of_image: int) -> None:
        latents = torch.zeros(channels, 1, height, width_of_image)
        transformer([latents], torch.full((1,), 0.5), [torch.zeros(tokens, width)], return_dict=False)
        vae.decode(torch.zeros(1, channels, height, width_of_image))

    torch._dynamo.reset()
    prepare(transformer, [vae.decoder], backend="eager")
    counters.clear()
    try:
        with shapes.patch(use_duck_shape=False), torch.inference_mode():
            run(40, 16, 16)  # 64 tokens of the image, and of the padded text: two of one size are not one dimension
        assert counters["stats"]["unique_graphs"] == 3
        with torch.compiler.set_stance("fail_on_recompile"), torch.inference_mode():
            for tokens in (1, 31, 32, 33, 64, 100, 256, 511, 512):
                run(tokens, 16, 16)
            # On a CPU the compiler also looks at a convolution of up to 20,480 numbers: all of these are on one side.
            for sides in ((16, 24), (24, 16), (16, 32)):
                run(77, *sides)
    finally:
        run_uncompiled(transformer)
        torch._dynamo.reset()


def test_a_file_that_is_damaged_or_of_another_key_is_ignored_and_the_log_says_so(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    (file,) = kept.rglob("*.bin")
    whole = file.read_bytes()
    damaged = tmp_path / "damaged.bin"
    for content, key in (
        (whole[: len(whole) // 2], "small"),
        (b"", "small"),
        (whole[:200] + b"\xff" * 50 + whole[250:], "small"),
        (whole, "another"),
    ):
        damaged.write_bytes(content)
        logs = []
        assert not load_kept(damaged, key, logs.append)
        assert logs[0].startswith(f"compile: {damaged} is ignored (")
    assert not load_kept(tmp_path / "missing.bin", "small", logs.append)
    assert len(logs) == 1  # nothing kept is no fault
