"""The Cog runner: typed inputs as a table, then one call. Nothing else.

Cog reads this file without running it, so every value inside `Input(...)` is a literal: it would drop one that has to be
computed. `src/easel/request.py` checks everything again and is the truth; `tests/contract` holds the two equal.
"""

import os
from pathlib import Path as LocalPath

from cog import BaseRunner, CancelationException, Input, Path, Secret, types

from easel.inference.startup import load_service


class Runner(BaseRunner):  # type: ignore[misc] # cog publishes no types
    def setup(self, weights: Path | str | None = None) -> None:
        """Load the model's verified weights into memory, once; `weights`: a LoRA from train.py, for every request."""
        models = LocalPath(__file__).parent / "weights"
        self.service = load_service(models, os.environ, types, CancelationException, weights)

    def healthcheck(self) -> bool:
        return self.service.is_well()

    # fmt: off
    def run(
        self,
        # what to draw
        prompt: str = Input(min_length=1, max_length=5000,
            description="What the image should show, in English. Text beyond the model's token limit is ignored; the logs say how much."),
        negative_prompt: str = Input(default="", max_length=5000,
            description="What the image should not show. It has an effect only when guidance_scale is above 0."),
        # from an image
        image: Path | None = Input(default=None, accept="image/jpeg,image/png,image/webp,image/gif,image/avif,image/heic,image/heif",
            description="Input image: JPEG, PNG, WebP, GIF, AVIF or HEIC, at most 30 MB and 50 megapixels. Cropped to the output's aspect ratio."),
        mask: Path | None = Input(default=None, accept="image/jpeg,image/png,image/webp,image/gif,image/avif,image/heic,image/heif",
            description="Where to repaint the image: white is repainted, black is kept. It must have the image's aspect ratio."),
        prompt_strength: float = Input(default=0.8, ge=0, le=1,
            description="How much the output may differ from image: 0 keeps it, 1 ignores it. Of n steps, n x prompt_strength are run."),
        # size
        aspect_ratio: str = Input(default="1:1", choices=["1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21", "match_input_image"],
            description="Width to height of the output, at the model's native area. Ignored when width and height are given."),
        width: int | None = Input(default=None, ge=64, le=2048,
            description="Width in pixels, together with height. Rounded to the nearest multiple of 16. Overrides aspect_ratio."),
        height: int | None = Input(default=None, ge=64, le=2048,
            description="Height in pixels, together with width. Rounded to the nearest multiple of 16. Overrides aspect_ratio."),
        # sampling
        num_outputs: int = Input(default=1, ge=1, le=4,
            description="Number of images. Image k has the seed `seed + k`, so each can be made again alone."),
        num_inference_steps: int | None = Input(default=None, ge=1, le=50,
            description="Denoising steps, each one transformer pass (two with guidance). Empty: the model's own number."),
        guidance_scale: float | None = Input(default=None, ge=0, le=20,
            description="How strongly the prompt is followed; 0 is off, and twice as fast. Empty: the model's own value."),
        seed: int | None = Input(default=None, ge=0, le=4294967295,
            description="Same seed and inputs, same image on one device. Empty: random; logs, metrics and file tell the seed that was used."),
        # LoRA
        lora_weights: list[str] | None = Input(default=None,
            description="Up to 4 LoRAs: owner/name (Replicate), huggingface.co/owner/name, civitai.com/models/ID, or an https:// or data: URL."),
        lora_scales: list[float] | None = Input(default=None,
            description="Scale of each LoRA, from -2 to 2; 0 is off. One number serves all. Empty: 1 for each."),
        # files
        output_format: str = Input(default="webp", choices=["webp", "jpg", "png"],
            description="File format of the images. png is lossless. All carry the parameters as metadata."),
        output_quality: int = Input(default=80, ge=0, le=100,
            description="Quality of webp and jpg files, 100 is best. png ignores it."),
        # speed and safety
        go_fast: bool = Input(default=False,
            description="Skip every second transformer pass after the first few and extrapolate its output from the last two."),
        disable_safety_checker: bool = Input(default=False,
            description="Disable the safety checker. When it is on, unsafe images are removed from the output and listed in `safety.blocked`."),
        # tokens
        hf_token: Secret | None = Input(default=None,
            description="Token for private LoRAs on Hugging Face. It is sent to Hugging Face only, and never logged."),
        civitai_token: Secret | None = Input(default=None,
            description="Token for LoRAs on Civitai that need one. It is sent to Civitai only, and never logged."),
    ) -> list[Path]:
        """Make `num_outputs` images of `prompt`."""
        inputs = {name: value for name, value in locals().items() if name != "self"}
        return [Path(file) for file in self.service.answer(inputs, self.record_metric, self.scope.context)]
    # fmt: on
