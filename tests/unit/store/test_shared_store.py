"""The store between processes, on a full disk and on a read-only one."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from easel.errors import ResourceError
from easel.models import load_model
from easel.weights.snapshots import ensure_snapshot
from easel.weights.store import WeightPaths
from tests.support.fault_server import wait_until
from tests.support.hub_server import HubServer, Repo
from tests.support.model_folders import digest, entry, local_model, write_model
from tests.support.verify import verify_files
from tests.unit.store.common import FILES, names, put

pytestmark = pytest.mark.slow


@pytest.fixture
def served(tmp_path) -> Iterator[tuple[HubServer, object]]:
    """A model with one file of 3 MB on a web server, which waits until a test lets it answer."""
    with HubServer() as server:
        server.repos["owner/name"] = Repo(large={"model.safetensors": os.urandom(3_000_000)})
        server.hold = threading.Event()
        data = server.repos["owner/name"].large["model.safetensors"]
        source = f"{server.files_url}/owner/name/model.safetensors"
        yield server, load_model(write_model(tmp_path, "tiny", [entry("model.safetensors", data, source)]))
        server.hold.set()


def start_pull(root: Path, cache: Path) -> subprocess.Popen:
    environ = {**os.environ, "EASEL_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "easel.cli", "weights", "pull", "--root", str(root), "tiny"]
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def bytes_served(server: HubServer) -> int:
    """What all answers together were asked for."""
    total = 0
    for one in server.asked("bytes", "GET"):
        first, last = one.headers["range"].removeprefix("bytes=").split("-") if "range" in one.headers else (0, 2999999)
        total += int(last or 2999999) - int(first) + 1
    return total


def test_two_processes_at_once_make_one_download(served, tmp_path, paths):
    server, model = served
    first, second = (start_pull(tmp_path, paths.cache) for _ in range(2))
    lines = []
    readers = [threading.Thread(target=lines.extend, args=(one.stderr,)) for one in (first, second)]
    for reader in readers:
        reader.start()
    wait_until(lambda: any("another process fetches it; waiting" in line for line in lines), 20)
    server.hold.set()
    assert [one.wait(20) for one in (first, second)] == [0, 0]
    for reader in readers:
        reader.join(5)
    outputs = [one.stdout.read() for one in (first, second)]
    assert outputs[0] == outputs[1] != ""
    for stream in (first.stderr, second.stderr, first.stdout, second.stdout):
        stream.close()
    assert sum("waiting" in line for line in lines) == 1
    assert 3_000_000 <= bytes_served(server) <= 3_000_000 + 8  # a look at the first byte may come before the ranges
    snapshot = ensure_snapshot(model, paths, log=pytest.fail)
    verify_files(snapshot.manifest, snapshot.folder)


def test_a_killed_process_lets_go_and_nothing_has_a_final_name(served, tmp_path, paths, get):
    server, model = served
    process = start_pull(tmp_path, paths.cache)
    wait_until(lambda: server.asked("bytes", "GET"), 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not {name for name in names(paths.cache / "blobs") if "." not in name}
    server.hold.set()
    snapshot = get(model)
    assert not any("waiting" in line for line in get.lines)
    verify_files(snapshot.manifest, snapshot.folder)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"a small disk takes the right to mount one: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_too_small_a_disk_is_told_in_bytes_before_anything_is_fetched(tmp_path, disk, get):
    model = local_model(tmp_path, {"a.json": b"{}", "large.safetensors": bytes(2_000_000)})
    with pytest.raises(ResourceError) as caught:
        get(model, WeightPaths(disk / "cache", None))
    free = shutil.disk_usage(disk).free
    assert f"tiny needs 2000002 bytes more in {disk}/cache, and {free} are free there" in str(caught.value)
    assert names(disk) == set()
    assert get.bar.getvalue() == ""


def test_a_disk_that_fills_up_is_a_sentence_and_leaves_nothing_half_done(tmp_path, disk, get):
    data = bytes(2_000_000)
    model = local_model(tmp_path, {"large.safetensors": data}, size=None, digest=digest(data, "md5"))
    with pytest.raises(ResourceError, match="needs 2000000 bytes more in .*, and [0-9]+ are free there"):
        get(model, WeightPaths(disk / "cache", None))
    assert names(disk / "cache" / "blobs") == set()


def test_a_read_only_store_with_the_files_works(model, disk, get, tmp_path):
    store = WeightPaths(disk / "cache", None)
    kept = get(model, store).folder
    shutil.rmtree(tmp_path / "origin")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert get(model, store).folder == kept
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    shutil.rmtree(kept)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    snapshot = get(model, store)
    assert snapshot.unverified is None
    assert not snapshot.folder.is_relative_to(disk)
    verify_files(snapshot.manifest, snapshot.folder)
    blob = (snapshot.folder / "vae/config.json").readlink()
    assert blob.parent == disk / "cache/blobs"


def test_a_read_only_store_without_the_files_is_a_sentence(model, disk, get):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(ResourceError, match="cannot be written .Read-only file system."):
        get(model, WeightPaths(disk / "cache", None))


def test_temporary_folders_of_links_end_with_their_process(model, tmp_path):
    put(tmp_path / "mount", FILES)
    program = (
        "import sys; from pathlib import Path; from easel.models import load_model;"
        "from easel.weights.snapshots import move_into_place, ensure_snapshot;"
        "from easel.weights.store import WeightPaths;"
        "paths = WeightPaths(Path('/nowhere'), Path(sys.argv[2]));"
        "print(ensure_snapshot(load_model(Path(sys.argv[1])), paths, log=str).folder)"
    )
    command = [sys.executable, "-c", program, str(model.folder), str(tmp_path / "mount")]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    folder = Path(subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip())
    assert folder.parent == tmp_path
    assert not folder.exists()
