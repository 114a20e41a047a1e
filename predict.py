"""The Cog runner: typed inputs, one request in, image files out. Nothing else.

Every value inside `Input(...)` is a literal on purpose: Cog reads this file without running it, and drops a
limit or a description that it would have to compute. `src/easel/request.py` checks everything again and is the
truth; `tests/contract` holds the two equal.
"""

import os
import traceback
from pathlib import Path as LocalPath

from cog import BaseRunner, CancelationException, Input, Path, Secret, types

from easel.errors import EaselError
from easel.inference.cog_downloads import guard_downloads, limits
from easel.inference.health import Health
from easel.inference.temp_files import Uploads
from easel.logs import log
from easel.lora.files import AdapterFiles, Endpoints
from easel.models import DEFAULT_MODEL, load_model
from easel.request import Request
from easel.weights.reading import start_reading
from easel.weights.snapshots import obtain
from easel.weights.store import places_from


class Runner(BaseRunner):
    def setup(self) -> None:
        """Load the model's verified weights into memory, once, before the first request."""
        self.health = Health(CancelationException)
        places = places_from(os.environ)
        model = load_model(LocalPath(__file__).parent / "weights" / (os.environ.get("EASEL_MODEL") or DEFAULT_MODEL))
        reading = start_reading(obtain(model, places, log=log))
        # Only now, since importing torch takes as long as reading gigabytes: both go on side by side.
        from easel.inference.engine import Engine
        from easel.inference.loader import default_device, load_components

        self.uploads = Uploads()
        guard_downloads(types, limits(allow_loopback()), self.uploads, self.health.prediction)
        self.engine = Engine(load_components(model, reading, default_device()), adapter_files(places.cache))
        if os.environ.get("EASEL_COMPILE") == "1":
            self.engine.compile(places.cache)

    def healthcheck(self) -> bool:
        return self.health.is_well()

    def run(
        self,
        prompt: str = Input(
            min_length=1,
            max_length=5000,
            description="What the image should show, in English. Text beyond the model's token limit is ignored; the logs say how much.",
        ),
        negative_prompt: str = Input(
            default="",
            max_length=5000,
            description="What the image should not show. It has an effect only when guidance_scale is above 0.",
        ),
        image: Path | None = Input(
            default=None,
            accept="image/jpeg,image/png,image/webp,image/gif,image/avif,image/heic,image/heif",
            description="Input image: JPEG, PNG, WebP, GIF, AVIF or HEIC, at most 30 MB and 50 megapixels. Cropped to the output's aspect ratio.",
        ),
        mask: Path | None = Input(
            default=None,
            accept="image/jpeg,image/png,image/webp,image/gif,image/avif,image/heic,image/heif",
            description="Where to repaint the image: white is repainted, black is kept. It must have the image's aspect ratio.",
        ),
        prompt_strength: float = Input(
            default=0.8,
            ge=0,
            le=1,
            description="How much the output may differ from image: 0 keeps it, 1 ignores it. Of n steps, n x prompt_strength are run.",
        ),
        aspect_ratio: str = Input(
            default="1:1",
            choices=[
                "1:1",
                "16:9",
                "21:9",
                "3:2",
                "2:3",
                "4:5",
                "5:4",
                "3:4",
                "4:3",
                "9:16",
                "9:21",
                "match_input_image",
            ],
            description="Width to height of the output, at the model's native area. Ignored when width and height are given.",
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
            description="Number of images. Image k has the seed `seed + k`, so each can be made again alone.",
        ),
        num_inference_steps: int | None = Input(
            default=None,
            ge=1,
            le=50,
            description="Denoising steps, each one transformer pass (two with guidance). Empty: the model's own number.",
        ),
        guidance_scale: float | None = Input(
            default=None,
            ge=0,
            le=20,
            description="How strongly the prompt is followed; 0 is off and twice as fast. s here is 1 + s elsewhere. Empty: the model's own value.",
        ),
        seed: int | None = Input(
            default=None,
            ge=0,
            le=4294967295,
            description="Same seed and inputs, same image on one device. Empty: random; logs, metrics and file tell the seed that was used.",
        ),
        lora_weights: list[str] | None = Input(
            default=None,
            description="Up to 4 LoRAs: owner/name (Replicate), huggingface.co/owner/name, civitai.com/models/ID, or an https:// or data: URL.",
        ),
        lora_scales: list[float] | None = Input(
            default=None,
            description="Scale of each LoRA, from -2 to 2; 0 is off. One number serves all. Empty: 1 for each.",
        ),
        output_format: str = Input(
            default="webp",
            choices=["webp", "jpg", "png"],
            description="File format of the images. png is lossless. All carry the parameters as metadata.",
        ),
        output_quality: int = Input(
            default=80,
            ge=0,
            le=100,
            description="Quality of webp and jpg files, 100 is best. png ignores it.",
        ),
        go_fast: bool = Input(
            default=False,
            description="Skip every second transformer pass after the first few and extrapolate its output from the last two.",
        ),
        disable_safety_checker: bool = Input(
            default=False,
            description="Disable the safety checker. When it is on, unsafe images are removed from the output and listed in `safety.blocked`.",
        ),
        hf_token: Secret | None = Input(
            default=None,
            description="Token for private LoRAs on Hugging Face. It is sent to Hugging Face only, and never logged.",
        ),
        civitai_token: Secret | None = Input(
            default=None,
            description="Token for LoRAs on Civitai that need one. It is sent to Civitai only, and never logged.",
        ),
    ) -> list[Path]:
        """Make `num_outputs` images of `prompt`."""
        self.uploads.clear(keep=(image, mask))
        request = Request(
            prompt=prompt,
            negative_prompt=negative_prompt,
            image=image,
            mask=mask,
            prompt_strength=prompt_strength,
            aspect_ratio=aspect_ratio,
            width=width,
            height=height,
            num_outputs=num_outputs,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            seed=seed,
            lora_weights=lora_weights,
            lora_scales=lora_scales,
            output_format=output_format,
            output_quality=output_quality,
            go_fast=go_fast,
            disable_safety_checker=disable_safety_checker,
            hf_token=reveal(hf_token),
            civitai_token=reveal(civitai_token),
        )
        try:
            with self.health.prediction():
                return [Path(file) for file in self.engine.answer(request, self.record_metric)]
        except EaselError:
            raise  # a sentence for the caller
        except Exception:
            traceback.print_exc()  # Cog keeps only the message
            raise


def reveal(secret: Secret | None) -> str | None:
    return secret.get_secret_value() if secret else None


def allow_loopback() -> bool:
    return os.environ.get("EASEL_ALLOW_LOOPBACK") == "1"


def adapter_files(cache: LocalPath) -> AdapterFiles:
    """Where LoRAs come from and are kept, as the environment says it."""
    return AdapterFiles(
        cache / "adapters",
        allow_files=os.environ.get("EASEL_ALLOW_FILES") == "1",
        allow_loopback=allow_loopback(),
        endpoints=Endpoints(
            hf=(os.environ.get("HF_ENDPOINT") or Endpoints.hf).rstrip("/"),
            offline=(os.environ.get("HF_HUB_OFFLINE") or "").upper()
            in ("1", "ON", "YES", "TRUE"),  # as huggingface_hub
        ),
    )
