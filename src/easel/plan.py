"""What will be done for a request, with nothing left open: sizes, one seed per image, steps, guidance."""

import json
import secrets
from dataclasses import asdict, dataclass, replace

from easel.models import Model
from easel.request import MAX_SEED, Request, check_request
from easel.sizes import size_for, snap


@dataclass(frozen=True)
class Plan:
    """Sizes are in pixels; `seeds` has one entry per image; `warnings` say what could not be honoured as asked."""

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
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def plan_request(request: Request, model: Model) -> Plan:
    """Check a request and settle it. Raises InputError.

    Image k has the seed `seed + k` (mod 2^32); without a seed, one is drawn from all 2^32.
    """
    check_request(request, model)
    width, height = plan_size(request, model)
    first_seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else int(request.seed)
    steps, guidance = request.num_inference_steps, request.guidance_scale
    plan = Plan(
        model=model.name,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=width,
        height=height,
        seeds=tuple((first_seed + k) % (MAX_SEED + 1) for k in range(int(request.num_outputs))),
        num_inference_steps=int(model.num_inference_steps if steps is None else steps),
        guidance_scale=float(model.guidance_scale if guidance is None else guidance),
        output_format=request.output_format,
        output_quality=int(request.output_quality),
    )
    return replace(plan, warnings=plan_warnings(request, plan, model.multiple))


def plan_size(request: Request, model: Model) -> tuple[int, int]:
    if request.width is None or request.height is None:
        return size_for(request.aspect_ratio, model.native_area, model.multiple)
    return snap(request.width, model.multiple), snap(request.height, model.multiple)


def plan_warnings(request: Request, plan: Plan, multiple: int) -> tuple[str, ...]:
    warnings = []
    if request.width is not None and (request.width, request.height) != (plan.width, plan.height):
        asked = f"{request.width:g} x {request.height:g}"
        warnings.append(f"{asked} was rounded to {plan.width} x {plan.height} pixels, multiples of {multiple}.")
    if request.width is not None and request.aspect_ratio != Request.aspect_ratio:
        warnings.append(f"aspect_ratio {request.aspect_ratio} is ignored, since width and height are given.")
    if request.negative_prompt and plan.guidance_scale == 0:
        warnings.append("negative_prompt has no effect with guidance_scale 0: raise guidance_scale to use it.")
    return tuple(warnings)
