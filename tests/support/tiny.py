"""A model that exists only as its settings, for tests that need no weights."""

from pathlib import Path

from easel.models import Model

MODEL = Model(
    name="tiny",
    title="Tiny",
    license="Apache-2.0",
    source="nowhere",
    pipelines={"text": "ZImagePipeline", "image": "ZImageImg2ImgPipeline", "inpaint": "ZImageInpaintPipeline"},
    dtype={"default": "float32"},
    num_inference_steps=8,
    guidance_scale=3.5,
    native_area=128**2,
    min_area=64**2,
    max_area=192**2,
    multiple=16,
    max_prompt_tokens=64,
    safety_checker=None,
    skip={},
    go_fast={"exact_passes": 5},
    preview=None,
    attention={},
    memory_modes=None,
    hardware={"device": "cpu", "memory_gb": 1},
    training={
        "steps": 100,
        "learning_rate": 1e-3,
        "batch_size": 1,
        "resolution": "128",
        "preserve": [],
        "adapter": None,
        "measure": None,
    },
    folder=Path("weights/tiny"),
)
