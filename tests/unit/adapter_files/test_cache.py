"""The cache of LoRAs: damaged, full, shared, cancelled."""

import ctypes
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from easel import files as disk
from easel.errors import EaselError, ResourceError
from easel.lora import cache as adapter_cache
from easel.net.guard import Network
from tests.support.fault_server import Answer
from tests.unit.adapter_files.common import NOBODY, names, sha256, tar, weights

pytestmark = pytest.mark.slow


INDEX = 700  # bytes, the most that is written here about a file


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
