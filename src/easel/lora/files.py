"""From the text that a caller typed as `lora_weights` to a safetensors file on disk."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from easel.errors import AdapterError, FetchError, InputError, UnreachableError
from easel.lora.archives import CONFIG_NAME, MAX_CONFIG_BYTES, is_cut_off, kind_of_file, unpack_safetensors
from easel.lora.cache import AdapterCache, Entry, cache_key
from easel.lora.data_urls import save_data
from easel.lora.references import DataSource, FileSource, Source, parse_source
from easel.lora.sites import Ask, Endpoints, Remote, Tokens, find_remote, source_url
from easel.net.fetch import MAX_BYTES, Fetched, fetch
from easel.net.guard import Network
from easel.net.resolver import start_resolver
from easel.weights.manifest import digest_of

CACHE_BYTES = 10 * 2**30
MAX_CONFIG_DEPTH = 10  # peft's own has 3
FRESH_S = 60.0  # An origin is asked at most this often, so a request with one file several times asks once.


@dataclass(frozen=True)
class AdapterFile:
    """A safetensors file that is whole. A later `get` may remove it to make room, so open it soon.

    `digest` is "sha256:" and 64 hex digits; `config` is the adapter_config.json beside it; `label` may be shown.
    """

    path: Path
    digest: str
    config: dict[str, Any] | None
    label: str


class AdapterFiles:
    """Adapter files by reference, kept in `folder` up to `max_bytes`.

    `allow_files` lets a reference be a path on this machine, `allow_loopback` an http URL on it. `network` holds the
    limits of a fetch in seconds, and its own `allow_loopback` is not read.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int = CACHE_BYTES,
        allow_files: bool = False,
        allow_loopback: bool = False,
        endpoints: Endpoints | None = None,
        network: Network | None = None,
        max_file_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = AdapterCache(folder, max_bytes)
        self._allow_files = allow_files
        self._allow_loopback = allow_loopback
        self._endpoints = endpoints or Endpoints()
        self._network = replace(network or Network(), allow_loopback=allow_loopback)
        self._max_file_bytes = min(max_file_bytes, max_bytes)
        self._clock = clock
        self._down: dict[str, tuple[float, str]] = {}  # since when and why an origin is not asked, by the copy's key
        start_resolver()  # Here, so that no request starts these threads.

    def deadline(self) -> float:
        """Return when the fetches of one request, which begins now, must have ended."""
        return self._network.clock() + self._network.total_s

    def get(
        self, reference: str, tokens: Tokens, log: Callable[[str], None], deadline: float | None = None
    ) -> AdapterFile:
        """Return the file that `reference` names, fetched unless a copy is here that its origin still stands by.

        The copy is used too while the origin does not answer or is out of order, and a line of the log says so. It is
        not when the origin refuses it or no longer has it.

        `log` gets a line when a file is fetched; `deadline` is that of the whole request. Raises InputError (no such
        kind of reference), FetchError (it cannot be had), AdapterError (it is not exactly one safetensors file) and
        ResourceError (the disk is full).
        """
        source = parse_source(reference, allow_files=self._allow_files, allow_loopback=self._allow_loopback)
        match source:
            case FileSource(path):
                return self._from_file(Path(path), source.label)
            case DataSource():
                entry = self._from_data(source)
            case _:
                entry = self._from_remote(source, tokens, log, self.deadline() if deadline is None else deadline)
        return AdapterFile(self._cache.path(entry.digest), entry.digest, entry.config, source.label)

    def _from_file(self, path: Path, label: str) -> AdapterFile:
        try:
            if not path.is_file():
                raise InputError(f"{label}: there is no such file on this machine.")
            kind = kind_of_file(path)
            digest = digest_of(path)
            beside = path.with_name(CONFIG_NAME)
            config = beside.read_bytes() if kind == "safetensors" and beside.is_file() else None
        except OSError as error:
            raise InputError(f"{label}: the file cannot be read ({error.strerror}).") from None
        if kind == "safetensors":
            return AdapterFile(path, digest, parse_config(config, label), label)
        key = cache_key("file:" + digest, None)
        entry = self._cache.find(key)
        if entry is None:
            with self._cache.work_folder() as work:
                entry = self._keep(key, path, work, Remote(""), Fetched(path.stat().st_size, digest, None), label)
        return AdapterFile(self._cache.path(entry.digest), entry.digest, entry.config, label)

    def _from_data(self, source: DataSource) -> Entry:
        with self._cache.work_folder() as work:
            fetched = save_data(source, work / "decoded", self._max_file_bytes)
            key = cache_key("data:" + fetched.digest, None)
            return self._cache.find(key) or self._keep(key, work / "decoded", work, Remote(""), fetched, source.label)

    def _from_remote(self, source: Source, tokens: Tokens, log: Callable[[str], None], deadline: float) -> Entry:
        url = source_url(source, self._endpoints)
        credential = self._endpoints.credential_for(url, tokens)
        key = cache_key(url, credential.token if credential else None)
        entry = self._cache.find(key)
        now = self._clock()
        if entry and 0 <= now - entry.checked < FRESH_S:
            return entry
        self._down = {kept: found for kept, found in self._down.items() if 0 <= now - found[0] < FRESH_S}
        if entry and key in self._down:
            return use_copy(entry, source.label, self._down[key][1], log)
        # With a copy here, one more attempt is enough to tell a hiccup from an outage.
        network = self._network if entry is None else replace(self._network, retries=min(1, self._network.retries))
        ask = Ask(source.label, self._endpoints, tokens, network, log, deadline)
        try:
            remote = find_remote(source, ask)
            if entry and remote.digest is not None and remote.digest == entry.fetched_digest:
                return self._renew(key, entry, remote, now)
            return self._fetch(key, entry, remote, ask, now)
        except UnreachableError as error:
            if entry is None:
                raise
            self._down[key] = now, str(error).removeprefix(f"{source.label}: ")
            return use_copy(entry, source.label, self._down[key][1], log)

    def _fetch(self, key: str, entry: Entry | None, remote: Remote, ask: Ask, now: float) -> Entry:
        headers: dict[str, str] = {}
        if entry and entry.etag and entry.fetched_from == text_digest(remote.url):
            headers["If-None-Match"] = entry.etag
        started = time.monotonic()
        with self._cache.work_folder() as work:
            target = work / "fetched"
            fetched = fetch(
                remote.url, target, headers=headers, max_bytes=self._max_file_bytes, **ask.options(remote.url)
            )
            if fetched is None:
                assert entry, "304 answers an If-None-Match alone"
                return self._renew(key, entry, remote, now)
            if remote.digest is not None and fetched.digest != remote.digest:
                raise FetchError(f"{ask.label}: what came has {fetched.digest}, and the site says {remote.digest}.")
            seconds = time.monotonic() - started
            ask.log(f"{ask.label}: fetched {fetched.size / 1e6:.1f} MB in {seconds:.1f} s")
            return self._keep(key, target, work, remote, fetched, ask.label, now)

    def _renew(self, key: str, entry: Entry, remote: Remote, now: float) -> Entry:
        is_archive = entry.fetched_digest != entry.digest  # then the file that is kept has its config from there
        config = entry.config if is_archive else parse_config(remote.config, entry.label)
        return self._cache.renew(key, entry, checked=now, config=config)

    def _keep(
        self, key: str, file: Path, work: Path, remote: Remote, fetched: Fetched, label: str, now: float | None = None
    ) -> Entry:
        """Put what was fetched into the cache, out of its archive if it is in one."""
        config = remote.config
        try:
            kind = kind_of_file(file)
            if kind is None:
                raise AdapterError(what_it_is(file))
            if kind == "safetensors" and file.parent != work:  # The rename below must never take a caller's own file.
                raise AdapterError("The file changed while it was read.")
            digest = fetched.digest
            if kind != "safetensors":
                file = unpack_safetensors(file, work, self._max_file_bytes)
                if kind_of_file(file) != "safetensors":
                    raise AdapterError("The .safetensors file in the archive is damaged, or is something else.")
                digest = digest_of(file)
                beside = file.with_name(CONFIG_NAME)
                config = beside.read_bytes() if beside.is_file() else config
            if is_cut_off(file):
                raise AdapterError("The file is cut off: it ends before the last tensor that it lists.")
        except AdapterError as error:
            raise AdapterError(f"{label}: {error}") from None
        entry = Entry(
            label=label,
            digest=digest,
            size=file.stat().st_size,
            checked=self._clock() if now is None else now,
            config=parse_config(config, label),
            fetched_digest=fetched.digest,
            fetched_from=text_digest(remote.url),
            etag=fetched.etag,
        )
        return self._cache.keep(key, entry, file)


