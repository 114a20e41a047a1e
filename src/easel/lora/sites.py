"""Where the file of a reference is. For a model on the Hugging Face Hub or on Civitai, the site is asked."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from easel.errors import AdapterError, FetchError, UnreachableError
from easel.lora.archives import CONFIG_NAME, MAX_CONFIG_BYTES
from easel.lora.civitai import CivitaiSource
from easel.lora.references import HubSource, ReplicateSource, Source, UrlSource
from easel.net.fetch import fetch_bytes, fetch_json
from easel.net.guard import Network
from easel.net.redirects import Credential, split_address
from easel.net.urls import origin

MAX_NAMED = 10  # files that an error lists
MAX_LISTED = 1000  # entries that the Hub puts on one page: a second .safetensors file may be on the next


@dataclass(frozen=True)
class Tokens:
    """The tokens of one request. Raises InputError for a text that cannot be one."""

    hf: str | None = field(default=None, repr=False)
    civitai: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.for_hf(), self.for_civitai()

    def for_hf(self) -> Credential:
        return Credential("hf_token", (self.hf or "").strip() or None)

    def for_civitai(self) -> Credential:
        return Credential("civitai_token", (self.civitai or "").strip() or None)


@dataclass(frozen=True)
class Endpoints:
    """Where the three sites are: base URLs without a final slash, with or without a path. `offline`: not asked."""

    hf: str = "https://huggingface.co"
    civitai: str = "https://civitai.com"
    replicate: str = "https://replicate.com"
    offline: bool = False

    def credential_for(self, url: str, tokens: Tokens) -> Credential | None:
        """Return the credential that belongs to the scheme, host and port of a URL."""
        for base, credential in ((self.hf, tokens.for_hf()), (self.civitai, tokens.for_civitai())):
            if origin(split_address(url)) == origin(split_address(base)):
                return credential
        return None


@dataclass(frozen=True)
class Remote:
    """A file to fetch. `digest` where the site says it; `config` is the adapter_config.json that lies beside it."""

    url: str = field(repr=False)
    digest: str | None = None
    config: bytes | None = None


@dataclass(frozen=True)
class Ask:
    """How to ask a site for one reference."""

    label: str
    endpoints: Endpoints
    tokens: Tokens
    network: Network
    log: Callable[[str], None] = field(repr=False)
    deadline: float  # of everything that is fetched, on the network's clock

    def options(self, url: str) -> dict[str, Any]:
        credential = self.endpoints.credential_for(url, self.tokens)
        shared = {"label": self.label, "network": self.network, "log": self.log, "deadline": self.deadline}
        return {"credential": credential, **shared}


def source_url(source: Source, endpoints: Endpoints) -> str:
    """Return one text per remote reference: what a cache may be keyed by."""
    match source:
        case HubSource(repo_id, revision, filename):
            return f"{endpoints.hf}/{repo_id}/resolve/{quote(revision, safe='')}/{quote(filename or '')}"
        case CivitaiSource(model_id, version_id):
            return f"{endpoints.civitai}/models/{model_id or ''}?modelVersionId={version_id or ''}"
        case ReplicateSource(owner, name, version):
            versions = f"/versions/{version}" if version else ""
            return f"{endpoints.replicate}/{owner}/{name}{versions}/_weights"
        case UrlSource(url):
            return url
    raise AssertionError(f"{source.label} is no remote file")


def find_remote(source: Source, ask: Ask) -> Remote:
    """Return where the file is.

    Raises FetchError when the site cannot be asked, AdapterError if it has not exactly one.
    """
    match source:
        case HubSource():
            return find_on_hub(source, ask)
        case CivitaiSource():
            return find_on_civitai(source, ask)
    return Remote(source_url(source, ask.endpoints))


def find_on_hub(source: HubSource, ask: Ask) -> Remote:
    if ask.endpoints.offline:
        raise UnreachableError(f"{source.label}: HF_HUB_OFFLINE is set. Unset it to fetch a LoRA that is not here yet.")
    folder = str(PurePosixPath(source.filename or "").parent)
    base = f"{ask.endpoints.hf}/api/models/{source.repo_id}/tree/{quote(source.revision, safe='')}"
    url = base if folder == "." else f"{base}/{quote(folder)}"
    entries = fetch_json(url, **ask.options(url))
    if not isinstance(entries, list):
        raise unexpected(source.label)
    if source.filename is None and len(entries) >= MAX_LISTED:
        raise AdapterError(
            f"{source.label}: it has too many files to look for the only one. Name it, as in "
            f"huggingface.co/{source.repo_id}/file.safetensors."
        )
    files = {entry["path"]: entry for entry in entries if is_file_entry(entry)}
    filename = source.filename or only_file(source, [name for name in files if name.lower().endswith(".safetensors")])
    config_name = str(PurePosixPath(filename).with_name(CONFIG_NAME))
    config = None
    if config_name in files:
        config_url = hub_file_url(source, config_name, ask)
        config = fetch_bytes(config_url, max_bytes=MAX_CONFIG_BYTES, **ask.options(config_url))
    lfs = files.get(filename, {}).get("lfs")
    digest = sha256(lfs.get("oid")) if isinstance(lfs, dict) else None
    return Remote(hub_file_url(source, filename, ask), digest, config)


def hub_file_url(source: HubSource, filename: str, ask: Ask) -> str:
    return f"{ask.endpoints.hf}/{source.repo_id}/resolve/{quote(source.revision, safe='')}/{quote(filename)}"


def is_file_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "file" and is_plain_path(entry.get("path"))


def is_plain_path(path: Any) -> bool:
    """Return whether a site's name for a file can be asked for and shown as it is."""
    return isinstance(path, str) and path.isprintable() and not {"", ".", ".."} & set(path.split("/"))


