"""The store and `ensure_snapshot`: real files, processes and server, a disk that is full and one that is read-only."""

import io
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from easel.errors import FetchError, ResourceError, WeightsError
from easel.models import load_model
from easel.progress import ByteBar
from easel.weights.manifest import read_manifest
from easel.weights.snapshots import ensure_snapshot, move_into_place
from easel.weights.store import WeightPaths
from tests.support.fault_server import wait_until
from tests.support.hub_server import HubServer, Repo
from tests.support.model_folders import WEIGHTS, digest, entry, local_model, write_lock, write_model
from tests.support.verify import verify_files

pytestmark = pytest.mark.slow

FILES = {"transformer/model.safetensors": os.urandom(300_000), "vae/config.json": b'{"width": 8}', "vae/empty": b""}


@pytest.fixture
def paths(tmp_path) -> WeightPaths:
    return WeightPaths(tmp_path / "cache", None)


@pytest.fixture
def model(tmp_path):
    return local_model(tmp_path, FILES)


@pytest.fixture
def get(paths, monkeypatch):
    """Obtains a model; `get.lines` is the log of the last time, `get.bar` what the bar wrote."""
    monkeypatch.setattr(ByteBar, "delay_s", 0.0)

    def get(model, paths=paths):
        get.lines, get.bar = [], io.StringIO()
        return ensure_snapshot(model, paths, log=get.lines.append, progress=get.bar)

    return get


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_files_arrive_in_the_store_and_in_a_folder_of_links(model, paths, get):
    snapshot = get(model)
    assert snapshot.verified
    assert snapshot.manifest == read_manifest(model.folder)
    assert snapshot.folder == paths.cache / "snapshots" / "tiny" / snapshot.manifest.digest[7:23]
    verify_files(snapshot.manifest, snapshot.folder)  # all are there, right, and no other
    assert names(paths.cache / "blobs") == {digest(data).replace(":", "-") for data in FILES.values()}
    for blob in (paths.cache / "blobs").iterdir():
        assert stat.S_IMODE(blob.stat().st_mode) == 0o444
    assert re.match(r"100%\|.*\| 300k/300k \[", get.bar.getvalue().splitlines()[-1])
    assert get.lines[0] == f"weights: downloading 3 of 3 files (0.30 MB) to {paths.cache}"


def test_the_next_start_reads_no_origin_and_the_whole_cache_can_be_moved(model, paths, get, tmp_path):
    get(model)
    shutil.rmtree(tmp_path / "origin")
    assert get(model).verified
    assert get.lines == []
    assert get.bar.getvalue() == ""
    paths.cache.rename(tmp_path / "elsewhere")
    moved = ensure_snapshot(model, WeightPaths(tmp_path / "elsewhere", None), log=pytest.fail)
    assert not any((moved.folder / path).readlink().is_absolute() for path in FILES)
    verify_files(moved.manifest, moved.folder)


def test_an_embedded_model_is_used_where_it_is(paths, get):
    emoji = load_model(WEIGHTS / "emoji")
    snapshot = get(emoji)
    assert (snapshot.folder, snapshot.verified) == (emoji.folder, False)
    assert not paths.cache.exists()


def test_a_file_that_two_models_share_is_there_once(model, tmp_path, paths, get):
    other = local_model(tmp_path, {"text_encoder/model.safetensors": FILES["transformer/model.safetensors"]}, "other")
    get(model)
    first, second = get(model).folder, get(other).folder
    shutil.rmtree(tmp_path / "origin")
    one, same = first / "transformer/model.safetensors", second / "text_encoder/model.safetensors"
    assert one.samefile(same)
    assert len(names(paths.cache / "blobs")) == 3


def test_a_lock_that_changes_gets_a_folder_of_its_own(model, get, tmp_path):
    first = get(model)
    data = b'{"width": 16}'
    (tmp_path / "origin/vae/config.json").write_bytes(data)
    entries = [vars(file) for file in first.manifest.files if file.path != "vae/config.json"]
    write_lock(model.folder, [*entries, entry("vae/config.json", data, f"file:{tmp_path}/origin/vae/config.json")])
    second = get(model)
    assert (second.folder / "vae/config.json").read_bytes() == data
    assert (first.folder / "vae/config.json").read_bytes() == FILES["vae/config.json"]


