"""Start a Cog server as a child process, wait until it is ready, stop it. No Docker.

The child is Cog's own HTTP server; under it one worker runs `predict.py`. Both live in a session of their own, so that
Ctrl-C in the terminal reaches only the parent, which then stops them in order.
"""

import ctypes
import functools
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from easel.errors import InputError
from easel.local.client import ServerError, call, plain_error
from easel.local.guard import LOOPBACK, guarded
from easel.models import DEFAULT_MODEL
from easel.schema.openapi import install_schema

SETUP_TIMEOUT_S = 3600.0  # A first start may have tens of gigabytes to fetch.
POLL_S = 0.05
STOP_GRACE_S = 5.0  # SIGTERM lets a request in work end: after a cancel, at most one slow denoising step.
LOG_TAIL_LINES = 15
# What `easel api`, `easel page` and the push are told, and a model, which opens what strangers send, has no use for.
NOT_FOR_MODELS = ("EASEL_API_TOKENS", "DATABASE_URL", "REPLICATE_API_TOKEN")
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True)
class Server:
    """A running server. `log` holds what it wrote, or is None where that goes to this process's stderr."""

    url: str
    process: subprocess.Popen[bytes]
    log: IO[bytes] | None = None


@contextmanager
def run_server(
    root: Path,
    port: int = 0,
    *,
    listener: socket.socket | None = None,
    show_log: bool = False,
    timeout: float = SETUP_TIMEOUT_S,
    on_wait: Callable[[float], None] = lambda seconds: None,
    environ: Mapping[str, str] | None = None,
    train: bool = False,
) -> Iterator[Server]:
    """Give a READY server for `root/predict.py` on `port` (0: a free one) of this machine, stopped on every way out.

    It is at an address that only this process knows, since any web page may send requests to one that can be guessed;
    what comes to `listener` is passed on to it, and is what the URL then names. `on_wait` is called with the seconds
    waited so far; `environ` are further variables. With `train`, its predictions are trainings, by `root/train.py`.
    Raises ServerError when the model does not get ready.
    """
    check_root(root)
    host = hidden_host()
    port = choose_port(host, port)
    try:
        install_schema(root)  # Without it Cog's server checks no input.
    except OSError as error:
        raise ServerError(f"{root / '.cog'} cannot be written ({error.strerror}), and the server reads it.") from None
    with tempfile.TemporaryFile() as log, ExitStack() as stack:
        output = 2 if show_log else log
        process = subprocess.Popen(
            [sys.executable, "-m", "cog.server.http", "--host", host, "--x-mode", "train" if train else "predict"],
            cwd=root,
            env=server_environment(port) | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )
        try:
            server = Server(f"http://{host}:{port}", process, None if show_log else log)
            front = stack.enter_context(guarded(listener, (host, port))) if listener else server.url
            wait_until_ready(server, timeout, on_wait)
            yield replace(server, url=front)
        finally:
            stop(process)


def end_with_parent() -> None:
    """In the child: a SIGTERM when the parent is gone, even by SIGKILL. Nobody else would ever stop this server.

    The parent is the thread that started it (prctl(2)), so that one must live as long as the server is wanted.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def check_root(root: Path) -> None:
    if not (root / "predict.py").is_file():
        raise InputError(f"There is no predict.py in {root}. Name the folder that has it with --root.")


@functools.cache  # one for the process, so that a server which is started again is where it was
def hidden_host() -> str:
    """Return a loopback address, with Linux one of 16 million: a page that tries them all would be at it for years."""
    if sys.platform == "linux":
        host = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
        with suppress(OSError), socket.socket() as probe:
            probe.bind((host, 0))
            return host
    return LOOPBACK


def choose_port(host: str, port: int) -> int:
    with bind(host, port) as probe:
        return int(probe.getsockname()[1])


def bind(host: str, port: int) -> socket.socket:
    """Return the socket. Raises ServerError where that cannot be had."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As Cog's server does: TIME_WAIT is no obstacle.
    try:
        sock.bind((host, port))
        sock.listen()
    except (OSError, OverflowError) as error:
        sock.close()
        raise ServerError(
            f"Port {port} cannot be used ({getattr(error, 'strerror', error)}). Choose another with --port; 0 takes a "
            "free one."
        ) from None
    return sock


def server_environment(port: int) -> dict[str, str]:
    """This process's environment without its secrets; a caller's own settings win over the defaults here."""
    defaults = {
        "EASEL_MODEL": DEFAULT_MODEL,
        # Cog runs one prediction in this thread and the next in that one, each with OpenMP threads of its own. Once
        # there are more than processors, libgomp lets them sleep at once: a request of emoji takes half as long again.
        "OMP_WAIT_POLICY": "active",
        "GOMP_SPINCOUNT": "300000",  # its usual one: "active" alone never sleeps
        "COG_LOG_LEVEL": "warning",  # What the model prints is still shown; the server's own steps are not.
        "LOG_FORMAT": "console",
        "NO_COLOR": "1",
        "COG_THROTTLE_RESPONSE_INTERVAL": "0.1",  # Seconds between log webhooks; Cog's 0.5 makes a bar jump.
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    no_proxy = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    fixed = {
        "PORT": str(port),
        "COG_PREDICT_TYPE_STUB": "predict.py:Runner",
        "COG_TRAIN_TYPE_STUB": "train.py:train",
        "PATH": path,  # Cog starts the worker with the first `python` on it.
        "NO_PROXY": f"{no_proxy},{LOOPBACK}" if no_proxy else LOOPBACK,  # Else log webhooks go to a proxy.
    }
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_FOR_MODELS}
    return {**defaults, **inherited, **fixed}


def wait_until_ready(server: Server, timeout: float, on_wait: Callable[[float], None]) -> None:
    started = time.monotonic()
    while (waited := time.monotonic() - started) < timeout:
        on_wait(waited)
        health = {}
        with suppress(ServerError):  # It does not listen yet.
            health = call("GET", f"{server.url}/health-check")[1]
        if server.process.poll() is not None:
            raise setup_error(server, f"The server ended with exit code {server.process.returncode} while starting.")
        match health.get("status"):
            case "READY":
                return
            case "SETUP_FAILED" | "DEFUNCT" | "UNHEALTHY" as status:
                reason = plain_error(health.get("setup", {}).get("logs", "").strip())
                raise setup_error(server, f"The model could not be loaded ({status}): {reason}")
        time.sleep(POLL_S)
    raise setup_error(server, f"The model was not ready after {timeout:.0f} s. Allow more with --setup-timeout.")


def setup_error(server: Server, sentence: str) -> ServerError:
    tail = read_tail(server.log) if server.log else ""
    return ServerError(f"{sentence}\nThe server's last lines:\n{tail}" if tail else sentence)


def read_tail(log: IO[bytes]) -> str:
    size = os.fstat(log.fileno()).st_size
    # pread, because the server writes at the file position that a seek here would move.
    text = os.pread(log.fileno(), 8192, max(0, size - 8192)).decode(errors="replace")
    return "\n".join(f"  {line}" for line in text.splitlines()[-LOG_TAIL_LINES:])


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, a grace, then SIGKILL for the server and its worker: our own child only, by its process id."""
    try:
        process.terminate()
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:  # Also when a second Ctrl-C strikes the wait, and for a worker that is busy when its server is gone.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
