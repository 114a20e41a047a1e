"""`easel weights`: pull, verify, prune."""

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from easel.weights.manifest import read_manifest
from tests.server.weights_commands.common import FILES, LARGE, SMALL, row
from tests.support.hub_server import HubServer, Repo
from tests.support.model_folders import digest, entry, local_model, write_lock, write_model
from tests.support.tiny_z_image import hub_repos, real_sources, tiny_z_image_model
from tests.support.tiny_z_image import write_lock as write_z_image_lock
from tests.support.verify import verify_files


def blob(cache: Path, data: bytes) -> Path:
    return cache / "blobs" / digest(data).replace(":", "-")


def damage(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(1000)
        stream.write(bytes(8))


def test_a_whole_new_model_is_a_folder_and_nothing_else(easel, tmp_path, cache):
    """Its files come from a web server and from this machine; one lies beside the lock."""
    with HubServer() as server:
        server.repos["owner/name"] = Repo(large={"model.safetensors": LARGE})
        (tmp_path / "config.json").write_bytes(SMALL)
        entries = [
            entry("transformer/model.safetensors", LARGE, f"{server.files_url}/owner/name/model.safetensors"),
            entry("vae/config.json", SMALL, "file:../../config.json"),
        ]
        folder = write_model(tmp_path, "new", entries, {"model_index.json": b"{}"})
        code, output, _ = easel("status")
        assert code == 0
        assert re.split(r"  +", row(output, "new")) == [
            "new", "3", "0.40 MB", str(cache), "2 of 2 files missing, 0.40 MB to fetch"
        ]  # fmt: skip
        assert re.search(rf"^[0-9.]+ GB are free in {cache}\.$", output, re.MULTILINE)
        code, output, log = easel("pull", "new")
    assert code == 0
    snapshot = Path(output.removesuffix("\n"))
    verify_files(read_manifest(folder), snapshot)
    assert re.search(rf"^new: 3 files, 0.40 MB, are in {snapshot} after [0-9.]+ s\.$", log, re.MULTILINE)
    assert "in the store" in row(easel("status")[1], "new")
    assert easel("pull", "new")[1] == output
    code, _, log = easel("verify", "new")
    assert (code, log.splitlines()[-1]) == (0, "new: all 3 files are right.")


def test_the_flagship_is_pulled_with_no_step_before_it(tmp_path, cache):
    """Its real lock's paths, repositories, revisions and filenames, over tiny files, in a process of its own."""
    folder = tiny_z_image_model(tmp_path)
    write_z_image_lock(folder, real_sources())
    with HubServer() as hub:
        hub.repos |= hub_repos(tmp_path / "checkpoint")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environ = clean | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
        command = [sys.executable, "-m", "easel.cli", "weights", "pull", "z-image-turbo", "--root", str(tmp_path)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    verify_files(read_manifest(folder), Path(done.stdout.removesuffix("\n")))


def test_what_verify_finds_bad_is_named_and_removed_and_fetched_anew(easel, tmp_path, cache):
    local_model(tmp_path, FILES)
    easel("pull", "tiny")
    damage(blob(cache, LARGE))
    code, _, log = easel("verify", "tiny")
    assert code == 1
    found = re.search(r"^transformer/model.safetensors has digest (sha256:\w+) instead of (\S+)\. (.*)$", log, re.M)
    assert found[1] != found[2] == digest(LARGE)
    assert found[3] == "It is removed; `easel weights pull tiny` fetches it anew."
    assert "vae/config.json" not in log
    assert log.splitlines()[-1] == "tiny: 1 problem."
    code, _, log = easel("verify", "tiny")
    assert code == 1
    assert "Missing: transformer/model.safetensors. Run `easel weights pull tiny`." in log
    assert "1 of 2 files missing, 0.40 MB to fetch" in row(easel("status")[1], "tiny")
    assert easel("pull", "tiny")[0] == 0
    assert easel("verify", "tiny")[0] == 0
    assert blob(cache, LARGE).read_bytes() == LARGE


def test_verify_finds_a_folder_of_links_that_leads_elsewhere(easel, tmp_path):
    local_model(tmp_path, FILES)
    snapshot = Path(easel("pull", "tiny")[1].strip())
    link = snapshot / "transformer/model.safetensors"
    link.unlink()
    link.write_bytes(bytes(len(LARGE)))
    code, _, log = easel("verify", "tiny")
    assert code == 1
    assert f"{link} is not the file that it should be" in log
    assert easel("pull", "tiny")[0] == easel("verify", "tiny")[0] == 0
    assert link.read_bytes() == LARGE


def test_verify_of_an_embedded_model_names_what_is_wrong(easel, tmp_path, monkeypatch):
    folder = write_model(tmp_path, "tiny", [], {"a.json": b"a", "b.json": b"b", "c.json": b"c"})
    monkeypatch.setenv("EASEL_MODEL", "tiny")
    assert "embedded" in row(easel("status")[1], "tiny")
    assert easel("verify")[0] == 0
    (folder / "a.json").unlink()
    (folder / "b.json").write_bytes(b"B")
    (folder / "d.json").write_bytes(b"d")
    code, _, log = easel("verify")
    assert code == 1
    assert f"Missing: a.json. Restore it in {folder} from the repository." in log
    assert re.search(rf"^b.json has digest .* Restore {folder}/b.json from the repository.$", log, re.M)
    assert f"d.json is not listed in weights.lock: remove it from {folder}." in log
    assert (folder / "b.json").read_bytes() == b"B"


def test_verify_reads_mounted_files_and_removes_none(easel, tmp_path, monkeypatch):
    local_model(tmp_path, FILES)
    mount = tmp_path / "mount"
    (mount / "transformer").mkdir(parents=True)
    (mount / "transformer/model.safetensors").write_bytes(LARGE)
    monkeypatch.setenv("EASEL_WEIGHTS_DIR", str(mount))
    assert easel("pull", "tiny")[0] == easel("verify", "tiny")[0] == 0
    assert "in the store, 1 of 2 mounted" in row(easel("status")[1], "tiny")
    damage(mount / "transformer/model.safetensors")
    code, _, log = easel("verify", "tiny")
    assert code == 1
    assert f"Replace {mount}/transformer/model.safetensors." in log
    assert (mount / "transformer/model.safetensors").is_file()


def test_prune_removes_what_no_lock_names_and_nothing_else(easel, tmp_path, cache):
    model = local_model(tmp_path, {**FILES, "old.json": b"old"})
    old = Path(easel("pull", "tiny")[1].strip())
    kept = [vars(file) for file in read_manifest(model.folder).files if file.path != "old.json"]
    write_lock(model.folder, kept)
    snapshot = Path(easel("pull", "tiny")[1].strip())
    bystanders = [cache / "adapters/sha256-1.safetensors", cache / "compile/x86/graph.bin", blob(cache, LARGE)]
    unfinished = blob(cache, b"unknown").with_name(blob(cache, b"unknown").name + ".part")
    unfinished_kept = blob(cache, SMALL).with_name(blob(cache, SMALL).name + ".part")
    needless = blob(cache, LARGE).with_name(blob(cache, LARGE).name + ".part")
    blob(cache, SMALL).unlink()
    for path in (*bystanders[:2], unfinished, unfinished_kept, needless):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(50_000))
    before = sorted(cache.rglob("*"))
    code, output, log = easel("prune", "--dry-run")
    assert (code, output) == (0, "")
    assert sorted(cache.rglob("*")) == before
    gone = (unfinished, needless, blob(cache, b"old"), old)
    for path in gone:
        assert f"would remove {path.relative_to(cache)} (" in log
    assert log.splitlines()[-1] == f"Would free 0.10 MB in {cache}."
    code, _, log = easel("prune")
    assert (code, log.count("removed ")) == (0, 4)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in (*bystanders, unfinished_kept, snapshot / "model_index.json"))
    assert easel("prune")[2] == f"Freed 0 bytes in {cache}.\n"


