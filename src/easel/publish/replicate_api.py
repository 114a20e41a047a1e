"""Replicate by its official client, with its errors as sentences. The client is imported only when it is used."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from easel.errors import InputError
from easel.local.client import ServerError
from easel.net.urls import shown_error

if TYPE_CHECKING:
    from replicate.deployment import Deployment
    from replicate.model import Model
    from replicate.prediction import Prediction
    from replicate.version import Version

DEFAULT_API = "api.replicate.com"
REFUSALS = (400, 422)
FINAL = ("succeeded", "failed", "canceled")


def api_address() -> str:
    return os.environ.get("REPLICATE_BASE_URL") or DEFAULT_API


class RefusedError(ServerError):
    """The inputs are not ones that the version takes."""


class UnreadableError(ServerError):
    """The client cannot read the answer, and will not at a second try."""


Found = TypeVar("Found")


class Replicate:
    """Only what a push needs. Every call raises ServerError where the API does not do what was asked."""

    def __init__(self, token: str) -> None:
        with _client_there():
            from replicate.client import Client

        # Named, since the client would otherwise import cog to look for one there.
        self._client: Client = Client(api_token=token)

    def model(self, name: str) -> "Model | None":
        """Return the model, or None where there is none."""
        with _sentences(f"model {name}"):
            return _or_none(lambda: self._client.models.get(name))

    def deployment(self, name: str) -> "Deployment | None":
        with _sentences(f"deployment {name}"):
            return _or_none(lambda: self._client.deployments.get(name))

    def latest_version(self, name: str) -> "Version | None":
        model = self.model(name)
        if model is None:
            raise InputError(
                f"There is no model {name}: make it on the site first, with its hardware, as a push does not make it."
            )
        return model.latest_version

    def start(self, version: str, inputs: dict[str, Any]) -> "Prediction":
        with _sentences(f"prediction of version {version[:12]}"):
            return self._client.predictions.create(version=version, input=inputs)

    def prediction(self, name: str) -> "Prediction | None":
        """Return the prediction, or None where it is gone, as happens with old ones."""
        with _sentences(f"prediction {name}"):
            return _or_none(lambda: self._client.predictions.get(name))

    @property
    def poll_s(self) -> float:
        return self._client.poll_interval

    def read(self, url: str) -> bytes:
        """Return an output file, a data URL or one of Replicate's own."""
        from replicate.helpers import FileOutput

        with _sentences("an output file"):
            return FileOutput(url, self._client).read()

    def update_deployment(self, name: str, version: str) -> int:
        """Return the number of the deployment's new release."""
        owner, _, short = name.partition("/")
        with _sentences(f"deployment {name}"):
            release = self._client.deployments.update(owner, short, version=version).current_release
        return release.number if release else 0


def open_api() -> Replicate:
    token = os.environ.get("REPLICATE_API_TOKEN")
    if not token:
        raise InputError(
            "REPLICATE_API_TOKEN is not set, and without it Replicate does not say which version is live. Make a token "
            "on the site and export it. Without IMAGE, nothing is asked of Replicate."
        )
    return Replicate(token)


@contextmanager
def _client_there() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"Replicate's client is not installed ({error}): run script/setup.") from None


@contextmanager
def _sentences(what: str) -> Iterator[None]:
    import httpx
    from replicate.exceptions import ReplicateError

    try:
        yield
    except ReplicateError as error:
        said = error.detail or error.title or "no reason given"
        if error.status == 401:
            said += " Is REPLICATE_API_TOKEN right?"
        kind = RefusedError if error.status in REFUSALS else ServerError
        raise kind(f"Replicate answers {error.status} for {what}: {said}") from None
    except httpx.HTTPError as error:
        raise ServerError(
            f"No answer from {api_address()} for {what} ({shown_error(error)}). Run this again to go on."
        ) from None
    except ValueError as error:  # a status that the client does not know, such as "aborted"
        raise UnreadableError(
            f"Replicate's answer for {what} is not one that its client knows: {shown_error(error)}"
        ) from None


def _or_none(fetch: Callable[[], Found]) -> Found | None:
    from replicate.exceptions import ReplicateError

    try:
        return fetch()
    except ReplicateError as error:
        if error.status == 404:
            return None
        raise
