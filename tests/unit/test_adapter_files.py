"""From a reference to a file: which file, whose, how long a copy counts, and what the cache survives."""

import base64
import ctypes
import hashlib
import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace

import pytest

from easel import files as disk
from easel.errors import AdapterError, EaselError, FetchError, InputError, ResourceError
from easel.lora import cache as adapter_cache
from easel.lora.files import AdapterFiles
from easel.lora.sites import Endpoints, Tokens
from easel.net.guard import Network
from tests.support.fast_clock import FastClock
from tests.support.fault_server import Answer, FaultServer, redirect

pytestmark = pytest.mark.slow

NETWORK = Network(backoff_s=0.01, max_backoff_s=0.02, retries=1)
TOKEN, SECOND = "hf_hunter2hunter2", "hf_hunter3hunter3"
NOBODY = Tokens()
INDEX = 700  # bytes, the most that is written here about a file
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def weights(text="one", size=1000):
    header = json.dumps({"__metadata__": {"name": text}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tar(**members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"out/{name.replace('__', '.')}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "adapters"


@pytest.fixture
def make_files(server, folder, clock):
    def make_files(**options):
        defaults = {"allow_loopback": True, "network": NETWORK, "clock": clock}
        endpoints = Endpoints(
            hf=server.url, civitai=f"http://localhost:{server.port}/civitai", replicate=f"{server.url}/replicate"
        )
        return AdapterFiles(folder, **{**defaults, "endpoints": endpoints, **options})

    return make_files


@pytest.fixture
def logs():
    return []


@pytest.fixture
def get(make_files, logs):
    files = make_files()
    return lambda reference, tokens=NOBODY: files.get(reference, tokens, logs.append)


def put_on_hub(server, files, repo="ada/flowers", revision="main", **options):
    """A repository of files (name: bytes), as the Hub lists and gives them."""
    tree = [{"type": "directory", "path": "samples", "oid": COMMIT, "size": 0}]
    for name, data in files.items():
        entry = {"type": "file", "path": name, "oid": COMMIT, "size": len(data)}
        if name.endswith(".safetensors"):
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
        tree.append(entry)
        server.routes[f"/{repo}/resolve/{revision}/{name}"] = Answer(body=data, etag=True, **options)
    server.routes[f"/api/models/{repo}/tree/{revision}"] = Answer(body=json.dumps(tree).encode(), **options)


def put_on_civitai(server, *versions, **options):
    """Versions are pairs of a number and a list of files as the API lists them."""
    listed = [{"id": number, "files": files} for number, files in versions]
    server.routes["/civitai/api/v1/models/12"] = Answer(body=json.dumps({"modelVersions": listed}).encode(), **options)
    for version in listed:
        server.routes[f"/civitai/api/v1/model-versions/{version['id']}"] = Answer(
            body=json.dumps(version).encode(), **options
        )


def civitai_file(server, path, data=None, **changes):
    file = {"name": path.strip("/"), "type": "Model", "primary": True, "metadata": {"format": "SafeTensor"}}
    if data is not None:
        file["hashes"] = {"SHA256": sha256(data).upper()}
    return {**file, "downloadUrl": server.url + path, **changes}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def everything_written(folder):
    return b"".join(path.name.encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file())


# Limits


def late(clock, seconds, answer):
    """An answer that takes so long by `clock`."""

    def route(_):
        clock.skip(seconds)
        return answer

    return route


def test_what_is_asked_and_fetched_for_one_request_has_600_s_in_all(server, make_files, logs):
    fast = FastClock(1)
    files = make_files(network=replace(NETWORK, clock=fast))
    for name in "abc":
        server.routes[f"/{name}.safetensors"] = late(fast, 350, Answer(body=weights(name)))
    deadline = files.deadline()
    files.get(f"{server.url}/a.safetensors", NOBODY, logs.append, deadline)
    with pytest.raises(FetchError):
        files.get(f"{server.url}/b.safetensors", NOBODY, logs.append, deadline)
    with pytest.raises(FetchError):
        files.get(f"{server.url}/c.safetensors", NOBODY, logs.append, deadline)
    assert server.count("/c.safetensors") == 0, "there was no time left"
    files.get(f"{server.url}/c.safetensors", NOBODY, logs.append, files.deadline())


def test_time_that_a_site_takes_to_be_asked_counts_too(server, make_files, logs):
    fast = FastClock(1)
    files = make_files(network=replace(NETWORK, clock=fast))
    put_on_hub(server, {"a.safetensors": weights()})
    for path in ("/api/models/ada/flowers/tree/main", "/ada/flowers/resolve/main/a.safetensors"):
        server.routes[path] = late(fast, 350, server.routes[path])
    with pytest.raises(FetchError):
        files.get("hf://ada/flowers", NOBODY, logs.append)


@pytest.mark.parametrize("nested", ['{"a":' * 400 + "1" + "}" * 400, '{"a":' + "[" * 900 + "]" * 900 + "}"])
def test_settings_that_would_fill_the_stack_are_refused_in_words(server, get, folder, nested):
    archive = tar(a__safetensors=weights(), adapter_config__json=nested.encode())
    server.routes["/a.tar"] = Answer(body=archive)
    with pytest.raises(AdapterError, match="is not a JSON object of at most 1 MB and 10 levels"):
        get(f"{server.url}/a.tar")
    assert names(folder) == []


# Plain URLs


def test_file_behind_a_url_is_fetched_and_said_so(server, get, logs, folder):
    server.routes["/a.safetensors?sig=1"] = Answer(body=weights())
    file = get(f"{server.url}/a.safetensors?sig=1")
    assert file.path.read_bytes() == weights()
    assert file.digest == f"sha256:{sha256(weights())}"
    assert file.config is None
    assert file.label == f"{server.url}/a.safetensors"
    assert file.path == folder / f"sha256-{sha256(weights())}.safetensors"
    assert re.fullmatch(rf"{re.escape(server.url)}/a\.safetensors: fetched 0\.0 MB in \d\.\d s", "\n".join(logs))


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_archive_is_unpacked_with_its_config_whatever_its_url_calls_it(server, get, suffix):
    data = tar(lora__safetensors=weights(), adapter_config__json=b'{"r": 8}')
    server.routes[f"/a.{suffix}"] = Answer(body=data)
    file = get(f"{server.url}/a.{suffix}")
    assert file.path.read_bytes() == weights()
    assert file.digest == f"sha256:{sha256(weights())}"
    assert file.config == {"r": 8}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "A web page came instead of a file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (weights()[:20], "neither safetensors, nor a tar or zip archive, or it is cut off"),
        (b"", "neither safetensors"),
        (tar(a__txt=b"x"), "no .safetensors file"),
        (tar(a__safetensors=b"<html>"), "in the archive is damaged"),
        (tar(a__safetensors=weights(), adapter_config__json=b"[]"), "not a JSON object"),
        (tar(a__safetensors=weights(), adapter_config__json=b"{"), "not a JSON object"),
        (tar(a__safetensors=weights(), adapter_config__json=b'{"a":' * 100_000), "not a JSON object"),
    ],
)
def test_what_is_no_adapter_is_refused_and_not_kept(server, get, folder, body, why):
    server.routes["/a.safetensors"] = Answer(body=body)
    with pytest.raises(AdapterError) as caught:
        get(f"{server.url}/a.safetensors")
    assert why in str(caught.value)
    assert str(caught.value).startswith(f"{server.url}/a.safetensors: ")
    assert names(folder) == []


def test_file_that_ends_too_early_unnoticed_by_http_is_not_kept(server, get, folder):
    header = json.dumps({"a": {"dtype": "U8", "shape": [900], "data_offsets": [0, 900]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(900)
    server.routes["/a.safetensors"] = [Answer(body=whole[:-1], length=-1, etag=True), Answer(body=whole)]
    with pytest.raises(AdapterError, match="is cut off"):
        get(f"{server.url}/a.safetensors")
    assert names(folder) == []
    assert get(f"{server.url}/a.safetensors").path.read_bytes() == whole


def test_file_above_the_limit_is_refused(server, make_files, logs):
    server.routes["/a.safetensors"] = Answer(body=weights())
    for options in ({"max_file_bytes": 500}, {"max_bytes": 500}):
        with pytest.raises(FetchError, match="more than 500 bytes"):
            make_files(**options).get(f"{server.url}/a.safetensors", NOBODY, logs.append)


def test_loopback_and_files_are_refused_by_default(server, folder, tmp_path, logs):
    files = AdapterFiles(folder)
    for reference in (f"{server.url}/a.safetensors", str(tmp_path / "a.safetensors")):
        with pytest.raises(InputError):
            files.get(reference, NOBODY, logs.append)
    with pytest.raises(FetchError, match="There is no public host"):
        files.get(f"https://127.0.0.1:{server.port}/a.safetensors", NOBODY, logs.append)
    assert server.seen == []


def test_network_settings_cannot_allow_loopback_behind_the_back(server, folder, logs):
    files = AdapterFiles(folder, network=Network(allow_loopback=True, retries=0))
    with pytest.raises(FetchError, match="There is no public host"):
        files.get(f"https://127.0.0.1:{server.port}/a.safetensors", NOBODY, logs.append)


# How long a copy counts


def test_file_that_was_just_checked_is_used_without_asking(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    first = get(f"{server.url}/a.safetensors")
    clock.now += 59
    assert get(f"{server.url}/a.safetensors") == first
    assert len(server.seen) == 1


def test_older_file_is_kept_when_its_origin_says_unchanged(server, get, clock, logs):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    first = get(f"{server.url}/a.safetensors")
    clock.now += 61
    assert get(f"{server.url}/a.safetensors") == first
    assert "if-none-match" in server.seen[1].headers
    clock.now += 59  # counted from the second check
    get(f"{server.url}/a.safetensors")
    assert len(server.seen) == 2
    assert len(logs) == 1


def test_older_file_is_replaced_when_its_origin_has_another(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    server.routes["/a.safetensors"] = Answer(body=weights("two"), etag=True)
    clock.now += 61
    assert get(f"{server.url}/a.safetensors").path.read_bytes() == weights("two")


def test_older_file_without_an_etag_is_fetched_again(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights())
    first = get(f"{server.url}/a.safetensors")
    clock.now += 61
    assert get(f"{server.url}/a.safetensors") == first
    assert "if-none-match" not in server.seen[1].headers


@pytest.mark.parametrize("status", [401, 403, 404, 410, 400])
def test_older_file_is_not_used_when_its_origin_refuses(server, get, clock, status):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    server.routes["/a.safetensors"] = Answer(status=status)
    clock.now += 61
    with pytest.raises(FetchError, match=f"status {status}"):
        get(f"{server.url}/a.safetensors")


def broken_off(server):
    server.routes["/a.safetensors"] = Answer(body=weights("two"), cut=100)


def out_of_order(status):
    return lambda server: server.routes.update({"/a.safetensors": Answer(status=status)})


def switched_off(server):
    server.__exit__()


@pytest.mark.parametrize(
    ("outage", "why"),
    [
        *((out_of_order(status), f"answers with status {status}") for status in (500, 502, 503, 504, 520, 429)),
        (broken_off, "breaks off in the middle"),
        (switched_off, "takes no connection"),
    ],
)
def test_older_file_is_used_while_its_origin_is_out_of_order(server, get, clock, logs, outage, why):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    first = get(f"{server.url}/a.safetensors")
    outage(server)
    clock.now += 61
    logs.clear()
    assert get(f"{server.url}/a.safetensors") == first
    assert re.search(rf"copy here is used, which its origin last confirmed at 1970-01-12 13:46 UTC.*{why}", logs[-1])
    asked = len(server.seen)
    clock.now += 30
    assert get(f"{server.url}/a.safetensors") == first
    assert "copy here is used" in logs[-1], "each request says so"
    assert len(server.seen) == asked, "and not each waits for it"


def test_an_origin_that_is_back_is_asked_again(server, get, clock, logs):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    out_of_order(503)(server)
    clock.now += 61
    get(f"{server.url}/a.safetensors")
    server.routes["/a.safetensors"] = Answer(body=weights("two"), etag=True)
    clock.now += 61
    assert get(f"{server.url}/a.safetensors").digest == f"sha256:{sha256(weights('two'))}"
    server.routes["/a.safetensors"] = Answer(status=404)
    clock.now += 61
    with pytest.raises(FetchError, match="status 404"):
        get(f"{server.url}/a.safetensors")


def test_without_a_copy_an_outage_is_an_error(server, get):
    server.routes["/a.safetensors"] = Answer(status=503)
    with pytest.raises(FetchError, match="status 503, 2 times. Try again later"):
        get(f"{server.url}/a.safetensors")


@pytest.mark.parametrize("failure", [socket.EAI_AGAIN, socket.EAI_NONAME])
def test_older_file_is_used_without_a_network(make_files, server, clock, logs, failure):
    def resolve(*_args, **_options):
        raise socket.gaierror(failure, "no network")

    url = f"http://localhost:{server.port}/a.safetensors"
    server.routes["/a.safetensors"] = Answer(body=weights())
    first = make_files().get(url, NOBODY, logs.append)
    clock.now += 61
    assert make_files(network=replace(NETWORK, resolve=resolve)).get(url, NOBODY, logs.append) == first
    assert "copy here is used" in logs[-1]


def test_a_name_that_leads_to_a_private_address_now_is_no_outage(make_files, server, clock, logs):
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", server.port))]
    url = f"http://localhost:{server.port}/a.safetensors"
    server.routes["/a.safetensors"] = Answer(body=weights())
    make_files().get(url, NOBODY, logs.append)
    clock.now += 61
    with pytest.raises(FetchError, match="no public host"):
        make_files(network=replace(NETWORK, resolve=lambda *_a, **_k: rows)).get(url, NOBODY, logs.append)


def test_offline_the_hub_is_not_asked(make_files, server, clock, logs):
    put_on_hub(server, {"a.safetensors": weights()})
    first = make_files().get("hf://ada/flowers", NOBODY, logs.append)
    offline = make_files(endpoints=Endpoints(hf=server.url, offline=True))
    asked, clock.now = len(server.seen), clock.now + 61
    assert offline.get("hf://ada/flowers", NOBODY, logs.append) == first
    assert "HF_HUB_OFFLINE is set" in logs[-1]
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set. Unset it"):
        offline.get("hf://ada/other", NOBODY, logs.append)
    assert len(server.seen) == asked


def test_clock_that_went_back_makes_a_copy_old(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    clock.now -= 1000
    get(f"{server.url}/a.safetensors")
    assert len(server.seen) == 2


def test_two_urls_of_one_file_share_it_on_disk(server, get, folder):
    server.routes |= {f"/{k}.safetensors": Answer(body=weights()) for k in range(2)}
    assert get(f"{server.url}/0.safetensors").path == get(f"{server.url}/1.safetensors").path
    assert len(list(folder.glob("*.safetensors"))) == 1


# Hugging Face


@pytest.mark.parametrize(
    "reference", ["huggingface.co/ada/flowers", "hf://ada/flowers", "https://huggingface.co/ada/flowers/tree/main"]
)
def test_only_safetensors_file_of_a_repository_is_found_with_its_config(server, get, reference):
    put_on_hub(server, {"README.md": b"# hi", "lora.safetensors": weights(), "adapter_config.json": b'{"r": 8}'})
    file = get(reference)
    assert file.path.read_bytes() == weights()
    assert file.config == {"r": 8}
    assert file.label == "huggingface.co/ada/flowers"


def test_named_file_revision_and_folder_are_those_that_are_fetched(server, get):
    put_on_hub(server, {}, revision="refs%2Fpr%2F1")
    base = "/api/models/ada/flowers/tree/refs%2Fpr%2F1"
    tree = [{"type": "file", "path": "a b/two.safetensors"}, {"type": "file", "path": "a b/adapter_config.json"}]
    server.routes[f"{base}/a%20b"] = Answer(body=json.dumps(tree).encode())
    server.routes["/ada/flowers/resolve/refs%2Fpr%2F1/a%20b/two.safetensors"] = Answer(body=weights("two"))
    server.routes["/ada/flowers/resolve/refs%2Fpr%2F1/a%20b/adapter_config.json"] = Answer(body=b'{"r": 4}')
    file = get("hf://ada/flowers@refs/pr/1/a b/two.safetensors")
    assert file.path.read_bytes() == weights("two")
    assert file.config == {"r": 4}


def test_several_files_are_named_with_how_to_choose(server, get, folder):
    put_on_hub(server, {f"{name}.safetensors": weights(name) for name in ("b", "a", "c")})
    with pytest.raises(AdapterError) as caught:
        get("hf://ada/flowers")
    assert str(caught.value) == (
        "huggingface.co/ada/flowers: there are 3 .safetensors files (a.safetensors, b.safetensors, c.safetensors). "
        "Choose one, as in huggingface.co/ada/flowers/a.safetensors."
    )
    assert get("huggingface.co/ada/flowers/a.safetensors").path.read_bytes() == weights("a")


def test_only_file_is_not_guessed_from_the_first_page_of_a_listing(server, get):
    put_on_hub(server, {"a.safetensors": weights(), **{f"{k}.txt": b"" for k in range(998)}})  # and a folder
    with pytest.raises(AdapterError, match="too many files.* huggingface.co/ada/flowers/file.safetensors"):
        get("hf://ada/flowers")
    assert get("hf://ada/flowers/a.safetensors").path.read_bytes() == weights()


def test_repository_without_safetensors_is_refused(server, get):
    put_on_hub(server, {"lora.bin": b"x"})
    with pytest.raises(AdapterError, match="no .safetensors file lies at its top"):
        get("hf://ada/flowers")


def test_missing_repository_or_file_is_said(server, get):
    with pytest.raises(FetchError, match="huggingface.co/ada/flowers: .* no such file or model"):
        get("hf://ada/flowers")
    put_on_hub(server, {"a.safetensors": weights()})
    with pytest.raises(FetchError, match="huggingface.co/ada/flowers/b.safetensors: .* no such file or model"):
        get("hf://ada/flowers/b.safetensors")


def test_file_whose_digest_the_hub_lists_is_not_asked_for_again(server, get, clock):
    put_on_hub(server, {"a.safetensors": weights(), "adapter_config.json": b'{"r": 8}'})
    get("hf://ada/flowers")
    put_on_hub(server, {"a.safetensors": weights(), "adapter_config.json": b'{"r": 9}'})
    clock.now += 61
    assert get("hf://ada/flowers").config == {"r": 9}
    assert server.count("/ada/flowers/resolve/main/a.safetensors") == 1
    put_on_hub(server, {"a.safetensors": weights("two")})
    del server.routes["/ada/flowers/resolve/main/adapter_config.json"]
    clock.now += 61
    file = get("hf://ada/flowers")
    assert (file.path.read_bytes(), file.config) == (weights("two"), None)


def test_file_that_is_not_the_listed_one_is_refused(server, get, folder):
    put_on_hub(server, {"a.safetensors": weights()})
    server.routes["/ada/flowers/resolve/main/a.safetensors"] = Answer(body=weights("two"))
    with pytest.raises(FetchError, match="what came has sha256:.*, and the site says sha256:"):
        get("hf://ada/flowers")
    assert names(folder) == []


def test_archive_in_a_repository_is_unpacked(server, get):
    put_on_hub(server, {"all.tar": tar(a__safetensors=weights())})
    assert get("huggingface.co/ada/flowers/all.tar").path.read_bytes() == weights()


@pytest.mark.parametrize(
    "answer",
    [b"{}", b"null", b"[", b'"a"', b"[" * 100_000, b"1" * 6_000_000, b'[{"path": 3}, null, 7, {"type": "file"}]'],
    ids=["object", "null", "cut", "text", "deep", "huge", "wrong types"],
)
@pytest.mark.parametrize(
    "reference", ["hf://ada/flowers", "civitai.com/models/12", "civitai.com/api/download/models/3"]
)
def test_hostile_api_answers_end_in_a_sentence(server, get, answer, reference, folder):
    server.routes["/api/models/ada/flowers/tree/main"] = Answer(body=answer)
    server.routes["/civitai/api/v1/models/12"] = Answer(body=answer)
    server.routes["/civitai/api/v1/model-versions/3"] = Answer(body=answer)
    with pytest.raises((FetchError, AdapterError)) as caught:
        get(reference)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_hostile_names_in_a_listing_are_not_asked_for(server, get):
    paths = ["../../secret.safetensors", "a\nERROR.safetensors", "/etc/a.safetensors", "", 3, None, "a//b.safetensors"]
    tree = [{"type": "file", "path": path} for path in paths]
    server.routes["/api/models/ada/flowers/tree/main"] = Answer(body=json.dumps(tree).encode())
    with pytest.raises(AdapterError, match="no .safetensors file"):
        get("hf://ada/flowers")


# Civitai and Replicate


def test_newest_version_of_a_civitai_model_is_fetched(server, get):
    put_on_civitai(server, (30, [civitai_file(server, "/30", weights("new"))]), (20, []))
    server.routes["/30"] = Answer(body=weights("new"))
    assert get("civitai.com/models/12/flowers").path.read_bytes() == weights("new")


@pytest.mark.parametrize("reference", ["civitai.com/models/12?modelVersionId=20", "civitai.com/api/download/models/20"])
def test_named_version_of_a_civitai_model_is_fetched(server, get, reference):
    put_on_civitai(server, (30, []), (20, [civitai_file(server, "/20", weights("old"))]))
    server.routes["/20"] = redirect("/stored?sig=x")
    server.routes["/stored?sig=x"] = Answer(body=weights("old"))
    assert get(reference).path.read_bytes() == weights("old")


def test_safetensors_file_is_chosen_from_those_of_a_version(server, get):
    pickled = civitai_file(server, "/p", metadata={"format": "PickleTensor"})
    second = civitai_file(server, "/s", primary=False)
    other = civitai_file(server, "/o", type="Training Data")
    put_on_civitai(server, (30, [pickled, second, other, civitai_file(server, "/30")]))
    server.routes["/30"] = Answer(body=weights())
    assert get("civitai.com/models/12").path.read_bytes() == weights()


def test_civitai_version_without_one_safetensors_file_is_refused_by_names(server, get):
    two = [civitai_file(server, f"/{k}", primary=False, name=f"{k}\n.safetensors") for k in "ab"]
    put_on_civitai(server, (30, two), (20, [civitai_file(server, "/p", metadata={"format": "PickleTensor"})]))
    with pytest.raises(AdapterError, match=r"these are: 'a\\n.safetensors', 'b\\n.safetensors'"):
        get("civitai.com/models/12")
    with pytest.raises(AdapterError, match="these are: none"):
        get("civitai.com/models/12?modelVersionId=20")
    with pytest.raises(AdapterError, match="no such version. Its versions: 30, 20"):
        get("civitai.com/models/12?modelVersionId=99")


@pytest.mark.parametrize(
    "url", ["http://[", "https://a:99999/", "file:///etc/passwd", "http://10.0.0.1/a", "", "/a", "\n"]
)
def test_hostile_download_url_ends_in_a_sentence(server, get, url):
    put_on_civitai(server, (30, [civitai_file(server, "/30", downloadUrl=url)]))
    with pytest.raises(FetchError):
        get("civitai.com/models/12")


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("ada/flowers", "/replicate/ada/flowers/_weights"),
        ("ada/flowers:abcdef01", "/replicate/ada/flowers/versions/abcdef01/_weights"),
    ],
)
def test_weights_of_a_model_on_replicate_are_fetched(server, get, reference, path):
    server.routes[path] = redirect("/stored/trained_model.tar")
    server.routes["/stored/trained_model.tar"] = Answer(body=tar(lora__safetensors=weights(), config__yaml=b"x"))
    assert get(reference).path.read_bytes() == weights()


# Tokens


def test_token_opens_a_private_repository_and_no_other_host_sees_it(server, make_files, logs):
    with FaultServer() as store:
        put_on_hub(server, {"a.safetensors": weights()}, token=TOKEN)
        path = "/ada/flowers/resolve/main/a.safetensors"
        server.routes[path] = Answer(302, headers={"Location": f"{store.url}/stored?sig=x"}, token=TOKEN)
        store.routes["/stored?sig=x"] = Answer(body=weights())
        file = make_files().get("hf://ada/flowers", Tokens(hf=f" {TOKEN}\n"), logs.append)
        assert file.path.read_bytes() == weights()
        assert {one.headers["authorization"] for one in server.seen} == {f"Bearer {TOKEN}"}
        assert "authorization" not in store.seen[0].headers


def test_each_token_goes_to_its_own_site_only(make_files, logs):
    with FaultServer() as hub, FaultServer() as civitai, FaultServer() as third:
        put_on_hub(hub, {"a.safetensors": weights()})
        listed = [{"id": 3, "files": [civitai_file(third, "/c")]}]
        civitai.routes["/api/v1/models/12"] = Answer(body=json.dumps({"modelVersions": listed}).encode())
        third.routes |= {"/c": Answer(body=weights()), "/d.safetensors": Answer(body=weights())}
        files = make_files(endpoints=Endpoints(hf=hub.url, civitai=civitai.url, replicate=third.url))
        third.routes["/ada/flowers/_weights"] = Answer(body=weights())
        tokens = Tokens(hf="for-hub", civitai="for-civitai")
        for reference in ("hf://ada/flowers", "civitai.com/models/12", "ada/flowers", f"{third.url}/d.safetensors"):
            files.get(reference, tokens, logs.append)
        assert {one.headers.get("authorization") for one in hub.seen} == {"Bearer for-hub"}
        assert {one.headers.get("authorization") for one in civitai.seen} == {"Bearer for-civitai"}
        assert {one.headers.get("authorization") for one in third.seen} == {None}


@pytest.mark.parametrize(
    ("reference", "name"), [("hf://ada/flowers", "hf_token"), ("civitai.com/models/12", "civitai_token")]
)
@pytest.mark.parametrize("refused", [401, 403])
def test_private_model_without_its_token_names_the_input(server, get, reference, name, refused):
    put_on_hub(server, {}, token=TOKEN, refused=refused)
    put_on_civitai(server, token=TOKEN, refused=refused)
    with pytest.raises(FetchError, match=f"give a token in {name}"):
        get(reference)
    with pytest.raises(FetchError, match=f"The token in {name} does not open it"):
        get(reference, Tokens(hf="wrong", civitai="wrong"))


def test_file_that_one_token_fetched_is_not_given_to_another_or_to_none(server, get, logs):
    put_on_hub(server, {"a.safetensors": weights()}, token=TOKEN)
    assert get("hf://ada/flowers", Tokens(hf=TOKEN)).path.is_file()
    for tokens in (NOBODY, Tokens(hf=SECOND), Tokens(civitai=TOKEN)):
        with pytest.raises(FetchError, match="hf_token"):
            get("hf://ada/flowers", tokens)
    seen = len(server.seen)
    get("hf://ada/flowers", Tokens(hf=TOKEN))
    assert len(server.seen) == seen


def test_token_and_query_are_in_no_file_name_log_error_or_repr(server, get, logs, folder, clock):
    put_on_hub(server, {"a.safetensors": weights()}, token=TOKEN)
    server.routes["/b.tar?sig=hunter2"] = Answer(body=tar(a__safetensors=weights("two")), etag=True)
    tokens = Tokens(hf=TOKEN, civitai=TOKEN)
    shown = [repr(tokens), repr(tokens.for_hf())]
    for reference in ("hf://ada/flowers", f"{server.url}/b.tar?sig=hunter2"):
        shown.append(repr(get(reference, tokens)))
        server.routes = {}
        clock.now += 61
        with pytest.raises(FetchError) as caught:
            get(reference, tokens)
        shown.append(repr(caught.value) + repr(caught.value.__context__))
        server.routes["/b.tar?sig=hunter2"] = Answer(body=tar(a__safetensors=weights("two")), etag=True)
    written = everything_written(folder)
    assert len(list(folder.glob("*.json"))) == 2
    assert not any("hunter2" in text for text in (*shown, *logs))
    assert b"hunter2" not in written


@pytest.mark.parametrize("values", [{"hf": "a b"}, {"civitai": "a\nb"}, {"hf": "ä"}])
def test_text_that_is_no_token_is_refused(values):
    with pytest.raises(InputError, match="_token is not a token"):
        Tokens(**values)


def test_empty_token_is_none():
    assert Tokens(hf="", civitai="  ").for_hf() == Tokens().for_hf()


# Data URLs and local files


def data_url(data):
    return "data:application/octet-stream;base64," + base64.b64encode(data).decode()


def test_data_url_is_decoded_and_kept_by_its_content(get, folder):
    data = tar(a__safetensors=weights(), adapter_config__json=b'{"r": 8}')
    file = get(data_url(data))
    assert (file.path.read_bytes(), file.config, file.label) == (weights(), {"r": 8}, "data: URL (10 kB)")
    before = names(folder)
    assert get(data_url(data)).path == file.path
    assert names(folder) == before
    assert get(data_url(weights())).config is None


def test_long_data_url_is_decoded_in_parts(get):
    data = weights(size=7_000_000)
    assert get(data_url(data)).digest == f"sha256:{sha256(data)}"


@pytest.mark.parametrize(
    "payload", ["AAAAA", "AA=A", "A=", "A", "AAAA====", "A-_A", "é", "AA\0AA", "AAAA" * 2_000_000 + "=AAA"]
)
def test_damaged_base64_is_refused(get, folder, payload):
    with pytest.raises(InputError, match="it is not base64"):
        get("data:;base64," + payload)
    assert names(folder) == []


def test_base64_may_have_line_breaks_escapes_and_no_padding(get):
    for size in (1000, 1001, 1002):
        data = weights(size=size)
        plain = base64.b64encode(data).decode()
        in_lines = base64.encodebytes(data).decode()
        escaped = plain.replace("=", "%3D").replace("+", "%2B").replace("/", "%2F")
        ways = (in_lines, in_lines.replace("\n", "\r\n "), plain.rstrip("="), in_lines.replace("=", ""), escaped)
        assert {get("data:;base64," + way).digest for way in ways} == {f"sha256:{sha256(data)}"}


def test_padding_within_a_data_url_is_refused(get):
    block = base64.b64encode(weights(size=3_000_000)).decode()
    payload = block[: 4 * 1024 * 1024 - 4] + "AA==" + block
    with pytest.raises(InputError, match="it is not base64"):
        get("data:;base64," + payload)


def test_data_url_above_the_limit_is_refused(make_files, logs):
    with pytest.raises(InputError, match="at most 500 bytes"):
        make_files(max_file_bytes=500).get(data_url(weights()), NOBODY, logs.append)


def test_local_file_is_used_where_it_lies(make_files, tmp_path, logs, folder):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights())
    path.with_name("adapter_config.json").write_bytes(b'{"r": 8}')
    file = make_files(allow_files=True).get(str(path), NOBODY, logs.append)
    assert (file.path, file.config, file.digest) == (path, {"r": 8}, f"sha256:{sha256(weights())}")
    assert not folder.exists()


def test_local_archive_is_unpacked_once_and_stays(make_files, tmp_path, logs):
    path = tmp_path / "mine.tar"
    path.write_bytes(tar(a__safetensors=weights()))
    files = make_files(allow_files=True)
    first = files.get(str(path), NOBODY, logs.append)
    assert first.path.read_bytes() == weights()
    assert files.get(str(path), NOBODY, logs.append) == first
    assert path.is_file()


def test_local_file_that_is_missing_or_no_adapter_is_refused(make_files, tmp_path, logs):
    files = make_files(allow_files=True)
    (tmp_path / "a.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="there is no such file on this machine"):
        files.get(str(tmp_path / "missing.safetensors"), NOBODY, logs.append)
    with pytest.raises(InputError, match="there is no such file on this machine"):
        files.get(str(tmp_path), NOBODY, logs.append)
    with pytest.raises(AdapterError, match="neither safetensors"):
        files.get(str(tmp_path / "a.safetensors"), NOBODY, logs.append)
    assert (tmp_path / "a.safetensors").is_file()


# What the cache survives


def fetch_one(server, get, name="a", data=None):
    server.routes[f"/{name}.safetensors"] = Answer(body=data or weights(name), etag=True)
    return get(f"{server.url}/{name}.safetensors")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, index: path.write_bytes(path.read_bytes()[:-1]),
        lambda path, index: path.write_bytes(path.read_bytes()[:-1] + b"x"),
        lambda path, index: path.unlink(),
        lambda path, index: index.write_bytes(b"{"),
        lambda path, index: index.write_bytes(b"[]"),
        lambda path, index: index.write_bytes(b'{"digest": 3}'),
        lambda path, index: index.write_bytes(b"\xff"),
        lambda path, index: index.write_bytes(index.read_bytes().replace(b"sha256:", b"sha256:../")),
        lambda path, index: index.write_bytes(index.read_bytes().replace(b'"size": 1', b'"size": "1')),
        lambda path, index: index.write_bytes(index.read_bytes().replace(b'"config": null', b'"config": []')),
        lambda path, index: index.write_bytes(b"[" * 100_000),
        lambda path, index: index.unlink(),
    ],
)
@pytest.mark.parametrize("again", [True, False], ids=["same process", "next process"])
def test_damaged_entry_is_fetched_again(server, make_files, folder, logs, damage, again):
    files = make_files()
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    path = files.get(f"{server.url}/a.safetensors", NOBODY, logs.append).path
    damage(path, next(folder.glob("*.json")))
    files = files if again else make_files()
    file = files.get(f"{server.url}/a.safetensors", NOBODY, logs.append)
    assert file.path.read_bytes() == weights()
    assert server.count("/a.safetensors") == 2
    assert "if-none-match" not in server.seen[1].headers


def test_least_recently_used_files_make_room(server, make_files, folder, logs):
    size = len(weights("a"))
    files = make_files(max_bytes=3 * (size + INDEX))

    def get(reference):
        return files.get(reference, NOBODY, logs.append)

    def age(name, seconds):
        for index in folder.glob("*.json"):
            if f"/{name}.safetensors" in index.read_text():
                os.utime(index, (time.time() - seconds,) * 2)

    kept = {name: fetch_one(server, get, name).path for name in "abc"}
    age("a", 300), age("b", 200), age("c", 100)
    get(f"{server.url}/a.safetensors")  # a use
    kept["d"] = fetch_one(server, get, "d").path
    assert [name for name, path in kept.items() if path.is_file()] == ["a", "c", "d"]
    assert len(list(folder.glob("*.json"))) == 3


def settings_beside(number, size):
    config = json.dumps({"lora_alpha": number, "note": "x" * size}).encode()
    return Answer(body=tar(a__safetensors=weights(str(number)), adapter_config__json=config))


def test_settings_beside_the_files_count_too(server, make_files, folder, logs):
    """A LoRA of some bytes may have 1 MB of them."""
    files = make_files(max_bytes=2_000_000)
    for number in range(5):
        server.routes[f"/{number}.tar"] = settings_beside(number, 900_000)
        files.get(f"{server.url}/{number}.tar", NOBODY, logs.append)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2_000_000


def test_number_of_files_has_an_end(server, make_files, folder, logs, monkeypatch):
    """All are looked at for each that is added."""
    monkeypatch.setattr(adapter_cache, "MAX_FILES", 3)
    files = make_files()
    for number in range(6):
        server.routes[f"/{number}.tar"] = settings_beside(number, 10)
        files.get(f"{server.url}/{number}.tar", NOBODY, logs.append)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json"] * 3 + [".safetensors"] * 3


def test_no_settings_are_read_to_see_which_file_was_used_last(server, make_files, logs, monkeypatch):
    files = make_files()
    server.routes["/0.tar"] = settings_beside(0, 900_000)
    files.get(f"{server.url}/0.tar", NOBODY, logs.append)
    monkeypatch.setattr(adapter_cache.json, "loads", None)
    server.routes["/1.tar"] = settings_beside(1, 10)
    monkeypatch.setattr(adapter_cache.AdapterCache, "find", lambda *_: None)
    files._cache._evict(files._cache.path("sha256:" + "0" * 64))


def test_file_that_two_references_share_counts_as_used_by_either(server, make_files, folder, logs):
    size = len(weights("a"))
    files = make_files(max_bytes=2 * size + 3 * INDEX)

    def get(reference):
        return files.get(reference, NOBODY, logs.append)

    shared = fetch_one(server, get, "a").path
    for index in folder.glob("*.json"):
        os.utime(index, (1, 1))
    fetch_one(server, get, "b")
    for index in folder.glob("*.json"):
        os.utime(index, (index.stat().st_mtime - 100,) * 2)
    assert fetch_one(server, get, "z", weights("a")).path == shared
    fetch_one(server, get, "c")
    assert shared.is_file()


def test_file_that_fills_the_cache_stays_for_its_own_request(server, make_files, folder, logs):
    files = make_files(max_bytes=len(weights("a")))
    for name in "ab":
        file = fetch_one(server, lambda reference: files.get(reference, NOBODY, logs.append), name)
        assert file.path.read_bytes() == weights(name)
    assert len(names(folder)) == 2


def test_what_a_dead_process_left_is_removed_and_what_a_live_one_writes_is_not(server, get, folder):
    folder.mkdir()
    for name in (".work-old", ".work-new"):
        (folder / name).mkdir()
        (folder / name / "fetched").write_bytes(b"x")
    orphans = [folder / f"sha256-{k * 64}.safetensors" for k in "01"]
    for orphan in orphans:
        orphan.write_bytes(b"x")
    for old in (folder / ".work-old", orphans[0]):
        os.utime(old, (time.time() - 4000,) * 2)
    fetch_one(server, get)
    assert not (folder / ".work-old").exists()
    assert (folder / ".work-new").exists()
    assert [orphan.exists() for orphan in orphans] == [False, True]


def test_full_disk_is_a_resource_error_that_names_the_folder_and_leaves_nothing(server, get, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(ResourceError, match=rf"{folder}.* cannot be written \(No space left on device\)"):
        fetch_one(server, get)
    assert names(folder) == []


def test_folder_that_cannot_be_made_is_a_resource_error(server, make_files, tmp_path, logs):
    (tmp_path / "adapters").write_bytes(b"a file")
    server.routes["/a.safetensors"] = Answer(body=weights())
    with pytest.raises(ResourceError, match="adapters cannot be written"):
        make_files().get(f"{server.url}/a.safetensors", NOBODY, logs.append)


@pytest.mark.parametrize("fault", [Answer(body=weights(), cut=9), Answer(404), Answer(body=b"<html>")], ids=str)
def test_failed_fetch_leaves_nothing(server, get, folder, fault):
    server.routes["/a.safetensors"] = fault
    with pytest.raises(EaselError):
        get(f"{server.url}/a.safetensors")
    assert names(folder) == []


class Cancelled(BaseException):
    pass


def test_cancelled_fetch_leaves_nothing_and_the_next_one_works(server, make_files, folder, logs):
    server.routes["/a.safetensors"] = [Answer(body=weights(), stall=500), Answer(body=weights())]
    files, ended = make_files(network=Network()), []

    def work():
        try:
            files.get(f"{server.url}/a.safetensors", NOBODY, logs.append)
        except BaseException as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert server.stalled.wait(5)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Cancelled))
    thread.join(10)
    assert ended == [Cancelled]
    assert names(folder) == []
    assert files.get(f"{server.url}/a.safetensors", NOBODY, logs.append).path.read_bytes() == weights()


def test_many_threads_may_ask_for_one_file_at_once(server, make_files, folder, logs):
    server.routes["/a.safetensors"] = Answer(body=weights(size=500_000), etag=True)
    results = []

    def work():
        results.append(make_files().get(f"{server.url}/a.safetensors", NOBODY, logs.append))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert {file.path.read_bytes() for file in results} == {weights(size=500_000)}
    assert len(names(folder)) == 2


def test_several_processes_may_share_a_folder_that_is_too_small_for_them(server, folder):
    """Each asks for its own files in turn; whatever the others evict, it gets whole files or a plain retry's worth."""
    for k in range(4):
        server.routes[f"/{k}.safetensors"] = Answer(body=weights(str(k), 200_000), etag=True)
    program = f"""
import pathlib, sys
from easel.lora.files import AdapterFiles
from easel.lora.sites import Tokens
files = AdapterFiles(pathlib.Path({str(folder)!r}), 450_000, allow_loopback=True)
for k in range(20):
    file = files.get(f"{server.url}/{{(k + int(sys.argv[1])) % 4}}.safetensors", Tokens(), lambda line: None)
    assert file.digest.startswith("sha256:")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", program]
    running = [
        subprocess.Popen([*command, str(k)], env=environment, stderr=subprocess.PIPE, text=True) for k in range(2)
    ]
    problems = [process.communicate(timeout=60)[1] for process in running]
    assert problems == ["", ""]
    assert all(sha256(path.read_bytes()) in path.name for path in folder.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= 700_000
    assert not list(folder.glob(".work-*"))
