"""Files on the Hugging Face Hub, by huggingface_hub: its cache, token, offline switch and endpoint are the user's own.

The library is imported at first use: most starts find all files in the store and need none of it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from easel.errors import FetchError
from easel.net.fetch import TRANSIENT
from easel.net.redirects import split_address
from easel.net.urls import origin, shown_error
from easel.weights.download.fetch import Address
from easel.weights.sources import HubFile

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import HfFileMetadata

SHA256 = r"[0-9a-f]{64}"


@dataclass(frozen=True)
class HubAnswer:
    """What the Hub says of a file. `size` in bytes, `digest` its "sha256:...": None where the Hub does not know it."""

    address: Address
    size: int | None
    digest: str | None


def find_in_hub_cache(file: HubFile) -> Path | None:
    """Return the file in the user's Hub cache (HF_HOME, HF_HUB_CACHE), where other programs have put it."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(file.repo_id, file.filename, revision=file.revision)
    except OSError:  # a cache that this user may not read
        return None
    return Path(found).resolve() if isinstance(found, str) else None


def ask_hub(file: HubFile) -> HubAnswer:
    """Ask the Hub where the bytes are now: an address that may hold for minutes only. Raises FetchError."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(file.repo_id, file.filename, revision=file.revision)
    metadata = get_metadata(file, url)
    if metadata.commit_hash != file.revision:
        raise FetchError(
            f"{file.label}: {urlsplit(url).hostname} answers for commit {metadata.commit_hash} instead of the pinned "
            "one. If HF_ENDPOINT is set, check that it is a mirror that knows this commit."
        )
    headers = build_hf_headers()
    # The token is for the Hub, and not for where it keeps its bytes.
    if origin(split_address(metadata.location)) != origin(split_address(url)):
        headers.pop("authorization", None)
    etag = metadata.etag or ""  # of a large file its SHA-256, of another one Git's own digest
    return HubAnswer(
        Address(metadata.location, headers), metadata.size, f"sha256:{etag}" if re.fullmatch(SHA256, etag) else None
    )


def get_metadata(file: HubFile, url: str) -> "HfFileMetadata":
    """Ask the Hub once, and several times when it is only busy. Raises FetchError with a sentence for each failure."""
    import httpx2
    from huggingface_hub import errors, get_hf_file_metadata

    host = urlsplit(url).netloc
    try:
        try:
            return get_hf_file_metadata(url)
        except errors.HfHubHTTPError as error:
            if error.response.status_code not in TRANSIENT:
                raise
            return get_hf_file_metadata(url, retry_on_errors=True)
    except errors.OfflineModeIsEnabled:
        problem = (
            "HF_HUB_OFFLINE is set, and the file is neither in the store nor in the Hub's cache on this machine. "
            "Unset it, or point EASEL_WEIGHTS_DIR to a folder with the files."
        )
    except errors.HfHubHTTPError as error:
        problem = explain_status(error, file, host)
    except httpx2.HTTPError as error:
        problem = (
            f"{host} cannot be reached ({shown_error(error)}). Check the network, and HF_ENDPOINT if "
            "it is set; without a network, point EASEL_WEIGHTS_DIR to a folder with the files."
        )
    raise FetchError(f"{file.label}: {problem}")


def explain_status(error: "HfHubHTTPError", file: HubFile, host: str) -> str:
    from huggingface_hub import errors, get_token

    status = error.response.status_code
    token = "The token that is set may not read it" if get_token() else "Set HF_TOKEN to a token that may read it"
    match error:
        case errors.GatedRepoError():
            return f"{file.repo_id} is gated: accept its terms on its page at {host}. {token} (status {status})."
        case errors.RevisionNotFoundError():
            return f"{file.repo_id} has no commit {file.revision}: check the revision in the lock."
        case errors.RemoteEntryNotFoundError():
            return f"{file.repo_id} has no such file at this commit: check the filename in the lock."
        case errors.RepositoryNotFoundError():
            return f"{host} knows no {file.repo_id}, or it is private. {token} (status {status})."
    if status in (401, 403):
        return f"{host} refuses it (status {status}). {token}."
    if status in TRANSIENT:
        return f"{host} is busy or broken (status {status}, several times). Try again later."
    return f"{host} answers with status {status} instead of the file."
