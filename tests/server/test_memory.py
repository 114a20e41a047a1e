"""The memory of a server of the emoji model as users have it: a leak of a small one would be lost in the noise."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from easel.local.server import Server
from tests.server.calls import answer_to, worker_of
from tests.support.lora_files import write_loras
from tests.support.rounds import rounds
from tests.support.serving import serving
from tests.support.small_emoji import EMOJI

REFERENCE = {"prompt": "red apple", "num_inference_steps": 1, "guidance_scale": 0, "seed": 3, "output_format": "png"}
# What stays resident is then in use, not kept by the allocator. Far lower limits cost 40 % more time.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": str(2**20)}


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    with serving(tmp_path, EASEL_ALLOW_FILES="1", **RETURNED) as server:
        yield server


@pytest.fixture
def loras(tmp_path) -> list[Path]:
    return write_loras(EMOJI, tmp_path / "loras", 10)


def test_requests_of_three_sizes_over_10_loras_keep_memory_flat(server, loras, record_property):
    process, count = worker_of(server), rounds(usual=40, full=100)

    def smallest_of(requests: range) -> int:
        """The least resident memory after any of these requests: the allocator's ups and downs are some MB."""
        sizes = []
        for k in requests:
            inputs = {"lora_weights": [str(loras[k % 10])], "lora_scales": [(k % 7 - 3) / 2]}
            inputs |= {"width": (64, 96, 64)[k % 3], "height": (64, 64, 96)[k % 3]}
            assert answer_to(server, **REFERENCE, **inputs)["status"] == "succeeded"
            sizes.append(process.memory_info().rss)
        return min(sizes)

    smallest_of(range(20))  # all ten are in memory, and the allocator has what it needs
    first, second = smallest_of(range(count)), smallest_of(range(count, 2 * count))
    assert second - first < 8 * 2**20, f"{first / 2**20:.1f} MiB, then {second / 2**20:.1f} MiB"
    record_property("MiB", (first / 2**20, second / 2**20))
