"""The model as a Modal app: by Python (`Predictor`, `train`) and by Replicate's HTTP API (`Api`). See docs/modal.md.

  modal run modal_app.py::pull_weights             once: the weights into a Volume
  modal deploy modal_app.py
  modal run modal_app.py::main --prompt "a red apple"                  in a container for this call
  modal run modal_app.py::batch --requests in.jsonl --out images       a file of requests

Not run on Modal. Modal learns what to deploy by importing this file, also in each container: for that reason it, and no
other file, reads the environment at import. Values and reasons: src/easel/platforms/on_modal/settings.py.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import modal

from easel.errors import EaselError
from easel.inference.cog_downloads import limits
from easel.inference.options import Options
from easel.inference.restore import hold_model, resume_model
from easel.inference.signing import load_signing
from easel.inference.startup import adapter_files, allow_loopback
from easel.local.console import print_result
from easel.local.inputs import read_json_inputs
from easel.platforms.on_modal.api_server import ApiServer
from easel.platforms.on_modal.calls import answer, plain_error
from easel.platforms.on_modal.places import DATA_MOUNT, TRAININGS_MOUNT, WEIGHTS_MOUNT, Places
from easel.platforms.on_modal.settings import (
    APP,
    DATA_VOLUME,
    PORT,
    SECRET,
    TOKENS,
    TRAININGS_VOLUME,
    WEIGHTS_VOLUME,
    Deployment,
)
from easel.schema.openapi import openapi

ROOT = Path(__file__).resolve().parent  # the repository; in a container Modal puts this file in /root
REMOTE = "/root"
PYTHON = "3.13"  # that of requirements.lock
PATH_FILE = (
    f"""echo {REMOTE}/src > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/easel.pth" """
)
FILES = ("LICENSE", "NOTICE", "README.md", "openapi.json", "predict.py")
FOLDERS = ("src", "weights", "samples")  # weights/: emoji's tensors, of other models settings, lock and small files
IGNORED = ["**/__pycache__", "**/*.egg-info"]

DEPLOYMENT = Deployment.from_environ(ROOT, os.environ)


def make_image(*requirements: str) -> modal.Image:
    """Return the image with these files of requirements: the lock's digests are checked by pip.

    Modal's Debian image has a compiler, and PyTorch's wheels bring CUDA 13.0, for which Modal's driver is new enough.
    """
    image = modal.Image.debian_slim(python_version=PYTHON)
    for name in requirements:
        image = image.pip_install_from_requirements(str(ROOT / name))
    image = image.run_commands(PATH_FILE).env(dict(DEPLOYMENT.environ))
    for name in FILES:
        image = image.add_local_file(ROOT / name, f"{REMOTE}/{name}")
    for name in FOLDERS:
        image = image.add_local_dir(ROOT / name, f"{REMOTE}/{name}", ignore=IGNORED)
    return image


app = modal.App(APP)
image = make_image("requirements.lock")
weights = modal.Volume.from_name(WEIGHTS_VOLUME, create_if_missing=True, version=2)
data = modal.Volume.from_name(DATA_VOLUME, create_if_missing=True, version=2)
trainings = modal.Volume.from_name(TRAININGS_VOLUME, create_if_missing=True, version=2)
weights_to_read = weights.with_mount_options(read_only=True)


def places() -> Places:
    return Places.find(os.environ, modal.is_local())


@app.function(image=image, volumes={str(WEIGHTS_MOUNT): weights}, **DEPLOYMENT.pull())
def pull_weights() -> None:
    """Fetch the model's missing weights into the Volume, verified; what came before a break is kept."""
    environ = {**os.environ, "EASEL_CACHE_DIR": str(places().store)}
    pull = [sys.executable, "-m", "easel.cli", "weights", "pull", "--root", str(ROOT), DEPLOYMENT.model.name]
    try:
        subprocess.run(pull, env=environ, check=True)
    finally:
        if not modal.is_local():
            weights.commit()


@app.function(image=image, volumes={str(WEIGHTS_MOUNT): weights, str(TRAININGS_MOUNT): trainings}, **DEPLOYMENT.train())
def train(**inputs: Any) -> dict[str, Any]:
    """Return {"files": {name: bytes}, "metrics": {...}} of a training, for inputs by the names of train.py.

    Modal calls it again with the same inputs where it took the container away, and it goes on from its checkpoint.
    The adapter that a distilled model needs is fetched onto the Volume of the weights, once.
    """
    from easel.platforms.on_modal.trainings import answer_training  # with torch

    place, environ = places(), {**os.environ, "EASEL_CACHE_DIR": str(places().store)}
    try:
        return answer_training(inputs, DEPLOYMENT.model, environ, place.trainings)
    except EaselError as error:
        raise plain_error(error) from None