def test_a_damaged_folder_of_links_is_made_anew(model, get):
    folder = get(model).folder
    (folder / "vae/config.json").unlink()
    (folder / "model_index.json").chmod(0o644)
    (folder / "model_index.json").write_bytes(b"")
    again = get(model)
    assert again.folder == folder
    verify_files(again.manifest, folder)
    assert names(folder.parent) == {folder.name}


def test_of_two_processes_that_make_the_folder_the_first_one_stays(model, get, tmp_path):
    first = get(model)
    late = first.folder.with_name(".late")
    shutil.copytree(first.folder, late, symlinks=True)
    before = first.folder.stat().st_ino
    move_into_place(late, first.folder, first.manifest)
    assert first.folder.stat().st_ino == before


def test_a_blob_of_a_wrong_size_is_fetched_again(model, paths, get):
    get(model)
    blob = paths.cache / "blobs" / digest(FILES["vae/config.json"]).replace(":", "-")
    blob.chmod(0o644)
    blob.write_bytes(b"torn")
    again = get(model)
    verify_files(again.manifest, again.folder)


@pytest.mark.parametrize(
    ("changes", "data", "problem"),
    [
        ({}, b"other bytes.", "has digest sha256:"),
        ({}, b"short", "has 5 bytes instead of 12"),
        ({"size": None, "digest": digest(b"published", "md5")}, b"other bytes.", "has digest md5:"),
    ],
)
def test_a_file_that_is_not_the_pinned_one_is_refused_and_leaves_nothing(tmp_path, paths, get, changes, data, problem):
    model = local_model(tmp_path, {"a.json": b"right bytes."}, **changes)
    (tmp_path / "origin/a.json").write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        get(model)
    assert str(caught.value).startswith(f"file:{tmp_path}/origin/a.json {problem}")
    assert names(paths.cache / "blobs") == set()
    assert not (paths.cache / "snapshots").exists()


def test_a_local_source_that_is_not_there_is_a_sentence(model, get, tmp_path):
    (tmp_path / "origin/vae/config.json").unlink()
    with pytest.raises(FetchError, match="there is no such file on this machine. Put it there"):
        get(model)


def test_a_relative_local_source_counts_from_the_models_folder(tmp_path, get):
    folder = write_model(tmp_path, "tiny", [entry("a.json", b"{}", "file:../shared/a.json")])
    (folder.parent / "shared").mkdir()
    (folder.parent / "shared/a.json").write_bytes(b"{}")
    assert (get(load_model(folder)).folder / "a.json").read_bytes() == b"{}"


def test_a_file_pinned_by_md5_is_kept_by_its_sha256(tmp_path, paths, get):
    data = b"published by its MD5"
    model = local_model(tmp_path, {"a.json": data}, size=None, digest=digest(data, "md5"))
    snapshot = get(model)
    verify_files(snapshot.manifest, snapshot.folder)
    sha256, md5 = (digest(data, name).replace(":", "-") for name in ("sha256", "md5"))
    assert names(paths.cache / "blobs") == {sha256, md5}
    assert (paths.cache / "blobs" / md5).readlink() == Path(sha256)


def test_a_file_without_a_digest_is_refused_with_the_command_that_pins_it(tmp_path, paths, get):
    model = local_model(tmp_path, {"a.json": b"{}", "b.json": b"{}"}, digest=None)
    with pytest.raises(WeightsError) as caught:
        get(model)
    assert "has no digest for a.json, b.json" in str(caught.value)
    assert "`easel weights lock tiny`" in str(caught.value)
    assert not paths.cache.exists()


def test_a_changed_file_beside_the_lock_is_refused(model, get):
    (model.folder / "model_index.json").write_bytes(b'{"_class_name": "Evil"}')
    with pytest.raises(WeightsError, match="model_index.json has .* Restore it from the repository."):
        get(model)


