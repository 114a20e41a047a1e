"""Weights from the Hub, by huggingface_hub itself against a stand-in on loopback.

Each test has processes of its own: the library reads HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE when it is imported.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from easel.weights.manifest import read_manifest
from tests.support.hub_server import COMMIT, HubServer, Repo
from tests.support.model_folders import digest, entry, write_model
from tests.support.verify import verify_files

pytestmark = pytest.mark.slow

REPO = "owner/name"
SMALL, LARGE = b'{"width": 8}', os.urandom(200_000)
SETTINGS = ("HF_", "HUGGING", "TRANSFORMERS_", "EASEL_", "XDG_")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.repos[REPO] = Repo({"vae/config.json": SMALL}, {"split_files/vae.safetensors": LARGE})
        yield server


@pytest.fixture
def run(hub, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs Python in an environment where the stand-in is the Hub."""

    def run(*command: str, **environ: str) -> subprocess.CompletedProcess:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        places = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "EASEL_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-W", "error", *command]
        return subprocess.run(command, env=clean | places | environ, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def easel(run, tmp_path):
    def easel(*arguments: str, **environ: str) -> subprocess.CompletedProcess:
        return run("-m", "easel.cli", "weights", *arguments, "--root", str(tmp_path), **environ)

    return easel


@pytest.fixture
def folder(hub, tmp_path) -> Path:
    return write_model(tmp_path, "tiny", entries(hub))


def entries(hub: HubServer, **changes: object) -> list[dict[str, object]]:
    sources = hub.sources(REPO)
    return [
        entry("vae/config.json", SMALL, sources["vae/config.json"], **changes),
        entry("vae/model.safetensors", LARGE, sources["split_files/vae.safetensors"], **changes),
    ]


def fill_hub_cache(run) -> None:
    """As any other program does that uses the Hub."""
    program = (
        "from huggingface_hub import hf_hub_download as get\n"
        f"for name in ('vae/config.json', 'split_files/vae.safetensors'): get({REPO!r}, name, revision={COMMIT!r})"
    )
    done = run("-c", program, HF_HUB_DISABLE_XET="1")
    assert done.returncode == 0, done.stderr


def hub_blobs(tmp_path: Path) -> dict[Path, bytes]:
    blobs = tmp_path / "hf/hub/models--owner--name/blobs"
    return {path: path.read_bytes() for path in blobs.iterdir()}


def test_files_come_from_the_hub_and_the_token_stays_with_it(hub, easel, folder):
    hub.repos[REPO].token = "hf_secret"
    done = easel("pull", "tiny", HF_TOKEN="hf_secret")
    assert done.returncode == 0, done.stderr
    snapshot = Path(done.stdout.strip())
    verify_files(read_manifest(folder), snapshot)
    assert {one.headers.get("authorization") for one in hub.seen if one.server == "hub"} == {"Bearer hf_secret"}
    assert [one.path for one in hub.asked("bytes", "GET")] == [
        f"/{REPO}/split_files/vae.safetensors?X-Signature=secret"
    ]
    assert "authorization" not in hub.asked("bytes", "GET")[0].headers
    assert "secret" not in done.stderr
    hub.seen.clear()
    assert easel("pull", "tiny").stdout == done.stdout
    assert hub.seen == []


def test_the_token_of_a_login_is_used(hub, easel, folder, tmp_path):
    hub.repos[REPO].token = "hf_secret"
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_secret")
    assert easel("pull", "tiny").returncode == 0


def test_what_the_hubs_cache_has_is_used_in_place(hub, run, easel, folder, tmp_path):
    fill_hub_cache(run)
    before = hub_blobs(tmp_path)
    hub.seen.clear()
    done = easel("pull", "tiny", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert hub.seen == []
    snapshot = Path(done.stdout.strip())
    verify_files(read_manifest(folder), snapshot)
    assert {(snapshot / path).resolve() for path in ("vae/config.json", "vae/model.safetensors")} == set(before)
    assert hub_blobs(tmp_path) == before
    for path in before:  # and fetched when it has gone from there
        path.unlink()
    verify_files(read_manifest(folder), Path(easel("pull", "tiny").stdout.strip()))


def test_a_file_of_the_hubs_cache_is_left_alone_even_if_it_is_damaged(hub, run, easel, folder, tmp_path):
    fill_hub_cache(run)
    assert easel("pull", "tiny").returncode == 0
    blob = next(path for path, data in hub_blobs(tmp_path).items() if data == LARGE)
    blob.write_bytes(bytes(len(LARGE)))
    kept = hub_blobs(tmp_path)
    found = easel("verify", "tiny")
    assert found.returncode == 1
    assert f"vae/model.safetensors has digest {digest(bytes(len(LARGE)))} instead of {digest(LARGE)}" in found.stderr
    assert f"It is {blob} of the Hub's cache, which stays as it is;" in found.stderr
    hub.seen.clear()
    done = easel("pull", "tiny")
    assert f"{blob} in the Hub's cache has digest" in done.stderr
    assert "weights: downloaded and verified 0.20 MB" in done.stderr  # and not those of the damaged file as well
    verify_files(read_manifest(folder), Path(done.stdout.strip()))
    assert len(hub.asked("bytes", "GET")) == 1
    assert "Freed 0.20 MB" in easel("prune", "tiny").stderr
    assert list((tmp_path / "cache/blobs").iterdir()) == []
    assert hub_blobs(tmp_path) == kept


def test_offline_without_the_files_is_a_sentence(easel, folder):
    done = easel("pull", "tiny", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"hf://{REPO}@{COMMIT[:8]}/vae/config.json: HF_HUB_OFFLINE is set, and the file is neither in"
    )


REFUSALS = {
    "gated/model": "gated/model is gated: accept its terms on its page at {host}. {token} (status {status}).",
    "private/model": "{host} knows no private/model, or it is private. {token} (status {other}).",
    "moved/model": f"moved/model has no commit {COMMIT}: check the revision in the lock.",
    "empty/model": "empty/model has no such file at this commit: check the filename in the lock.",
}


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", {"token": "Set HF_TOKEN to a token that may read it", "status": 401, "other": 401}),
        ("hf_other", {"token": "The token that is set may not read it", "status": 403, "other": 404}),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(hub, run, token, words):
    files = {"a.json": SMALL}
    hub.repos["gated/model"] = Repo(files, token="hf_secret", gated=True)
    hub.repos["private/model"] = Repo(files, token="hf_secret")
    hub.repos["moved/model"] = Repo(files, commit=40 * "f")
    hub.repos["empty/model"] = Repo()
    program = (
        "import sys; from easel.errors import FetchError\n"
        "from easel.weights.hub import ask_hub; from easel.weights.sources import HubFile\n"
        "for repo in sys.argv[1:]:\n"
        f"    try: ask_hub(HubFile(repo, {COMMIT!r}, 'a.json'))\n"
        "    except FetchError as error: print(error)"
    )
    done = run("-c", program, *REFUSALS, HF_TOKEN=token)
    host = hub.url.removeprefix("http://")
    assert done.stdout.splitlines() == [
        f"hf://{repo}@{COMMIT[:8]}/a.json: {sentence.format(host=host, **words)}" for repo, sentence in REFUSALS.items()
    ]


@pytest.mark.parametrize(
    ("answers", "failures", "sentence"),
    [
        ({"X-Repo-Commit": 40 * "f"}, [], f"127.0.0.1 answers for commit {40 * 'f'} instead of the pinned one."),
        (
            {"X-Linked-Size": "7", "X-Linked-Etag": '"x"'},
            [],
            "the file on the Hub has 7 bytes instead of 200000, which",
        ),
        ({"X-Linked-Etag": f'"{64 * "0"}"'}, [], f"the file on the Hub has digest sha256:{64 * '0'} instead of"),
        ({}, [418], "answers with status 418 instead of the file."),
    ],
)
def test_what_the_hub_has_otherwise_is_refused_before_its_bytes_come(hub, easel, tmp_path, answers, failures, sentence):
    write_model(tmp_path, "tiny", entries(hub)[1:])
    hub.answers, hub.failures = answers, failures
    done = easel("pull", "tiny")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"hf://{REPO}@{COMMIT[:8]}/split_files/vae.safetensors: ")
    assert sentence in last
    assert hub.asked("bytes", "GET") == []
    assert list((tmp_path / "cache/blobs").iterdir()) == []


def test_a_hub_that_cannot_be_reached_is_a_sentence(easel, folder):
    done = easel("pull", "tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert ": 127.0.0.1:9 cannot be reached ([Errno 111] Connection refused). Check the" in done.stderr.splitlines()[-1]


def test_a_busy_hub_is_asked_again(hub, easel, folder):
    hub.failures = [503, 429]
    assert easel("pull", "tiny").returncode == 0


def test_lock_fills_in_what_the_hub_has_on_record_and_fetches_the_rest(hub, easel, tmp_path):
    folder = write_model(tmp_path, "tiny", entries(hub, size=None, digest=None), {"model_index.json": b"{}"})
    done = easel("lock", "tiny")
    assert done.returncode == 0, done.stderr
    assert {file.path: (file.size, file.digest) for file in read_manifest(folder).files} == {
        "model_index.json": (2, digest(b"{}")),
        "vae/config.json": (len(SMALL), digest(SMALL)),
        "vae/model.safetensors": (len(LARGE), digest(LARGE)),
    }
    assert f"vae/model.safetensors: 0.20 MB, {digest(LARGE)} (as the Hub has it on record)" in done.stderr
    assert f"vae/config.json: 12 bytes, {digest(SMALL)} (fetched)" in done.stderr
    assert hub.asked("bytes", "GET") == []
    assert easel("pull", "tiny").returncode == 0


def test_lock_proves_an_md5_before_it_replaces_it_and_names_what_it_cannot_pin(hub, easel, tmp_path):
    small, large = entries(hub, size=None)
    small["digest"], large["digest"] = digest(SMALL, "md5"), digest(b"another", "md5")
    folder = write_model(tmp_path, "tiny", [small, large])
    done = easel("lock", "tiny")
    assert done.returncode == 1
    files = {file.path: file for file in read_manifest(folder).files}
    assert files["vae/config.json"].digest == digest(SMALL)
    assert files["vae/model.safetensors"].digest == large["digest"]
    assert "(fetched; its MD5 is the one in the lock)" in done.stderr
    assert f"has a file with digest {digest(LARGE, 'md5')} instead of {large['digest']}" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vae/model.safetensors is not pinned: ")
    assert "1 of 2 files are pinned" in done.stderr
