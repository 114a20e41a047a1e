"""What Easel puts in the place of Cog's own downloads is what Cog calls: a newer Cog that does otherwise fails here."""

import concurrent.futures
import functools
import gzip
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cog import types

from easel.errors import FetchError
from easel.images.decode import MAX_BYTES
from easel.inference.cog_downloads import guard_downloads, limits
from easel.inference.temp_files import Uploads
from tests.support.fast_clock import FastClock
from tests.support.fault_server import Answer, FaultServer, redirect

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
INSIDE = (
    "127.0.0.1",
    "2130706433",
    "0x7f.1",
    "127.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a00:1]",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "[fd00:ec2::254]",
    "no-such-host.invalid",
)


@pytest.fixture
def guarded(monkeypatch):
    """Cog's module and the executor's place, as they are after setup, until the end of the test."""
    monkeypatch.setattr("tempfile.tempdir", None)
    uploads = Uploads()
    monkeypatch.setattr(types, "requests", types.requests)
    executor = concurrent.futures.ThreadPoolExecutor
    monkeypatch.setattr(executor, "submit", executor.submit)

    with uploads.root:
        yield functools.partial(guard_downloads, types, uploads=uploads)


@pytest.fixture
def written(guarded):
    """The files that Cog made and that are still there."""
    return lambda: [path for path in Path(guarded.keywords["uploads"].root.name).iterdir() if path.is_file()]


@pytest.fixture
def faults():
    with FaultServer() as server:
        yield server


def prepare(*urls):
    """As coglet does for every request with files (coglet-python's input.rs)."""
    executor = concurrent.futures.ThreadPoolExecutor(8)
    futures = [executor.submit(types.Path.validate(url).convert) for url in urls]
    _, waiting = concurrent.futures.wait(futures)
    assert not waiting
    paths = [future.result() for future in futures]
    executor.shutdown()
    return paths


def refusal(url):
    with pytest.raises(FetchError) as caught:
        prepare(url)
    return str(caught.value)


def test_cog_fetches_by_what_setup_put_there_and_writes_what_came(guarded, written, faults):
    guarded(limits(allow_loopback=True))
    faults.routes["/a/cat.png?x=1"] = Answer(body=PNG)
    (path,) = prepare(f"{faults.url}/a/cat.png?x=1")
    assert path.read_bytes() == PNG
    assert [Path(path)] == written()
    assert path.name.endswith("cat.png")
    assert faults.seen[0].headers["user-agent"] == "easel"
    assert faults.seen[0].headers["accept-encoding"] == "identity"


def test_data_urls_work_and_no_thread_is_started_for_a_file(guarded, faults, monkeypatch):
    guarded(limits(allow_loopback=True))
    faults.routes["/b.png"] = Answer(body=PNG)
    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "_adjust_thread_count", None)
    first, second = prepare("data:text/plain;base64,aGVsbG8=", f"{faults.url}/b.png")
    assert (first.read_bytes(), second.read_bytes()) == (b"hello", PNG)


def test_other_work_still_has_threads_of_its_own(guarded):
    guarded(limits())
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert executor.submit(threading.get_ident).result() != threading.get_ident()


def test_what_must_not_be_reached_is_refused_by_one_sentence(guarded, faults, monkeypatch):
    """The same for every port, open or not, and for every kind of address; and nothing is connected to."""
    guarded(limits())
    monkeypatch.setattr(socket.socket, "connect", None)
    sentences = set()
    for host in INSIDE:
        for port in (faults.port, 1, 443):
            said = refusal(f"https://{host}:{port}/latest/meta-data/a.png")
            sentences.add(said.replace(f"{host}:{port}", "HOST").replace(repr(host.strip("[]")), "HOST"))
    assert sentences == {
        "image or mask: https://HOST/latest/meta-data/a.png: There is no public host HOST, and files are fetched from "
        "public addresses only. Check the address for typing errors."
    }
    assert faults.seen == []


@pytest.mark.parametrize("host", ["10.0.0.1", "2852039166", "169.254.169.254", "[::ffff:10.0.0.1]"])
def test_redirect_to_such_an_address_is_refused_in_the_same_words(guarded, faults, host):
    guarded(limits(allow_loopback=True))
    faults.routes["/a.png"] = redirect(f"https://{host}/")
    assert "There is no public host" in refusal(f"{faults.url}/a.png")


