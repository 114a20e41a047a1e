"""Set the model up for Cog as the environment says; then inputs in, files out. Torch is imported while weights load."""

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from easel.inference.cog_downloads import guard_downloads, limits
from easel.inference.health import Health
from easel.inference.options import Options
from easel.inference.signing import load_signing
from easel.inference.temp_files import Uploads
from easel.logs import log
from easel.lora.files import AdapterFiles
from easel.lora.sites import Endpoints
from easel.models import DEFAULT_MODEL, Model, load_model
from easel.request import make_request
from easel.weights.reading import start_reading
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths

if TYPE_CHECKING:
    from easel.inference.engine import Engine, Record


class Service:
    """A loaded model and what guards it while it answers."""

    def __init__(self, engine: "Engine", health: Health, uploads: Uploads) -> None:
        self.engine, self.health, self.uploads = engine, health, uploads

    def answer(
        self, inputs: Mapping[str, Any], record: "Record", context: Mapping[str, str] = MappingProxyType({})
    ) -> list[Path]:
        """Return the image files of a request, by its inputs, and give its metrics to `record`. Raises EaselError.

        `context` is what came beside the inputs; previews.py reads it.
        """
        self.uploads.clear(keep=(inputs["image"], inputs["mask"]))
        request = make_request(inputs)
        with self.health.prediction():
            return self.engine.answer(request, record, context)

    def is_well(self) -> bool:
        """Return False when a request hangs, so that Cog reports the runner as unhealthy."""
        return self.health.is_well()


def load_service(
    models: Path,
    environ: Mapping[str, str],
    cog_types: ModuleType,
    canceled: type[BaseException],
    weights: str | Path | None = None,
) -> Service:
    """Load the model that EASEL_MODEL names from its folder in `models`.

    `cog_types` is the module `cog.types`, whose downloads are guarded from now on; `canceled` is what Cog raises in a
    request that is canceled; `weights`: the LoRA of a trained version, for every request. Raises WeightsError,
    FetchError or ResourceError if the weights cannot be had.
    """
    health, uploads = Health(canceled), Uploads()
    model = load_model(models / (environ.get("EASEL_MODEL") or DEFAULT_MODEL))
    guard_downloads(cog_types, limits(allow_loopback(environ)), uploads, health.prediction)
    return Service(load_engine(model, environ, weights), health, uploads)


@contextmanager
def collector_off() -> Iterator[None]:
    """Keep Python's garbage collector from looking again and again at what is imported and loaded, which stays anyway.

    docs/speed.md has its price. Nothing changes in a process that has imported torch before.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@collector_off()
def load_engine(model: Model, environ: Mapping[str, str], weights: str | Path | None = None) -> "Engine":
    """Load a model as the environment says. Arguments and errors as of `load_service`."""
    options = Options.from_environ(environ)
    paths = WeightPaths.from_environ(environ)
    reading = start_reading(ensure_snapshot(model, paths, log=log))
    # Only now, since importing torch takes as long as reading gigabytes: both go on side by side.
    from easel.inference.engine import Engine
    from easel.inference.loader import default_device, load_components
    from easel.inference.trained import load_trained

    signing = load_signing(environ, paths.cache)
    components = load_components(model, reading, default_device(), options)
    trained = None
    if weights:  # by whoever runs this server: it may be a path
        files = adapter_files(paths.cache, {**environ, "EASEL_ALLOW_FILES": "1"})
        trained = load_trained(str(weights), files, components.transformer, log)
    engine = Engine(components, adapter_files(paths.cache, environ), signing=signing, trained=trained)
    if options.compile:
        engine.compile(paths.cache)
    return engine


def allow_loopback(environ: Mapping[str, str]) -> bool:
    return environ.get("EASEL_ALLOW_LOOPBACK") == "1"


def adapter_files(cache: Path, environ: Mapping[str, str]) -> AdapterFiles:
    """Return where LoRAs come from and are kept."""
    return AdapterFiles(
        cache / "adapters",
        allow_files=environ.get("EASEL_ALLOW_FILES") == "1",
        allow_loopback=allow_loopback(environ),
        endpoints=Endpoints(
            hf=(environ.get("HF_ENDPOINT") or Endpoints.hf).rstrip("/"),
            # As huggingface_hub reads it.
            offline=(environ.get("HF_HUB_OFFLINE") or "").upper() in ("1", "ON", "YES", "TRUE"),
        ),
    )
