"""Parse what a caller typed as `lora_weights` into a typed value. Nothing here reads a file or the network."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote

from easel.errors import InputError
from easel.lora import civitai as civitai_names
from easel.lora.civitai import CivitaiSource
from easel.net import urls
from easel.net.urls import HOST, HUB_NAME, HUB_REVISION, is_loopback_host, quote_path

MAX_TEXT = 2000  # characters; about what browsers and servers take as a URL. A data: URL may be longer
MAX_SHOWN = 100  # characters of a refused text that its error repeats
ARCHIVE_SUFFIXES = (".tar", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
FILE_SUFFIXES = (".safetensors", *ARCHIVE_SUFFIXES)
PICKLE_SUFFIXES = (".bin", ".pt", ".ckpt", ".pth", ".pkl", ".pickle")
HUB_HOSTS = ("huggingface.co", "hf.co")
ACCEPTED = (
    "Accepted: owner/name or owner/name/version (a model on Replicate), huggingface.co/owner/name, "
    "huggingface.co/owner/name/file.safetensors, hf://owner/name@revision/file.safetensors, civitai.com/models/ID, "
    "civitai:MODEL@VERSION, an https:// URL that ends in .safetensors, .tar or .zip, or a data: URL in base64"
)
# Also what ends a line or turns its direction, since labels are logged, and halves of a character (from JSON).
CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"


@dataclass(frozen=True)
class ReplicateSource:
    """The weights of a model on Replicate: a tar with one safetensors file."""

    owner: str
    name: str
    version: str | None = None

    @property
    def label(self) -> str:
        return "/".join(filter(None, ("replicate.com", self.owner, self.name, self.version)))


@dataclass(frozen=True)
class HubSource:
    """A file in a model repository on the Hugging Face Hub; filename None: its only safetensors file."""

    repo_id: str
    revision: str = "main"
    filename: str | None = None

    @property
    def label(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"huggingface.co/{self.repo_id}{revision}" + (f"/{self.filename}" if self.filename else "")


@dataclass(frozen=True)
class UrlSource:
    """A file at an https URL (or http on loopback). The query may hold a signature: nothing shows it."""

    url: str = field(repr=False)

    @property
    def label(self) -> str:
        return self.url.partition("?")[0]


@dataclass(frozen=True)
class DataSource:
    """A file in the request itself, in base64."""

    payload: str = field(repr=False)

    @property
    def label(self) -> str:
        return f"data: URL ({max(1, round(len(self.payload) * 3 / 4 / 1000))} kB)"


@dataclass(frozen=True)
class FileSource:
    path: str

    @property
    def label(self) -> str:
        return self.path


Source = ReplicateSource | HubSource | CivitaiSource | UrlSource | DataSource | FileSource


def parse_source(text: str, *, allow_files: bool = False, allow_loopback: bool = False) -> Source:
    """Return what `text` refers to; every kind has a `.label` without query, fragment or payload, fit for logs and
    errors.

    Raises InputError that says what is wrong and lists what is accepted.
    """
    text = text.strip()
    if text[:5].lower() == "data:":
        return parse_data(text)
    if len(text) > MAX_TEXT:
        raise reference_error(text, f"is {len(text)} characters long, and at most {MAX_TEXT} are read")
    if not text or re.search(CONTROL, text):
        raise reference_error(text, "contains control characters" if text else "is empty")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is None:
        return parse_bare(text, allow_files)
    match scheme[1].lower():
        case "hf":
            return parse_hub_uri(text)
        case "https" | "http":
            return parse_url(text, allow_loopback)
        case other:
            raise reference_error(text, f"has the scheme {other}://, which is not one of those accepted")


def reference_error(text: str, why: str) -> InputError:
    shown = re.split(r"[?#]", re.sub(r"//[^/]*@", "//", text))[0]
    shown = shown if len(shown) <= MAX_SHOWN else shown[:MAX_SHOWN] + "..."
    return InputError(f"lora_weights: {shown!r} {why}. {ACCEPTED}.")


def parse_bare(text: str, allow_files: bool) -> Source:
    """Return a text without a scheme: a site's address, a path, or a model on Replicate."""
    if civitai_names.is_air(text):
        return parse_civitai(text, lambda: civitai_names.parse_air(text))
    first = re.split(r"[/?#]", text)[0].lower().removeprefix("www.")
    if first in (*HUB_HOSTS, *civitai_names.HOSTS, "replicate.com"):
        return parse_url("https://" + text, allow_loopback=False)
    is_path = text[0] in "/\\~." or re.match(r"[A-Za-z]:[\\/]", text) or text.lower().endswith(FILE_SUFFIXES)
    if is_path or text.lower().endswith(PICKLE_SUFFIXES):
        check_no_pickle(text, text)
        if allow_files:
            return FileSource(text)
        why = "is the path of a file, and this server reads none of its own files for a request"
        raise reference_error(text, f"{why} unless whoever runs it sets EASEL_ALLOW_FILES=1")
    return parse_replicate(text, text)