@app.cls(image=image, volumes={str(WEIGHTS_MOUNT): weights_to_read}, **DEPLOYMENT.predictor())
@modal.concurrent(**DEPLOYMENT.concurrent())
class Predictor:
    """The model in a container of its own: `modal.Cls.from_name("easel", "Predictor")().predict.remote(prompt=...)`."""

    @modal.enter(snap=True)
    def load(self) -> None:
        """Read the model into the host's memory; with GPU snapshots onto the card. Then the snapshot is taken."""
        model, options = DEPLOYMENT.model, Options.from_environ(os.environ)
        device = DEPLOYMENT.device if DEPLOYMENT.gpu_snapshot else None  # else no GPU is there before the snapshot
        self.held = hold_model(model, places().paths(model), options, device)

    @modal.enter(snap=False)
    def make_ready(self) -> None:
        """After a restore, or at once in the container that made the snapshot: have the model on its device."""
        from easel.inference.engine import Engine  # with torch, which is not imported where the app is deployed from

        model, options = DEPLOYMENT.model, Options.from_environ(os.environ)
        paths = places().paths(model)
        components = resume_model(self.__dict__.pop("held"), model, paths, options, DEPLOYMENT.device)
        signing = load_signing(os.environ, paths.cache)
        self.engine = Engine(components, adapter_files(paths.cache, os.environ), signing=signing)
        self.schema = openapi(ROOT / "predict.py")

    @modal.method()
    def predict(self, /, **inputs: Any) -> dict[str, Any]:
        """Return {"files": {name: bytes}, "metrics": {...}} for inputs by the names of predict.py.

        Raises ValueError with a sentence for inputs that are refused, RuntimeError for what could not be done.
        """
        try:
            return answer(self.engine.answer, inputs, self.schema, limits(allow_loopback(os.environ)))
        except EaselError as error:
            raise plain_error(error) from None

    @modal.method()
    def answer_row(self, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Return a batch's result of one row, and its images."""
        from easel.batch.answer_row import answer_row  # with Pillow, as Engine

        network = limits(allow_loopback(os.environ))
        return answer_row(self.engine.answer, row, read_json_inputs(row["inputs"]), self.schema, network)


@app.server(
    image=make_image("requirements.lock", "requirements-api.txt"),
    volumes={str(WEIGHTS_MOUNT): weights_to_read, str(DATA_MOUNT): data},
    secrets=[modal.Secret.from_name(SECRET, required_keys=[TOKENS])],
    **DEPLOYMENT.server(),
)
class Api:
    """Cog's server and `easel api` in one container, for Replicate's clients."""

    @modal.enter()
    def start(self) -> None:
        this: Any = Api  # of which app.server makes a modal.Server
        url = os.environ.get("EASEL_PUBLIC_URL") or (None if modal.is_local() else this.get_url())
        self.server = ApiServer(ROOT, DEPLOYMENT.model, places(), os.environ)
        self.server.start(PORT, url)

    @modal.exit()
    def stop(self) -> None:
        self.server.stop()
        if not modal.is_local():
            data.commit()


@app.local_entrypoint()
def main(
    prompt: str, seed: int | None = None, json: str = "{}", image: str = "", mask: str = "", out: str = "."
) -> None:
    """Make images on Modal and save them; further inputs by --json '{"num_outputs": 2}', --image and --mask: files."""
    inputs = read_json_inputs(json) | {"prompt": prompt} | ({} if seed is None else {"seed": seed})
    inputs |= {name: Path(path).read_bytes() for name, path in (("image", image), ("mask", mask)) if path}
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    answered: dict[str, Any] = Predictor().predict.remote(**inputs)
    for name, content in answered["files"].items():
        (folder / name).write_bytes(content)
        print_result(str(folder / name))


@app.local_entrypoint()
def batch(requests: str, out: str) -> None:
    """Answer a file of requests in many containers; images and results here. The same command goes on after a break."""
    from easel.batch.job import Job  # with pyarrow, which only this machine needs: pip install 'easel[batch]'
    from easel.batch.mapped import run_mapped

    job = Job(requests, out, str(ROOT), DEPLOYMENT.model.name)
    schema = openapi(ROOT / "predict.py")
    run_mapped(job, schema, lambda rows: Predictor().answer_row.map(rows, order_outputs=False))
    print_result(out)
