"""The Cog runner: typed inputs, one request in, image files out. Nothing else.

Every value inside `Input(...)` is a literal on purpose: Cog reads this file without running it, and drops a
limit or a description that it would have to compute. `src/easel/request.py` checks everything again and is the
truth; `tests/contract` holds the two equal.
"""

import os
import sys
import tempfile
import traceback
from contextlib import closing
from pathlib import Path as LocalPath

from cog import BaseRunner, Input, Path

from easel.errors import EaselError
from easel.images import image_metadata, save_image
from easel.loader import default_device, load_components
from easel.models import DEFAULT_MODEL, load_model
from easel.pipeline import Timings, run_plan
from easel.plan import Plan, plan_request
from easel.request import Request


class Runner(BaseRunner):
    def setup(self) -> None:
        """Load the model's verified weights into memory, once, before the first request."""
        model = load_model(LocalPath(__file__).parent / "weights" / (os.environ.get("EASEL_MODEL") or DEFAULT_MODEL))
        self.components = load_components(model, default_device())
        self.outputs: tempfile.TemporaryDirectory | None = None

    def run(
        self,
        prompt: str = Input(
            min_length=1,
            max_length=5000,
            description="What the picture should show, in English. What exceeds the model's token limit is ignored, and the logs say how much.",
        ),
        negative_prompt: str = Input(
            default="",
            max_length=5000,
            description="What the picture should not show. It has an effect only when guidance_scale is above 0.",
        ),
        aspect_ratio: str = Input(
            default="1:1",
            choices=["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21"],
            description="Width to height of the picture, at the model's native area (emoji: 128 x 128 pixels, z-image-turbo: 1024 x 1024). Ignored when width and height are given.",
        ),
        width: int | None = Input(
            default=None,
            ge=64,
            le=2048,
            description="Width in pixels, together with height. Rounded to the nearest multiple of 16. Overrides aspect_ratio.",
        ),
        height: int | None = Input(
            default=None,
            ge=64,
            le=2048,
            description="Height in pixels, together with width. Rounded to the nearest multiple of 16. Overrides aspect_ratio.",
        ),
        num_outputs: int = Input(
            default=1,
            ge=1,
            le=4,
            description="How many pictures to make. Picture k has the seed seed + k, so each can be made again alone.",
        ),
        num_inference_steps: int | None = Input(
            default=None,
            ge=1,
            le=50,
            description="Denoising steps, each one pass of the transformer (two with guidance). Empty: the model's own number.",
        ),
        guidance_scale: float | None = Input(
            default=None,
            ge=0,
            le=20,
            description="How strongly the prompt is followed. Z-Image's number: prediction = prompt + scale x (prompt - negative_prompt), so s here is 1 + s in the textbook formula. 0 is off (and twice as fast); above 0, negative_prompt counts. Empty: the model's own value.",
        ),
        seed: int | None = Input(
            default=None,
            ge=0,
            le=4294967295,
            description="Same seed and inputs, same picture, bit for bit on one device. 0 is a seed like any other. Empty: random; the seed used is in the logs, the metrics and the file.",
        ),
        output_format: str = Input(
            default="webp",
            choices=["webp", "jpg", "png"],
            description="File format of the pictures. png is lossless. All carry the parameters as metadata.",
        ),
        output_quality: int = Input(
            default=80,
            ge=0,
            le=100,
            description="Quality of webp and jpg files, 100 is best. png ignores it.",
        ),
    ) -> list[Path]:
        """Make `num_outputs` pictures of `prompt`."""
        request = Request(
            prompt=prompt,
            negative_prompt=negative_prompt,
            aspect_ratio=aspect_ratio,
            width=width,
            height=height,
            num_outputs=num_outputs,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            seed=seed,
            output_format=output_format,
            output_quality=output_quality,
        )
        try:
            return self.answer(request)
        except EaselError:
            raise  # a sentence for the caller
        except Exception:
            traceback.print_exc()  # Cog keeps only the message
            raise

    def answer(self, request: Request) -> list[Path]:
        """Plan, run, save, and say what was done."""
        plan = plan_request(request, self.components.model)
        self.log(f"seed: {', '.join(map(str, plan.seeds))}", *(f"warning: {text}" for text in plan.warnings))
        timings = Timings()
        files = self.make_files(plan, timings)
        self.log(f"timings: {timings}")
        self.record_metric("seeds", list(plan.seeds))
        self.record_metric("image_count", len(files))
        for phase, seconds in timings.seconds.items():
            self.record_metric(f"timings.{phase}", round(seconds, 4))
        return files

    def make_files(self, plan: Plan, timings: Timings) -> list[Path]:
        """The plan's images as files, in a folder of this request alone.

        The folder before it goes (Cog has sent its files), and this one too when the run ends early.
        """
        if self.outputs:
            self.outputs.cleanup()
        self.outputs = tempfile.TemporaryDirectory(prefix="easel-")
        files = []
        try:
            with closing(run_plan(plan, self.components, timings)) as images:
                for k, image in enumerate(images):
                    path = LocalPath(self.outputs.name) / f"{plan.model}-{plan.seeds[k]}.{plan.output_format}"
                    metadata = image_metadata(plan, k, self.components.digest)
                    with timings.measure("encode_file"):
                        save_image(image, path, plan.output_quality, metadata)
                    files.append(Path(path))
        except BaseException:
            self.outputs.cleanup()
            raise
        return files

    @staticmethod
    def log(*lines: str) -> None:
        """Lines for the prediction's logs, which Cog takes from standard error."""
        sys.stderr.write("".join(line + "\n" for line in lines))
        sys.stderr.flush()
