"""What will be done for a request, with nothing left open: sizes, one seed per image, steps, guidance."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from easel import __version__
from easel.models import Model
from easel.request import MAX_SEED, Request, check_request
from easel.sizes import MATCH_INPUT_IMAGE, ratio_of, size_for, snap

MAX_LABEL = 200  # characters: four LoRAs beside the longest prompts still fit JPEG's 64 KB of metadata
RANDOM_SEEDS = 2**31  # Cog's command line reads `-i seed=N` as 32 bits with a sign, and seeds are given back to it


Metadata = dict[str, str | int | float | list[str] | list[float]]


@dataclass(frozen=True)
class Lora:
    """One LoRA of a request: the reference as it was given (it may hold a secret of the caller's) and its scale."""

    reference: str
    scale: float


@dataclass(frozen=True)
class Plan:
    """Sizes are in pixels; `seeds` has one entry per image; `warnings` say what could not be honoured as asked.

    `kind` is text, image or inpaint. `go_fast` says whether transformer passes will be skipped and extrapolated.
    """

    model: str
    prompt: str
    negative_prompt: str
    width: int
    height: int
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    output_format: str
    output_quality: int
    kind: str = "text"
    prompt_strength: float = 1.0
    loras: tuple[Lora, ...] = ()
    go_fast: bool = False
    check_safety: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def passes(self) -> int:
        """Denoising steps that are left for one image: all of them, or ceil(steps x prompt_strength) on an image.

        The arithmetic is that of `get_timesteps` in diffusers' ZImageImg2ImgPipeline, roundings included.
        """
        steps = self.num_inference_steps
        return steps if self.kind == "text" else steps - int(max(steps - min(steps * self.prompt_strength, steps), 0))

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    def metadata(self, k: int, weights_digest: str, loras: Sequence[str] = ()) -> Metadata:
        """Return what image k is made from, by the API's names. `loras` are the names that may be shown of them."""
        scales = [lora.scale for lora in self.loras]
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seeds[k],
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "weights": weights_digest,
            "easel": __version__,
            **({} if self.kind == "text" else {"prompt_strength": self.prompt_strength}),
            **({"go_fast": True} if self.go_fast else {}),
            **({"lora_weights": [name[:MAX_LABEL] for name in loras], "lora_scales": scales} if loras else {}),
        }


def plan_request(request: Request, model: Model, image_size: tuple[int, int] | None = None) -> Plan:
    """Return the plan for a request, which is checked first. Raises InputError. No file is read.

    `image_size` is the (width, height) of the request's image in pixels, None exactly where it has none. Image k has
    the seed `seed + k` (mod 2^32); without a seed, all are drawn below 2^31.
    """
    check_request(request, model)
    width, height = plan_size(request, model, image_size)
    count = int(request.num_outputs)
    first_seed = secrets.randbelow(RANDOM_SEEDS - count + 1) if request.seed is None else int(request.seed)
    steps, guidance = request.num_inference_steps, request.guidance_scale
    plan = Plan(
        model=model.name,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=width,
        height=height,
        seeds=tuple((first_seed + k) % (MAX_SEED + 1) for k in range(count)),
        num_inference_steps=int(model.num_inference_steps if steps is None else steps),
        guidance_scale=float(model.guidance_scale if guidance is None else guidance),
        output_format=request.output_format,
        output_quality=int(request.output_quality),
        kind=request.kind,
        prompt_strength=1.0 if request.image is None else float(request.prompt_strength),
        loras=plan_loras(request),
        check_safety=not request.disable_safety_checker,
    )
    exact_passes = (model.go_fast or {}).get("exact_passes", plan.passes)
    plan = replace(plan, go_fast=request.go_fast and plan.passes > exact_passes)
    return replace(plan, warnings=plan_warnings(request, plan, model))


def plan_size(request: Request, model: Model, image_size: tuple[int, int] | None) -> tuple[int, int]:
    if request.width is None or request.height is None:
        aspect_ratio = request.aspect_ratio
        if image_size and aspect_ratio == MATCH_INPUT_IMAGE:
            aspect_ratio = ratio_of(*image_size)
        return size_for(aspect_ratio, model.native_area, model.multiple)
    return snap(request.width, model.multiple), snap(request.height, model.multiple)


def plan_loras(request: Request) -> tuple[Lora, ...]:
    """Return the LoRAs with their scales: one scale serves all, none means 1."""
    references = request.lora_weights or []
    scales = request.lora_scales or [1.0]
    scales = scales * len(references) if len(scales) == 1 else scales
    return tuple(Lora(reference, float(scale)) for reference, scale in zip(references, scales, strict=True))


def plan_warnings(request: Request, plan: Plan, model: Model) -> tuple[str, ...]:
    warnings = []
    if request.width is not None and (request.width, request.height) != (plan.width, plan.height):
        asked = f"{request.width:g} x {request.height:g}"
        warnings.append(f"{asked} was rounded to {plan.width} x {plan.height} pixels, multiples of {model.multiple}.")
    if request.width is not None and request.aspect_ratio != Request.aspect_ratio:
        warnings.append(f"aspect_ratio {request.aspect_ratio} is ignored, since width and height are given.")
    if request.negative_prompt and plan.guidance_scale == 0:
        warnings.append("negative_prompt has no effect with guidance_scale 0: raise guidance_scale to use it.")
    if request.image is None and request.prompt_strength != Request.prompt_strength:
        warnings.append("prompt_strength has no effect without an image.")
    if request.go_fast and not plan.go_fast:
        why = f"{model.name} has no setting for it"
        if model.go_fast:
            why = f"it computes the first {model.go_fast['exact_passes']} steps, and there are {plan.passes}"
        warnings.append(f"go_fast has no effect: {why}.")
    if plan.passes == 0:
        warnings.append("prompt_strength 0 leaves nothing to do: the image comes back, only resized.")
    return tuple(warnings)
