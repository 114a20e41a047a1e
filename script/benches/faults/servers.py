"""The processes that the faults strike: Cog servers, Postgres, a disk that can be full."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benches.emoji import REPOSITORY

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
DISK_BYTES = 2 * 10**9


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cog:
    """A stand-in for a Cog server at a port of its own, which is killed and comes back there."""

    def __init__(self, ledger: Path) -> None:
        self.port, self.ledger = free_port(), ledger
        self.url = f"http://127.0.0.1:{self.port}"
        self.lock = threading.Lock()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "benches.faults.standin", str(self.port), str(self.ledger)]
        path = os.pathsep.join(str(REPOSITORY / part) for part in ("script", "src", "."))
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        with self.lock:
            self.process.kill()
            self.process.wait()
            time.sleep(random.uniform(0, 1))
            self.start()

    def pause(self, seconds: float) -> None:
        with self.lock:
            self.process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        with self.lock, suppress(ProcessLookupError):
            self.process.kill()
            self.process.wait()


class Postgres:
    """A database server of our own, from Debian's postgresql, which refuses to run as root."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        self.prefix: list[str] = []
        if os.geteuid() == 0:
            self.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            shutil.chown(folder, 65534, 65534)
            folder.parent.chmod(0o711)
        initdb: list[str | Path] = [
            POSTGRES[-1] / "initdb",
            "-D",
            folder / "data",
            "-U",
            "easel",
            "-A",
            "trust",
            "--no-sync",
        ]
        subprocess.run([*self.prefix, *initdb], check=True, capture_output=True)
        self.url = f"postgresql://easel@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self) -> None:
        command: list[str | Path] = [
            POSTGRES[-1] / "postgres",
            "-D",
            self.folder / "data",
            "-p",
            str(self.port),
            "-k",
            self.folder,
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, *command, "-h", "127.0.0.1"], stdout=log, stderr=log)
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # fast: it ends the connections
        self.process.wait(30)

    def restart(self) -> None:
        self.stop()
        time.sleep(random.uniform(0, 2))
        self.start()


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of 2 GB at `folder`; False where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], capture_output=True, check=False
        ).returncode
        == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=False)


def fill_disk(folder: Path, seconds: float) -> None:
    free = shutil.disk_usage(folder).free
    path = folder / "ballast"
    with suppress(OSError), path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, free - 4096)
    time.sleep(seconds)
    path.unlink(missing_ok=True)