def mounted_model(tmp_path):
    """Its sources lead nowhere, so whatever is there comes from the mounted folder."""
    repo = f"hf://owner/name@{40 * 'a'}"
    entries = [
        entry("vae/model.safetensors", b"vae", f"{repo}/split_files/vae/ae.safetensors"),
        entry("vae/config.json", b"{}", f"{repo}/vae/config.json", size=None, digest=digest(b"{}", "md5")),
        entry("transformer/model.safetensors", b"transformer", "https://files.invalid/transformer"),
    ]
    return load_model(write_model(tmp_path, "tiny", entries, {"model_index.json": b"{}"}))


def put(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


@pytest.mark.parametrize(
    "layout",
    [
        ("vae/model.safetensors", "vae/config.json", "transformer/model.safetensors"),
        ("tiny/vae/model.safetensors", "tiny/vae/config.json", "tiny/transformer/model.safetensors"),
        ("split_files/vae/ae.safetensors", "vae/config.json", "transformer/model.safetensors"),
    ],
)
def test_a_mounted_folder_is_used_in_place(tmp_path, paths, get, layout):
    model, mount = mounted_model(tmp_path), tmp_path / "mount"
    put(mount, dict(zip(layout, (b"vae", b"{}", b"transformer"), strict=True)) | {"README.md": b"about"})
    snapshot = get(model, WeightPaths(paths.cache, mount))
    assert not snapshot.verified
    verify_files(snapshot.manifest, snapshot.folder)
    assert (snapshot.folder / "vae/model.safetensors").samefile(mount / layout[0])
    assert not paths.cache.exists()
    assert get.lines == [f"weights: 3 of 3 files are used in place in {mount}"]


def test_a_mounted_file_of_a_wrong_size_is_an_error(tmp_path, paths, get):
    model, mount = mounted_model(tmp_path), tmp_path / "mount"
    put(mount, {"vae/model.safetensors": b"vae of another"})
    with pytest.raises(WeightsError) as caught:
        get(model, WeightPaths(paths.cache, mount))
    assert str(caught.value).startswith(f"{mount}/vae/model.safetensors has 14 bytes instead of the 3 of tiny's")


def test_what_is_not_mounted_comes_from_the_store(model, tmp_path, paths, get):
    mount = tmp_path / "mount"
    put(mount, {"vae/config.json": FILES["vae/config.json"]})
    snapshot = get(model, WeightPaths(paths.cache, mount))
    assert not snapshot.verified
    verify_files(snapshot.manifest, snapshot.folder)
    assert get.lines[0] == f"weights: 1 of 3 files are used in place in {mount}"
    assert get.lines[1] == (
        f"weights: {mount} does not have transformer/model.safetensors, vae/empty; looking in {paths.cache}"
    )
    assert len(names(paths.cache / "blobs")) == 2


def test_an_empty_mounted_folder_is_as_good_as_none(model, tmp_path, paths, get):
    (tmp_path / "mount").mkdir()
    assert get(model, WeightPaths(paths.cache, tmp_path / "mount")).verified
    assert get.lines[0] == f"weights: {tmp_path}/mount does not have any of the files; looking in {paths.cache}"


def test_a_mounted_folder_that_does_not_exist_is_said_and_passed_over(model, tmp_path, paths, get):
    assert get(model, WeightPaths(paths.cache, tmp_path / "mount")).verified
    assert get.lines[0].startswith(f"weights: there is no folder {tmp_path}/mount (EASEL_WEIGHTS_DIR)")


def test_places_are_read_from_the_environment():
    home = Path.home() / ".cache" / "easel"
    assert WeightPaths.from_environ({}) == WeightPaths(home, None)
    assert WeightPaths.from_environ({"XDG_CACHE_HOME": "/x"}) == WeightPaths(Path("/x/easel"), None)
    both = {"XDG_CACHE_HOME": "/x", "EASEL_CACHE_DIR": "/c", "EASEL_WEIGHTS_DIR": "/weights"}
    assert WeightPaths.from_environ(both) == WeightPaths(Path("/c"), Path("/weights"))
    assert WeightPaths.from_environ({"EASEL_CACHE_DIR": "", "EASEL_WEIGHTS_DIR": ""}) == WeightPaths(home, None)
    assert WeightPaths.from_environ({"EASEL_CACHE_DIR": "c"}).cache == Path("c").absolute()


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
    assert snapshot.verified
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
