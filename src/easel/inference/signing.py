"""Signs the images of a server with C2PA, in a thread of its own."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from easel.errors import ResourceError
from easel.images.input import InputImage
from easel.logs import log

if TYPE_CHECKING:
    from easel.images.certificates import Identity

NAMES = ("EASEL_C2PA_CERT", "EASEL_C2PA_KEY")
AFTER_READY_S = 0.5  # until Cog has told that the model is ready; c2pa then takes 0.2 s to import
SIGN_S = 60.0  # an image takes milliseconds: then something is broken


@dataclass(frozen=True)
class SourceFile:
    """The input image of a request, as a signature names it."""

    kind: str
    digest: str

    @classmethod
    def of(cls, image: InputImage) -> Self:
        return cls(image.kind, f"sha256:{hashlib.sha256(image.data).hexdigest()}")


@dataclass(frozen=True)
class Job:
    """One file to sign; `answer` gets the signed file, or what went wrong."""

    data: bytes
    parameters: Mapping[str, Any]
    source_kind: str | None
    answer: "SimpleQueue[bytes | Exception]"


class Signing:
    """A cancel strikes a request on any line of its own thread. c2pa's objects, which it would leave half-way, are
    therefore made, used and freed in this one, which takes one file after the other and ends with the process.

    Make it in setup, see TempFiles. c2pa is imported with the first file, or a moment after setup.
    """

    def __init__(self, find_identity: "Callable[[], Identity]") -> None:
        self._find_identity = find_identity
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        threading.Thread(target=self._work, name="signing", daemon=True).start()

    def sign(self, data: bytes, metadata: Mapping[str, Any], source: SourceFile | None = None) -> bytes:
        """Return an image's file with a signed manifest that says its metadata. Raises ResourceError."""
        parameters = {**metadata, "image": source.digest} if source else metadata
        job = Job(data, parameters, source.kind if source else None, SimpleQueue())
        self._jobs.put(job)
        try:
            answer = job.answer.get(timeout=SIGN_S)
        except Empty:
            answer = TimeoutError(f"no answer in {SIGN_S:g} s")
        if isinstance(answer, Exception):
            raise ResourceError(f"The image cannot be signed ({answer}). EASEL_PROVENANCE=off leaves it unsigned.")
        return answer

    def _work(self) -> None:
        job = self._next(AFTER_READY_S)
        identity: Identity | None = None
        while True:
            try:
                from easel.images.provenance import sign_image  # here, so that no start waits for it

                identity = identity or self._find_identity()
                if job:
                    job.answer.put(sign_image(job.data, job.parameters, identity, job.source_kind))
            except Exception as error:
                error.__traceback__ = None  # it holds the file
                if job:
                    job.answer.put(error)
            job = None  # nothing of a request is kept while the next one is waited for
            job = self._next(None)

    def _next(self, timeout: float | None) -> Job | None:
        try:
            return self._jobs.get(timeout=timeout)
        except Empty:
            return None


def load_signing(environ: Mapping[str, str], cache: Path) -> Signing | None:
    """Return what signs as EASEL_PROVENANCE, EASEL_C2PA_CERT and EASEL_C2PA_KEY say; None for off.

    A certificate made here is kept in `cache`/c2pa. Raises ResourceError for one that cannot be used.
    """
    wanted = environ.get("EASEL_PROVENANCE") or "on"
    if wanted not in ("on", "off"):
        raise ResourceError(f"EASEL_PROVENANCE is {wanted!r}; it may be on, off, or unset for on.")
    if wanted == "off":
        return None
    certificate, key = (environ.get(name) for name in NAMES)
    if bool(certificate) != bool(key):
        raise ResourceError(f"{' and '.join(NAMES)} belong together: set both to PEM files, or none.")
    if not certificate or not key:
        log("provenance: images are signed by a self-made certificate, see docs/provenance.md")
        return Signing(lambda: make_own(cache / "c2pa"))
    began = time.perf_counter()
    # A certificate that cannot sign must not be found by the first request.
    from easel.images.certificates import read_identity
    from easel.images.provenance import check_identity

    identity = read_identity(Path(certificate), Path(key))
    check_identity(identity)
    log(f"provenance: images are signed by {certificate}, checked in {time.perf_counter() - began:.1f} s")
    return Signing(lambda: identity)


def make_own(folder: Path) -> "Identity":
    from easel.images.certificates import own_identity

    return own_identity(folder, log)
