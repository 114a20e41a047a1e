"""What Cog fetches before it calls the runner: inputs of a request that are addresses of files.

By itself Cog fetches them with `requests`: from any address and of any size, in threads that it starts for this request
alone, and it waits for these in a call that no cancel ends. Here both are replaced: by the guarded fetch, in the thread
of the prediction, where Cog's cancel strikes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from tempfile import SpooledTemporaryFile
from types import ModuleType
from typing import Any, BinaryIO, cast
from weakref import WeakSet

from easel.errors import FetchError
from easel.images.decode import MAX_BYTES
from easel.inference.temp_files import Uploads
from easel.logs import log
from easel.net.fetch import fetch_into
from easel.net.guard import Network
from easel.net.resolver import start_resolver
from easel.net.urls import shown_url

MAX_URL = 8000  # characters; what most servers take


def limits(allow_loopback: bool = False) -> Network:
    """For an image of at most 30 MB; a small one may take its time. `total_s` is for all files of a request."""
    return Network(allow_loopback=allow_loopback, total_s=60, stall_s=15, least_rate=10_000, rate_s=10)


class Answer:
    """What Cog uses of an answer of `requests`."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw = raw

    def raise_for_status(self) -> None:
        """Do nothing: there is an answer only when all went well."""


class Downloads:
    """Stands in for the module `requests` in `cog.types`. `begin` starts the time that all files of a request share."""

    def __init__(self, network: Network, uploads: Uploads, label: str, max_bytes: int) -> None:
        self._network = network
        self._uploads = uploads
        self._label = label
        self._max_bytes = max_bytes
        self._deadline: float | None = None
        start_resolver()  # Here, so that no request starts these threads.

    def begin(self) -> None:
        self._uploads.clear(keep=())  # A request whose download fails never gets as far as the runner, which does this.
        self._deadline = self._network.clock() + self._network.total_s

    @contextmanager
    def download(self) -> Iterator[None]:
        """Close, at the end, what `get` has given: Cog does not."""
        with ExitStack() as self._files:
            yield

    def get(self, url: str, **_: Any) -> Answer:
        """Return the whole file, which is at most `max_bytes`: in memory to 30 MB, else on disk without a name.

        Raises FetchError.
        """
        if len(url) > MAX_URL:
            raise FetchError(f"{self._label}: an address has at most {MAX_URL} characters, not {len(url)}.")
        file = cast("BinaryIO", self._files.enter_context(SpooledTemporaryFile(max_size=MAX_BYTES)))  # noqa: SIM115
        fetch_into(
            file,
            url,
            label=f"{self._label}: {shown_url(url)}",
            log=log,
            max_bytes=self._max_bytes,
            network=self._network,
            deadline=self._deadline,
        )
        file.seek(0)
        return Answer(file)


def guard_downloads(
    cog_types: ModuleType,
    network: Network,
    uploads: Uploads,
    watched: Callable[[], AbstractContextManager[None]] = nullcontext,
    *,
    label: str = "image or mask",
    max_bytes: int = MAX_BYTES,
) -> None:
    """Have Cog fetch by `Downloads`, and without a thread. Once, in setup: this changes modules of the process.

    coglet gives a request's downloads, `URLPath.convert`, to a new ThreadPoolExecutor. A thread that starts while a
    cancel strikes can hang for ever (CPython 3.11), and waiting for one that fetches cannot be cancelled at all. All
    other work of executors has its threads as before. Each download runs in a context of `watched`; `label` names the
    inputs in errors, `max_bytes` is for each.
    """
    downloads = Downloads(network, uploads, label, max_bytes)
    requests: WeakSet[ThreadPoolExecutor] = WeakSet()  # one executor for each
    in_a_thread = ThreadPoolExecutor.submit

    def submit(executor: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not isinstance(getattr(function, "__self__", None), cog_types.URLPath):
            return in_a_thread(executor, function, *args, **kwargs)
        if executor not in requests:
            requests.add(executor)
            downloads.begin()
        future: Future[Any] = Future()
        try:
            with watched(), downloads.download():
                future.set_result(function(*args, **kwargs))
        except Exception as error:  # A cancel is none, and goes on its way.
            error.__context__ = None  # Its frames, and those of the traceback, would keep Cog's file open.
            future.set_exception(error.with_traceback(None))
        return future

    cog_types.__dict__["requests"] = downloads
    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign, assignment] # replaced on purpose, see above