def parse_replicate(text: str, path: str) -> ReplicateSource:
    path = path.removesuffix("/").removesuffix("/_weights").replace("/versions/", "/")
    found = re.fullmatch(rf"({HUB_NAME})/({HUB_NAME})(?:[/:]([0-9a-f]{{5,64}}))?", path)
    if found is None:
        raise reference_error(
            text, "is neither owner/name nor owner/name/version, with a version of 5 to 64 hex digits"
        )
    return ReplicateSource(*found.groups())


def parse_hub_uri(text: str) -> HubSource:
    found = urls.parse_hub_url(text)
    if found is None:
        raise reference_error(text, "is not hf://owner/name[@revision][/file.safetensors]")
    return hub_source(text, found.repo_id, found.revision or "main", found.filename or "")


def parse_hub_page(text: str, url: SplitResult) -> HubSource:
    repo = re.fullmatch(rf"/({HUB_NAME}/{HUB_NAME})/?(.*)", url.path)
    if repo is None:
        raise reference_error(text, "names no model: huggingface.co/owner/name does")
    page = re.fullmatch(rf"(?:resolve|blob|raw|tree)/({HUB_REVISION})/?(.*)", repo[2])
    if page is None:
        return hub_source(text, repo[1], "main", unquote(repo[2]))
    return hub_source(text, repo[1], unquote(page[1]), unquote(page[2]))


def hub_source(text: str, repo_id: str, revision: str, filename: str) -> HubSource:
    if repo_id.partition("/")[0].lower() in ("datasets", "spaces"):
        raise reference_error(text, "is a data set or a space, not a model")
    # A dot segment would reach another address of the Hub than the one that was checked.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", revision) or ".." in revision:
        raise reference_error(text, "has a revision that is no branch, tag or commit")
    parts = filename.split("/")
    if re.search(CONTROL, filename):  # which %0A has become only now
        raise reference_error(text, "contains control characters")
    if filename and ("\\" in filename or {"", ".", ".."} & set(parts)):
        raise reference_error(text, "has a file name that leaves the repository")
    check_no_pickle(text, filename)
    if filename and not filename.lower().endswith(FILE_SUFFIXES):
        raise reference_error(text, "names a file that ends in none of .safetensors, .tar and .zip")
    return HubSource(repo_id, revision, filename or None)


def parse_civitai(text: str, parse: Callable[[], CivitaiSource]) -> CivitaiSource:
    try:
        return parse()
    except ValueError as error:
        raise reference_error(text, str(error)) from None


def parse_url(text: str, allow_loopback: bool) -> Source:
    url = split_source_url(text)
    host = (url.hostname or "").lower()
    if url.scheme == "http" and not (allow_loopback and is_loopback_host(host)):
        raise reference_error(text, "is not encrypted: use https://")
    site = host.removeprefix("www.") if url.scheme == "https" and url.port in (None, 443) else ""
    if site in HUB_HOSTS and not url.path.startswith(("/datasets/", "/spaces/", "/buckets/")):
        return parse_hub_page(text, url)
    if site in civitai_names.HOSTS:
        return parse_civitai(text, lambda: civitai_names.parse_page(url))
    if site == "replicate.com":
        return parse_replicate(text, url.path.removeprefix("/"))
    check_no_pickle(text, unquote(url.path))
    if not url.path.lower().endswith(FILE_SUFFIXES):
        raise reference_error(text, "is a URL that ends in none of .safetensors, .tar and .zip")
    return UrlSource(url._replace(fragment="", path=quote_path(url.path)).geturl())


def split_source_url(text: str) -> SplitResult:
    """Return the parts of an http(s) URL. Raises InputError for one that two programs could read in two ways."""
    url = urls.split_url(text)
    if url is None:
        raise reference_error(text, "is not a URL with a host name")
    if "@" in url.netloc:
        raise reference_error(text, "has a user name or password in it, which logs would show: leave it out")
    if not re.fullmatch(HOST, url.hostname or "") or re.search(r"[\\\s]", text):
        raise reference_error(text, "is not a URL with a host name in ASCII and without spaces or backslashes")
    return url


def check_no_pickle(text: str, path: str) -> None:
    if path.lower().endswith(PICKLE_SUFFIXES):
        raise reference_error(
            text, "is a pickle, which can run any program when it is read: convert it to .safetensors"
        )


def parse_data(text: str) -> DataSource:
    header, comma, payload = text.partition(",")
    if not comma or len(header) > 200 or not re.fullmatch(r"data:[\w.+/=;\"-]*;base64", header, re.IGNORECASE):
        raise InputError(
            f"lora_weights: a data: URL starts with data:[type];base64, and this one does not. {ACCEPTED}."
        )
    if not payload:
        raise InputError(f"lora_weights: the data: URL is empty. {ACCEPTED}.")
    return DataSource(payload)
