"""A LoRA behind a URL: fetched, unpacked, refused; an older copy and its origin."""

import json
import re
import struct
from dataclasses import replace

import pytest

from easel.errors import AdapterError, FetchError, InputError
from easel.lora.files import AdapterFiles
from easel.net.guard import Network
from tests.support.fast_clock import FastClock
from tests.support.fault_server import Answer
from tests.unit.adapter_files.common import NETWORK, NOBODY, names, put_on_hub, sha256, tar, weights

pytestmark = pytest.mark.slow


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


def test_file_that_was_just_checked_is_used_without_asking(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    first = get(f"{server.url}/a.safetensors")
    clock.now += 59
    assert get(f"{server.url}/a.safetensors") == first
    assert len(server.seen) == 1