def use_copy(entry: Entry, label: str, why: str, log: Callable[[str], None]) -> Entry:
    confirmed = datetime.fromtimestamp(entry.checked, UTC).strftime("%Y-%m-%d %H:%M UTC")
    log(f"{label}: the copy here is used, which its origin last confirmed at {confirmed}. {why}")
    return entry


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def what_it_is(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(200).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "A web page came instead of a file: the address may need a login, or be that of a page about the file."
    if start.startswith(b"version https://git-lfs"):
        return "The file is a Git LFS pointer, not the weights: fetch them with `git lfs pull`, or give their URL."
    return "The file is neither safetensors, nor a tar or zip archive, or it is cut off."


def parse_config(data: bytes | None, label: str) -> dict[str, Any] | None:
    """adapter_config.json: a JSON object of at most 1 MB and 10 levels. Raises AdapterError for anything else."""
    if data is None:
        return None
    try:
        config = json.loads(data) if len(data) <= MAX_CONFIG_BYTES else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or is_deeper(config, MAX_CONFIG_DEPTH):
        limits = f"of at most 1 MB and {MAX_CONFIG_DEPTH} levels"
        raise AdapterError(f"{label}: the {CONFIG_NAME} beside it is not a JSON object {limits}.")
    return config


def is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects stand in one another more than `levels` deep; writing them could fill the
    stack.
    """
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels == 0 or any(is_deeper(one, levels - 1) for one in inner)
    return False