def only_file(source: HubSource, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise AdapterError(
            f"{source.label}: no .safetensors file lies at its top. Name one in a folder, as in "
            f"huggingface.co/{source.repo_id}/folder/file.safetensors; other formats are not read."
        )
    raise AdapterError(
        f"{source.label}: there are {len(names)} .safetensors files ({listed(names)}). Choose one, as in "
        f"huggingface.co/{source.repo_id}/{sorted(names)[0]}."
    )


def find_on_civitai(source: CivitaiSource, ask: Ask) -> Remote:
    version = civitai_version(source, ask)
    files = version.get("files")
    files = [file for file in files if is_civitai_file(file)] if isinstance(files, list) else []
    chosen = [file for file in files if file.get("primary") is True] or files
    if len(chosen) != 1:
        names = listed([ascii(file.get("name"))[:100] for file in chosen]) or "none"
        raise AdapterError(
            f"{source.label}: one SafeTensor file is expected there, and these are: {names}. Choose another version "
            "with ?modelVersionId=NUMBER, or give the https:// URL of a .safetensors file."
        )
    hashes = chosen[0].get("hashes")
    digest = sha256(hashes.get("SHA256")) if isinstance(hashes, dict) else None
    return Remote(chosen[0]["downloadUrl"], digest)


def civitai_version(source: CivitaiSource, ask: Ask) -> dict[str, Any]:
    api = f"{ask.endpoints.civitai}/api/v1"
    if source.model_id is None:
        url = f"{api}/model-versions/{source.version_id}"
        version = fetch_json(url, **ask.options(url))
        if not isinstance(version, dict):
            raise unexpected(source.label)
        return version
    url = f"{api}/models/{source.model_id}"
    model = fetch_json(url, **ask.options(url))
    versions = model.get("modelVersions") if isinstance(model, dict) else None
    if not isinstance(versions, list) or not all(isinstance(version, dict) for version in versions):
        raise unexpected(source.label)
    for version in versions:  # newest first
        if source.version_id in (None, version.get("id")):
            found: dict[str, Any] = version
            return found
    known = ", ".join(ascii(version.get("id"))[:20] for version in versions[:MAX_NAMED]) or "none"
    raise AdapterError(f"{source.label}: the model has no such version. Its versions: {known}.")


def is_civitai_file(file: Any) -> bool:
    if not isinstance(file, dict) or not isinstance(file.get("downloadUrl"), str):
        return False
    metadata = file.get("metadata")
    return isinstance(metadata, dict) and metadata.get("format") == "SafeTensor" and file.get("type") in (None, "Model")


def sha256(text: Any) -> str | None:
    found = isinstance(text, str) and re.fullmatch(r"[0-9a-fA-F]{64}", text)
    return f"sha256:{text.lower()}" if found else None


def listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(sorted(names)[:MAX_NAMED]) + more


def unexpected(label: str) -> FetchError:
    return FetchError(f"{label}: the site's answer is not of the form that is known. Give the file's https:// URL.")
