"""The cases of a push: requests with their expected images, run on one version by the client, and checked.

What ran is in the state with the files that it made, so that it is not run again.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easel.errors import EaselError, InputError
from easel.images.input import open_image
from easel.local.client import ServerError, plain_error
from easel.local.console import print_status
from easel.local.inputs import encode_files
from easel.models import Model
from easel.plan import Plan, plan_request
from easel.publish.replicate_api import FINAL, Replicate, UnreadableError
from easel.publish.state import State
from easel.request import Request
from easel.samples import Sample, read_samples

if TYPE_CHECKING:
    from PIL.Image import Image
    from replicate.prediction import Prediction

FORMATS = {"WEBP": "webp", "JPEG": "jpg", "PNG": "png"}
WAIT_S = 1800.0  # Replicate ends a prediction after 30 minutes
TOLD_EVERY_S = 20.0


@dataclass(frozen=True)
class Case:
    """A request of `samples/requests`, and what its answer must be."""

    name: str
    given: dict[str, Any]  # as the file has it
    inputs: dict[str, Any]  # as it is sent: files are data URLs
    plan: Plan


def read_cases(folder: Path, model: Model) -> list[Case]:
    return [read_case(sample, model) for sample in read_samples(folder)]


def read_case(sample: Sample, model: Model) -> Case:
    given, path = sample.inputs, sample.path
    if given.get("seed") is None:
        raise InputError(f"{path}: names no seed, and without one its images cannot be compared. Add one.")
    inputs = encode_files(given, path.parent)
    files = {name: file for name in ("image", "mask") if (file := sample.file_of(given.get(name)))}
    try:
        size = open_image("image", files["image"]).size if "image" in files else None
        plan = plan_request(Request(**(inputs | files)), model, size)
    except (EaselError, TypeError) as error:
        raise InputError(f"{path}: {model.name} cannot make this: {error}") from None
    return Case(sample.name, given, inputs, plan)


@dataclass(frozen=True)
class CaseRun:
    """One prediction that ended. `files` are its images, in order."""

    status: str
    files: tuple[Path, ...] = ()
    predict_s: float | None = None
    error: str = ""


def run_once(api: Replicate, version: str, case: Case, state: State, keys: tuple[str, ...], folder: Path) -> CaseRun:
    """Return the run that the state has at `keys`; otherwise the one that was begun, or a new one, to its end."""
    known = state.get(*keys, default={})
    if known.get("status") is None:
        try:
            begun = known.get("prediction") and api.prediction(known["prediction"])
            if not begun or (begun.status in FINAL and not begun.output):  # gone, as output is after an hour
                begun = api.start(version, case.inputs)
                state.set(*keys, value={"prediction": begun.id})
            finished = wait(api, begun, case.name)
        except UnreadableError:
            state.set(*keys, value={})  # else it would be asked for again each time
            raise
        state.set(*keys, value=ended(api, finished, folder, f"{case.name}.{keys[-1]}"))
        known = state.get(*keys)
    files = tuple(folder / name for name in known["files"])
    return CaseRun(known["status"], files, known["predict_s"], known["error"])


def wait(api: Replicate, prediction: "Prediction", name: str) -> "Prediction":
    began = told = time.monotonic()
    while prediction.status not in FINAL:
        time.sleep(api.poll_s)
        now = time.monotonic()
        if now - began > WAIT_S:
            raise ServerError(f"{name}: prediction {prediction.id} is {prediction.status} after {WAIT_S:.0f} s.")
        if now - told > TOLD_EVERY_S:
            told = now
            print_status(f"  {name}: {prediction.status}, {now - began:.0f} s")
        found = api.prediction(prediction.id)
        if found is None:
            raise ServerError(f"{name}: prediction {prediction.id} is gone. Run this again.")
        prediction = found
    return prediction


def ended(api: Replicate, prediction: "Prediction", folder: Path, stem: str) -> dict[str, Any]:
    """Return what the state keeps of a prediction; its images are written to `folder`."""
    output = prediction.output or []
    urls = output if isinstance(output, list) else [output]
    files = []
    folder.mkdir(parents=True, exist_ok=True)
    for k, url in enumerate(urls):
        data = api.read(url)
        name = f"{stem}.{k}.{FORMATS.get(format_of(data), 'bin')}"
        (folder / name).write_bytes(data)
        files.append(name)
    return {
        "prediction": prediction.id,
        "status": prediction.status,
        "files": files,
        "predict_s": (prediction.metrics or {}).get("predict_time"),
        "error": plain_error(prediction.error) if prediction.error else "",
    }


def check_runs(case: Case, runs: list[CaseRun]) -> list[str]:
    """Return what is wrong with the runs of a case, a phrase each: each by itself, then against one another."""
    problems = []
    for run in runs:
        if run.status != "succeeded":
            problems.append(f"{run.status}{': ' + run.error if run.error else ''}")
        else:
            problems += check_images(case.plan, run.files)
    if not problems and any(pixels(run.files) != pixels(runs[0].files) for run in runs[1:]):
        problems.append("the same seed gave other images the second time")
    return list(dict.fromkeys(problems))  # both runs mostly have the same ones


def check_images(plan: Plan, files: tuple[Path, ...]) -> list[str]:
    problems = []
    if len(files) != len(plan.seeds):
        problems.append(f"{len(files)} images, and {len(plan.seeds)} were asked for")
    for path in files:
        image = opened(path)
        if image is None:
            problems.append(f"{path.name} is no image")
            continue
        if FORMATS.get(image.format or "") != plan.output_format:
            problems.append(f"{path.name} is {image.format}, and {plan.output_format} was asked for")
        if image.size != (plan.width, plan.height):
            width, height = image.size
            problems.append(f"{path.name} is {width} x {height}, and {plan.width} x {plan.height} was asked for")
    return problems


def opened(path: Path) -> "Image | None":
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path, formats=tuple(FORMATS))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError):
        return None
    return image


def format_of(data: bytes) -> str:
    """By the first bytes, for the file's name; `check_images` looks at the whole."""
    if data[:4] == b"RIFF":
        return "WEBP"
    return "PNG" if data[:4] == b"\x89PNG" else "JPEG" if data[:2] == b"\xff\xd8" else ""


def pixels(files: tuple[Path, ...]) -> list[bytes]:
    images = [opened(path) for path in files]
    return [image.convert("RGB").tobytes() if image else b"" for image in images]


def summary(case: Case, runs: list[CaseRun], price: float) -> str:
    """Number, size and format of the images, and seconds and cost of the slower run."""
    plan = case.plan
    told = f"{len(plan.seeds)} x {plan.width} x {plan.height} {plan.output_format}"
    seconds = [run.predict_s for run in runs if run.predict_s is not None]
    return f"{told}, {max(seconds):.2f} s, USD {max(seconds) * price:.6f}" if seconds else told


def given_as_text(case: Case) -> str:
    return json.dumps(case.given, ensure_ascii=False)
