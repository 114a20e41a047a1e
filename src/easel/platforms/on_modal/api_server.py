"""`easel api` in one container: a process with its files on a Volume and its database on the container's own disk.

SQLite wants locks and shared memory, which a Volume does not promise: Modal's guide says that file locks do not hold
between containers and that the last commit of a file wins. So the Volume gets whole copies of the database, one each
minute and one at the end; the next container begins with the last. With DATABASE_URL (Postgres) there is no copy.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from easel.errors import InputError
from easel.files import write_atomically
from easel.logs import first_line, log
from easel.models import Model
from easel.platforms.on_modal.places import Places
from easel.platforms.on_modal.settings import TOKENS

COPY_S = 60.0  # what a container that dies without a word takes with it
STOP_S = 20.0  # of the 30 s that Modal gives a container for its end


def command(root: Path, places: Places, device: str, port: int, public_url: str | None) -> list[str]:
    """Return how a container starts `easel api`. With a GPU it answers at once, while the model is still loaded."""
    return [
        *(sys.executable, "-m", "easel.cli", "api", "--root", str(root)),
        *("--host", "0.0.0.0", "--port", str(port), "--data", str(places.data / "api")),
        *(("--public-url", public_url) if public_url else ()),
        *(("--gpus", "all") if device == "cuda" else ()),
    ]


class ApiServer:
    """The process, and the copies of its database."""

    def __init__(self, root: Path, model: Model, places: Places, environ: Mapping[str, str]) -> None:
        """Raises InputError without a token, WeightsError without the model's weights."""
        if not environ.get(TOKENS):
            raise InputError(f"There is no {TOKENS}. Put TOKEN or TOKEN ACCOUNT in the Secret, with commas between.")
        self.root, self.device, self.places = root, str(model.hardware["device"]), places
        self.database = None if environ.get("DATABASE_URL") else places.local / "easel.db"
        self.copy = places.data / "easel.db"
        cache = places.paths(model).cache
        self.environ = {**environ, "EASEL_CACHE_DIR": str(cache), "EASEL_MODEL": model.name}
        if self.database:
            self.environ["DATABASE_URL"] = f"sqlite:///{self.database}"
        self._over = threading.Event()
        self._copier = threading.Thread(target=self._copy_now_and_then, name="copy-database", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int, public_url: str | None) -> None:
        """Start the API on all addresses of this container; its port answers later."""
        if self.database and self.copy.is_file() and not self.database.exists():
            shutil.copyfile(self.copy, self.database)
            self.database.chmod(0o600)
        argv = command(self.root, self.places, self.device, port, public_url)
        self._process = subprocess.Popen(argv, env=self.environ, stdin=subprocess.DEVNULL)
        self._copier.start()

    def stop(self) -> int:
        """End the API, keep its database, and return the exit code."""
        assert self._process
        self._process.terminate()
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._over.set()
        self._copier.join()
        self.save_database()
        return code

    def save_database(self) -> None:
        """Put a whole copy of the database, as it is between two transactions, on the Volume. Failures are logged."""
        if not self.database or not self.database.exists():
            return
        try:
            copy_database(self.database, self.copy)
        except (OSError, sqlite3.Error) as error:
            log(f"warning: the database was not copied to {self.copy}: {first_line(error)}")

    def _copy_now_and_then(self) -> None:
        while not self._over.wait(COPY_S):
            self.save_database()


def copy_database(database: Path, copy: Path) -> None:
    """Copy a SQLite database that others may work with. Raises OSError or sqlite3.Error."""
    whole = database.with_name(f"{database.name}.copy")
    whole.unlink(missing_ok=True)
    os.close(os.open(whole, os.O_CREAT | os.O_EXCL, 0o600))  # it holds secrets
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(whole)) as target:
        source.backup(target)
    with write_atomically(copy, mode=0o600) as stream, whole.open("rb") as file:
        shutil.copyfileobj(file, stream)
    whole.unlink()