def test_prune_of_one_model_leaves_what_another_shares(easel, tmp_path, cache):
    md5 = {"size": None, "digest": digest(b"md5", "md5")}
    local_model(tmp_path, FILES)
    local_model(tmp_path, {"vae/config.json": SMALL}, "other")
    local_model(tmp_path, {"a.json": b"md5"}, "third", **md5)
    for name in ("tiny", "other", "third"):
        easel("pull", name)
    assert easel("prune")[2] == f"Freed 0 bytes in {cache}.\n"  # also what is named by its MD5 only
    easel("prune", "tiny")
    assert "2 of 2" not in row(easel("status")[1], "tiny")
    assert "1 of 2 files missing" in row(easel("status")[1], "tiny")
    assert easel("verify", "other")[0] == easel("verify", "third")[0] == 0
    easel("prune", "third")
    assert {path.name for path in (cache / "blobs").iterdir()} == {blob(cache, SMALL).name}
    assert {path.name for path in (cache / "snapshots").glob("*/*")} == {
        path.name for path in (cache / "snapshots/other").iterdir()
    }


def test_prune_leaves_what_a_process_fetches_now(easel, tmp_path, cache):
    local_model(tmp_path, FILES)
    easel("pull", "tiny")
    with (cache / "locks" / f"{blob(cache, LARGE).name}.lock").open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        _, _, log = easel("prune", "tiny")
        assert f"kept, since a process fetches it now: blobs/{blob(cache, LARGE).name}" in log
    assert blob(cache, LARGE).exists()
    assert not blob(cache, SMALL).exists()


def test_prune_with_a_lock_that_cannot_be_read_removes_nothing(easel, tmp_path, cache):
    local_model(tmp_path, FILES)
    easel("pull", "tiny")
    folder = write_model(tmp_path, "broken", [entry("a", b"a", None)])
    (folder / "weights.lock").write_text("{")
    with pytest.raises(Exception, match="broken/weights.lock is not a lock file"):
        easel("prune")
    assert blob(cache, LARGE).exists()
