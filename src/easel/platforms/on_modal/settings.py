"""What `modal_app.py` asks Modal for: one table, with the reason beside each value.

To have other values, change them here and deploy again. docs/modal.md shows the table, and a test holds the two equal.
Names are those of modal 1.6.4's decorators. Not run on Modal: what is not marked "computed" is a choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from easel.errors import InputError
from easel.models import Model, load_model

APP = "easel"
WEIGHTS_VOLUME, DATA_VOLUME, TRAININGS_VOLUME = "easel-weights", "easel-api-data", "easel-trainings"
SECRET, TOKENS = "easel-api", "EASEL_API_TOKENS"  # the Secret and what it must hold
DEFAULT_MODEL = "z-image-turbo"  # who rents a GPU wants the model that needs one
PORT = 8000  # @app.server's own
MINUTE = 60


@dataclass(frozen=True)
class Setting:
    """One parameter of a decorator of Modal. `cpu` is its value for a model that needs no GPU."""

    name: str
    gpu: Any
    cpu: Any
    reason: str


SHARED = (
    Setting(
        "gpu",
        "L40S",
        None,
        "most peak bfloat16 for the money but the H100's, at half its price while it starts and waits (computed)",
    ),
    Setting("cpu", 2.0, 2.0, "cores; two threads read the weights while Python imports torch"),
    Setting("memory", 28 * 1024, 4 * 1024, "MiB; the weights (19.5 GiB) stand in it until they are on the card"),
    Setting("min_containers", 0, 0, "nobody pays for a card that waits; 1 buys out the cold start"),
    Setting("region", None, None, "any; a choice costs 1.25 to 2.5 times as much"),
    Setting("nonpreemptible", False, False, "a container may be taken away; to forbid that costs 3 times as much"),
)
PREDICTOR = (
    *SHARED,
    Setting("max_containers", 10, 10, "the most GPUs that Modal's Starter plan gives; a bound for a mistake's bill"),
    Setting("buffer_containers", 0, 0, "a spare card costs as much as one that works; 1 for bursts that must not wait"),
    Setting("scaledown_window", MINUTE, MINUTE, "seconds; Modal's own; published starts of such models took 7 to 48"),
    Setting("startup_timeout", 15 * MINUTE, 5 * MINUTE, "seconds; 20.9 GB at 50 MB/s take 7 minutes (computed)"),
    Setting("timeout", 30 * MINUTE, 30 * MINUTE, "seconds of one call; Replicate's limit of a prediction"),
    Setting("max_inputs", 1, 1, "one image fills a card, and Modal can cancel a call only where it is alone"),
    Setting("target_inputs", 1, 1, "a second call gets a second container"),
    Setting("enable_memory_snapshot", True, True, "a start goes on where imports and reading are done"),
)
SERVER = (
    *SHARED,
    Setting("max_containers", 1, 1, "the data folder has one writer; Modal starts no second one while it deploys"),
    Setting("target_concurrency", None, None, "no autoscaling, for there is one container"),
    Setting("max_concurrency", None, None, "`easel api` itself refuses what is too much, in Replicate's words"),
    Setting("scaledown_window", 5 * MINUTE, 5 * MINUTE, "seconds; while a webhook is waited for, no request is open"),
    Setting("startup_timeout", 15 * MINUTE, 5 * MINUTE, "seconds until the port answers; Modal's own are 30"),
    Setting("exit_grace_period", 65, 65, "seconds; `Prefer: wait` holds a request open for 60"),
    Setting(
        "unauthenticated", True, True, "Replicate's clients cannot send Modal's headers; the API asks for its token"
    ),
    Setting("enable_memory_snapshot", False, False, "the model is in a child process, whose GPU no snapshot sees"),
)
PULL = (
    Setting("timeout", 60 * MINUTE, 60 * MINUTE, "seconds; 20.9 GB at 6 MB/s (computed)"),
    Setting("cpu", 2.0, 2.0, "cores; to fetch over several connections and to hash"),
)
TRAIN = (
    *SHARED,
    Setting("max_containers", 1, 1, "one training at a time: between containers a Volume has no locks"),
    Setting(
        "timeout", 24 * 60 * MINUTE, 24 * 60 * MINUTE, "seconds; Modal's longest, for no card's speed was measured"
    ),
)
TABLES = {"predictor": PREDICTOR, "server": SERVER, "pull": PULL, "train": TRAIN}
CONCURRENT = ("max_inputs", "target_inputs")  # these are @modal.concurrent's
SERVER_NAMES = {"region": "compute_region"}  # where @app.server has another name

# Of the environment that `modal deploy` runs in, containers get these.
PASSED_ON = ("EASEL_MODEL", "EASEL_ATTENTION", "EASEL_GO_FAST", "EASEL_MEMORY", "EASEL_MODAL_GPU_SNAPSHOT")
FOR_CPU = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "300000"}  # see src/easel/local/server.py
GPU_SNAPSHOT = "EASEL_MODAL_GPU_SNAPSHOT"


@dataclass(frozen=True)
class Deployment:
    """The model and how it is deployed: `modal deploy` reads it from the environment, and containers get the same."""

    model: Model
    gpu_snapshot: bool
    environ: Mapping[str, str]

    @classmethod
    def from_environ(cls, root: Path, environ: Mapping[str, str]) -> Self:
        """Raises InputError for a value that cannot be had on Modal, WeightsError for an unknown model."""
        if environ.get("EASEL_COMPILE", "0") not in ("", "0"):
            raise InputError(
                "EASEL_COMPILE=1 is not used on Modal: what is compiled would be lost with each container. Unset it."
            )
        snapshot = environ.get(GPU_SNAPSHOT) or "0"
        if snapshot not in ("0", "1"):
            raise InputError(f"{GPU_SNAPSHOT} is {snapshot!r}; it may be 1 for on, 0 for off, or unset.")
        model = load_model(root / "weights" / (environ.get("EASEL_MODEL") or DEFAULT_MODEL))
        on_gpu = model.hardware["device"] == "cuda"
        passed = {name: environ[name] for name in PASSED_ON if environ.get(name)}
        return cls(
            model,
            gpu_snapshot=on_gpu and snapshot == "1",
            environ={**passed, "EASEL_MODEL": model.name, **({} if on_gpu else FOR_CPU)},
        )

    @property
    def device(self) -> str:
        return str(self.model.hardware["device"])

    def values(self, table: Sequence[Setting]) -> dict[str, Any]:
        return {one.name: one.gpu if self.device == "cuda" else one.cpu for one in table}

    def concurrent(self) -> dict[str, int]:
        """Return the parameters of @modal.concurrent."""
        return {name: value for name, value in self.values(PREDICTOR).items() if name in CONCURRENT}

    def predictor(self) -> dict[str, Any]:
        """Return the parameters of @app.cls."""
        values = {name: value for name, value in self.values(PREDICTOR).items() if name not in CONCURRENT}
        # An alpha feature, of which users report restores that crash (modal-labs/modal-client#4132): off by default.
        return values | ({"experimental_options": {"enable_gpu_snapshot": True}} if self.gpu_snapshot else {})

    def server(self) -> dict[str, Any]:
        """Return the parameters of @app.server."""
        return {SERVER_NAMES.get(name, name): value for name, value in self.values(SERVER).items()} | {"port": PORT}

    def pull(self) -> dict[str, Any]:
        """Return the parameters of @app.function for the one that fetches the weights."""
        return self.values(PULL)

    def train(self) -> dict[str, Any]:
        """Return the parameters of @app.function for the one that trains."""
        return self.values(TRAIN)
