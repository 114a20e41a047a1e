"""`Api` as its container starts it: the class's own hooks, and version 1 of Replicate's client against it.

The tests of the client are those of tests/clients, with the `api` of this file.
"""

import shutil
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from easel.errors import InputError
from easel.models import load_model
from easel.platforms.on_modal.api_server import ApiServer, command, copy_database
from easel.platforms.on_modal.places import Places
from tests.clients.inputs import APPLE, pixel_chunk
from tests.clients.test_replicate_1 import (  # noqa: F401 -- pytest finds tests and fixtures by these names
    client,
    connect,
    test_a_failed_run_is_an_error_with_the_sentence_of_the_model,
    test_a_file_is_uploaded_and_used_as_the_image,
    test_a_refusal_is_an_error_with_its_status_and_sentence,
    test_a_wait_that_is_over_reads_starting_and_running_is_cancelled,
    test_models_versions_and_hardware,
    test_polling_shows_progress_that_grows,
    test_run_can_poll_instead_of_waiting,
    test_run_gives_files_with_the_very_picture_of_the_cog_server,
    test_run_takes_a_version,
    test_uploaded_files_are_listed_and_deleted,
    test_what_waits_in_the_queue_is_cancelled_at_once,
)
from tests.support.api_process import TOKEN, wait_for_version
from tests.support.serving import REPOSITORY

pytestmark = pytest.mark.slow

PUBLIC_URL = "https://easel.example"
STARTS_S = 120


@dataclass(frozen=True)
class Running:
    """What the tests of the clients know of an API."""

    url: str
    log: Path
    token: str = TOKEN


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(url: str) -> None:
    deadline = time.monotonic() + STARTS_S
    while True:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/health", timeout=STARTS_S)
            return
        except urllib.error.HTTPError:  # without a token it says no more
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module")
def hooks(app, cache) -> Iterator[Callable[..., Running]]:
    """Starts what the container starts, by the class of the app, and stops all of it at the end."""
    classes = getattr(app.Api, "_get_user_cls", None)
    if classes is None:
        pytest.skip("this version of modal keeps a server's class elsewhere: not run")
    started = []
    patch = pytest.MonkeyPatch()

    def start(**environ: str) -> Running:
        patch.setattr(app, "PORT", free_port())
        for name, value in {"EASEL_CACHE_DIR": str(cache), "EASEL_API_TOKENS": TOKEN, **environ}.items():
            patch.setenv(name, value)
        patch.delenv("DATABASE_URL", raising=False)
        one = classes()()
        one.start()
        started.append(one)
        running = Running(f"http://127.0.0.1:{app.PORT}", cache)
        wait_until_it_answers(running.url)
        return running

    start.stop = lambda: started.pop().stop()
    yield start
    while started:
        start.stop()
    patch.undo()


@pytest.fixture(scope="module")
def api(hooks) -> Running:
    return hooks()


@pytest.fixture(scope="module")
def version(api) -> str:
    return wait_for_version(api)["id"]


@pytest.fixture(scope="module")
def picture(predict, tmp_path_factory) -> Path:
    """The compressed pixels of the image of `Predictor`: by HTTP every client must get these."""
    (content,) = predict(**APPLE)["files"].values()
    path = tmp_path_factory.mktemp("image") / "apple"
    path.write_bytes(pixel_chunk(content))
    return path


def test_the_next_container_knows_what_this_one_did(hooks, api, version, cache):
    """Last of all that use `api`: it ends it, takes the container's disk away, and starts the class again."""
    one = connect(api)
    before = one.predictions.create(version, APPLE)
    before.wait()
    one._client.close()
    places = Places.find({"EASEL_CACHE_DIR": str(cache)}, is_local=True)
    hooks.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{api.url}/health", timeout=10)
    with closing(sqlite3.connect(places.data / "easel.db")) as database:
        assert database.execute("select count(*) from predictions where id = ?", [before.id]).fetchone() == (1,)
    shutil.rmtree(places.local)
    again = connect(hooks(EASEL_PUBLIC_URL=PUBLIC_URL))
    found = again.predictions.get(before.id)
    assert (found.status, found.created_at) == ("succeeded", before.created_at)
    assert found.urls["get"] == f"{PUBLIC_URL}/v1/predictions/{before.id}"
    assert found.output[0].startswith(f"{PUBLIC_URL}/")
    again._client.close()


def test_the_command_is_that_of_a_user():
    places = Places(Path("/weights"), Path("/data"), Path("/tmp/easel"))
    words = "-m easel.cli api --root /root --host 0.0.0.0 --port 8000 --data /data/api"
    assert command(Path("/root"), places, "cpu", 8000, None)[1:] == words.split()
    on_gpu = f"{words} --public-url {PUBLIC_URL} --gpus all"
    assert command(Path("/root"), places, "cuda", 8000, PUBLIC_URL)[1:] == on_gpu.split()


def test_without_a_token_nothing_is_started(tmp_path):
    places = Places(tmp_path, tmp_path / "data", tmp_path / "local")
    with pytest.raises(InputError, match="There is no EASEL_API_TOKENS"):
        ApiServer(REPOSITORY, load_model(REPOSITORY / "weights/emoji"), places, {})


def test_a_copy_is_whole_while_others_write(tmp_path):
    source, copy = tmp_path / "easel.db", tmp_path / "copy.db"
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("create table numbers (n)")
        database.execute("insert into numbers values (1)")
        database.commit()
        database.execute("insert into numbers values (2)")  # not committed
        copy_database(source, copy)
        database.rollback()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "easel.db"]
    assert copy.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("select n from numbers").fetchall() == [(1,)]