def test_http_is_for_tests_on_this_machine_only(guarded, faults):
    guarded(limits())
    faults.routes["/a.png"] = Answer(body=PNG)
    assert "fetched over https:// only" in refusal(f"{faults.url}/a.png")
    assert "fetched over https:// only" in refusal("http://example.com/a.png")
    assert faults.seen == []


def test_error_shows_neither_query_nor_password(guarded):
    guarded(limits())
    said = refusal("https://me:hunter2@example.invalid/a.png?X-Amz-Signature=hunter3#hunter4")
    assert "hunter" not in said
    assert "https://example.invalid/a.png" in said


def test_address_of_megabytes_is_not_sent(guarded, faults):
    guarded(limits(allow_loopback=True))
    assert "at most 8000 characters" in refusal(f"{faults.url}/a.png?{'x' * 1_000_000}")
    assert faults.seen == []


def test_endless_body_ends_at_30_mb(guarded, faults):
    guarded(limits(allow_loopback=True))
    faults.routes["/a.png"] = Answer(body=bytes(MAX_BYTES + 10_000_000), length=-1)
    assert "sends more than" in refusal(f"{faults.url}/a.png")
    faults.routes["/b.png"] = Answer(body=b"x", length=1_570_000_000)
    assert "sends more than" in refusal(f"{faults.url}/b.png")


def test_a_training_may_have_more_and_its_file_goes_by_way_of_the_disk(guarded, faults):
    guarded(limits(allow_loopback=True), label="input_images", max_bytes=MAX_BYTES + 10)
    faults.routes["/a.zip"] = Answer(body=bytes(MAX_BYTES) + b"0123456789")
    (path,) = prepare(f"{faults.url}/a.zip")
    assert path.stat().st_size == MAX_BYTES + 10
    assert path.read_bytes().endswith(b"\x000123456789")
    faults.routes["/b.zip"] = Answer(body=bytes(MAX_BYTES + 11))
    assert refusal(f"{faults.url}/b.zip").startswith(f"input_images: {faults.url}/b.zip: 127.0.0.1 sends more than")


def test_compressed_body_is_not_unpacked(guarded, written, faults):
    guarded(limits(allow_loopback=True))
    bomb = gzip.compress(bytes(50_000_000))
    faults.routes["/a.png"] = Answer(body=bomb, headers={"Content-Encoding": "gzip"})
    assert "compressed, which was not asked for" in refusal(f"{faults.url}/a.png")
    assert sum(path.stat().st_size for path in written()) == 0


def test_one_byte_a_second_is_too_few(guarded, faults):
    guarded(replace(limits(allow_loopback=True), retries=0, clock=FastClock(20)))
    faults.routes["/a.png"] = Answer(body=PNG, drip_s=0.01)
    assert "sends less than 10 kB a second" in refusal(f"{faults.url}/a.png")


def test_the_files_of_one_request_share_its_time_and_the_next_has_its_own(guarded, faults):
    clock = FastClock(1)
    guarded(replace(limits(allow_loopback=True), clock=clock))
    faults.routes["/a.png"] = Answer(body=PNG)

    def late(_):
        clock.skip(50)
        return Answer(body=PNG)

    faults.routes["/late.png"] = late
    with pytest.raises(FetchError, match="60 s are over"):
        prepare(f"{faults.url}/late.png", f"{faults.url}/late.png")
    prepare(f"{faults.url}/a.png", f"{faults.url}/late.png")
    prepare(f"{faults.url}/a.png")


def test_downloads_that_fail_one_after_the_other_leave_no_more_than_the_last_one_did(guarded, written, faults):
    guarded(limits(allow_loopback=True))
    for _ in range(5):
        refusal(f"{faults.url}/none.png")
    assert len(written()) == 1


def test_server_that_ends_early_is_asked_again(guarded, faults):
    guarded(limits(allow_loopback=True))
    faults.routes["/a.png"] = [Answer(body=PNG, cut=500), Answer(body=PNG)]
    (path,) = prepare(f"{faults.url}/a.png")
    assert path.read_bytes() == PNG


def test_cog_itself_would_fetch_all_of_this(faults, monkeypatch, tmp_path):
    """So the guard is needed still; should Cog have one of its own some day, this says so."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    faults.routes["/a.png"] = Answer(body=PNG)
    (path,) = prepare(f"{faults.url}/a.png")
    assert path.read_bytes() == PNG
