"""Where the app keeps what: Volumes and the container's own disk; beside this machine's cache when run locally."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from easel.errors import WeightsError
from easel.models import Model
from easel.platforms.on_modal.settings import WEIGHTS_VOLUME
from easel.weights.manifest import read_manifest
from easel.weights.store import WeightPaths, find_blob

WEIGHTS_MOUNT, DATA_MOUNT, TRAININGS_MOUNT = Path("/weights"), Path("/data"), Path("/trainings")
CONTAINER_DISK = Path("/tmp/easel")
LINKED = ("blobs", "snapshots")


@dataclass(frozen=True)
class Places:
    """`store` has the weights, and may be read-only; `data` is for the API's files, `trainings` for what is unfinished.

    `local` ends with the container.
    """

    store: Path
    data: Path
    local: Path
    trainings: Path = TRAININGS_MOUNT

    @classmethod
    def find(cls, environ: Mapping[str, str], is_local: bool) -> Self:
        """Return those of a container, or for `.local()` folders in this machine's cache and its own weights."""
        if not is_local:
            return cls(WEIGHTS_MOUNT, DATA_MOUNT, CONTAINER_DISK)
        cache = WeightPaths.from_environ(environ).cache
        return cls(cache, *(cache / "modal" / name for name in ("data", "local", "trainings")))

    @property
    def cache(self) -> Path:
        return self.local / "cache"

    def paths(self, model: Model) -> WeightPaths:
        """Return a store with the files of `store`, and for LoRAs the container's disk: it can always be written.

        Raises WeightsError when files of the model are missing.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        for name in LINKED:
            link = self.cache / name
            if not link.is_symlink():
                link.symlink_to(self.store / name)
        manifest = read_manifest(model.folder)
        missing = [file.path for file in manifest.files if file.source and not find_blob(self.cache, file)]
        if missing:
            raise WeightsError(
                f"The Volume {WEIGHTS_VOLUME} lacks {len(missing)} files of {model.name}, {missing[0]} among them. "
                "Fetch them once: modal run modal_app.py::pull_weights"
            )
        return WeightPaths(self.cache, None)
