"""Parse a lock's `source`: where the bytes of a model's file are. Nothing here reads a file or the network."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from easel.errors import WeightsError
from easel.net.urls import is_loopback_host, parse_hub_url, shown_url, split_url

ACCEPTED = (
    "Accepted: hf://owner/name@REVISION/filename with the 40 hex digits of a commit, https://..., "
    "http:// on this machine, file:/path, or file:path from the model's folder"
)
COMMIT = r"[0-9a-f]{40}"
UNSEEN = r"[\s\\\x00-\x1f\x7f]"


@dataclass(frozen=True)
class HubFile:
    """A file of a model repository on the Hugging Face Hub, at one commit of 40 hex digits."""

    repo_id: str
    revision: str
    filename: str

    @property
    def label(self) -> str:
        return f"hf://{self.repo_id}@{self.revision[:8]}/{self.filename}"


@dataclass(frozen=True)
class WebFile:
    """A file at an https URL, or http on this machine. The query may hold a signature: nothing shows it."""

    url: str = field(repr=False)

    @property
    def label(self) -> str:
        return shown_url(self.url)


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine; a relative path is one from the model's folder."""

    path: Path

    @property
    def label(self) -> str:
        return f"file:{self.path}"


WeightSource = HubFile | WebFile | LocalFile


def parse_weight_source(text: str) -> WeightSource:
    """Return what a source names; every kind has a `label` fit for logs.

    Raises WeightsError that lists what is accepted.
    """
    scheme = text.partition(":")[0]
    if scheme == "hf":
        return parse_hub_file(text)
    if scheme in ("https", "http"):
        return parse_web_file(text)
    if scheme == "file":
        return parse_local_file(text)
    raise source_error(text, "is of no known kind")


def parse_hub_file(text: str) -> HubFile:
    found = parse_hub_url(text)
    if not found or not found.filename or not found.revision or not re.fullmatch(COMMIT, found.revision):
        raise source_error(text, "does not name a file at one commit")
    filename = found.filename
    if re.search(rf"[?#%]|{UNSEEN}", filename) or any(part in ("", ".", "..") for part in filename.split("/")):
        raise source_error(text, "has a filename that cannot be one")
    return HubFile(found.repo_id, found.revision, filename)


def parse_web_file(text: str) -> WebFile:
    url = split_url(text)
    if url is None or not url.hostname or re.search(UNSEEN, text):
        raise source_error(text, "is not a URL")
    if "@" in url.netloc:
        raise source_error(
            url._replace(netloc=url.hostname or "").geturl(), "has a user name or password in it, which logs would show"
        )
    if url.scheme == "http" and not is_loopback_host(url.hostname):
        raise source_error(text, "is not encrypted: use https://")
    return WebFile(text)


def parse_local_file(text: str) -> LocalFile:
    path = text.removeprefix("file:")
    if path.startswith("//"):  # file:///path, as browsers write it
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise source_error(text, "names another machine")
    if not path or "\x00" in path:
        raise source_error(text, "names no file")
    return LocalFile(Path(path))


def source_error(text: str, problem: str) -> WeightsError:
    return WeightsError(f"source {shown_url(text)!r} {problem}. {ACCEPTED}.")
