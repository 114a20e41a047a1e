"""A ranged download from nginx, killed, interrupted and resumed."""

import filecmp
import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from easel.weights.download.fetch import Address, Limits, Received, fetch_file, read_journal
from easel.weights.manifest import digest_of
from tests.support.fault_server import wait_until
from tests.support.nginx import NGINX, run_nginx
from tests.support.rounds import rounds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not here: apt-get install nginx"),
]
CHUNK = 65536
COUNT = 17
SIZE = CHUNK * (COUNT - 1) + 1234
QUICK = Limits(connect_s=5, stall_s=5, retries=3, backoff_s=0.01, max_wait_s=0.1, chunk_bytes=CHUNK)
SMALL = b"small " * 100
SLOW = "limit_rate 60k;"  # nginx counts in full seconds, so that a chunk takes up to one


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "file").write_bytes(random.Random(0).randbytes(SIZE))
    (root / "small").write_bytes(SMALL)
    (root / "empty").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def digest(root):
    return digest_of(root / "file")


@pytest.fixture
def serve(root, tmp_path):
    """Starts an nginx that serves `root`, or another folder."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    return lambda served=root, **options: run_nginx(served, folder, **options)


class Download:
    def __init__(self, target):
        self.target = target
        self.part = target.with_name("file.part")
        self.journal = target.with_name("file.part.journal")
        self.logs = []
        self.progress = []

    def __call__(self, url, **options):
        options = {"size": SIZE, "digest": None, "limits": QUICK, "progress": self.progress.append, **options}
        return fetch_file(lambda: Address(url), self.target, label="the file", log=self.logs.append, **options)


@pytest.fixture
def download(tmp_path):
    return Download(tmp_path / "file")


def test_file_arrives_over_kept_connections_each_chunk_once(root, serve, download, digest):
    with serve() as nginx:
        assert download(nginx.url + "/file", digest=digest) == Received(SIZE, digest)
        logged = [one for one in nginx.logged() if one.range != "bytes=0-0"]
    assert filecmp.cmp(download.target, root / "file", shallow=False)
    assert len(logged) == len({one.range for one in logged}) == COUNT
    assert sum(one.sent for one in logged) == SIZE
    assert 2 <= len({one.connection for one in logged}) <= 8
    assert sorted(path.name for path in download.target.parent.iterdir()) == ["file", "nginx"]
    assert sum(download.progress) == SIZE
    assert download.logs == []


def test_nothing_known_of_a_file_is_found_out(root, serve, download, digest):
    with serve() as nginx:
        assert download(nginx.url + "/file", size=None) == Received(SIZE, digest)


def test_md5_is_verified_too(root, serve, download, digest):
    with serve() as nginx:
        md5 = digest_of(root / "file", "md5")
        assert download(nginx.url + "/file", digest=md5) == Received(SIZE, digest)


def test_small_file_costs_one_request(serve, download):
    with serve() as nginx:
        md5 = "md5:" + hashlib.md5(SMALL).hexdigest()
        received = download(nginx.url + "/small", size=len(SMALL), digest=md5)
        assert received == Received(len(SMALL), "sha256:" + hashlib.sha256(SMALL).hexdigest())
        assert len(nginx.logged()) == 1


@pytest.mark.parametrize("size", [0, None])
def test_empty_file_arrives(serve, download, size):
    with serve() as nginx:
        assert download(nginx.url + "/empty", size=size).size == 0
    assert download.target.read_bytes() == b""


def test_connections_that_nginx_closes_after_each_request_are_no_failure(serve, download, digest):
    with serve(server="keepalive_timeout 0;") as nginx:
        assert download(nginx.url + "/file", digest=digest).size == SIZE
    assert download.logs == []


def test_connections_that_nginx_closes_now_and_then_are_no_failure(serve, download, digest):
    with serve(server="keepalive_requests 3;") as nginx:
        assert download(nginx.url + "/file", digest=digest).size == SIZE
    assert download.logs == []


def test_file_that_is_replaced_in_the_middle_is_fetched_anew(serve, tmp_path, download):
    served = tmp_path / "served"
    served.mkdir()
    (served / "file").write_bytes(os.urandom(SIZE))
    new = os.urandom(SIZE)

    def swap(count):
        if count and not (served / "new").exists():
            (served / "new").write_bytes(new)
            os.utime(served / "new", (1, 1))  # else both could be of the same second, and so of the same ETag
            (served / "new").rename(served / "file")
            (served / "new").touch()

    with serve(served, server=SLOW) as nginx:
        received = download(nginx.url + "/file", progress=lambda count: (swap(count), download.progress.append(count)))
    assert received.sha256 == "sha256:" + hashlib.sha256(new).hexdigest()
    assert download.target.read_bytes() == new
    assert sum(download.progress) == SIZE
    assert "fetched anew" in download.logs[0]


def interrupt(count):
    """What Ctrl-C does, while bytes arrive."""
    if count:
        signal.raise_signal(signal.SIGINT)


def test_call_after_an_interrupt_goes_on(serve, download, digest):
    with serve(server=SLOW) as nginx, pytest.raises(KeyboardInterrupt):
        download(nginx.url + "/file", digest=digest, progress=interrupt)
    recorded = read_journal(download.journal)[1]
    assert 1 <= len(recorded) < COUNT
    assert download.part.exists()
    with serve() as nginx:
        before = len(nginx.logged())
        assert download(nginx.url + "/file", digest=digest) == Received(SIZE, digest)
        asked = {one.range for one in nginx.logged()[before:]}
    assert len(asked) == 1 + COUNT - len(recorded)
    assert sum(download.progress) == SIZE


def fetch_in_child(url, target, size, digest):
    fetch_file(
        lambda: Address(url),
        target,
        label="the file",
        size=size,
        digest=digest,
        progress=lambda count: None,
        log=lambda line: None,
    )


def make_big_file(path, size):
    """Bytes of which no two reads are equal: a mark in every 256 KiB, and a hole after it, which costs no time."""
    with path.open("wb") as stream:
        stream.truncate(size)
        for position in range(0, size, 2**18):
            os.pwrite(stream.fileno(), b"%16d" % position, position)


@pytest.fixture
def memory_folder(tmp_path):
    """A folder in memory where there is one: ext4 takes minutes to remove a file with thousands of holes."""
    parent = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=parent if parent.is_dir() else tmp_path) as folder:
        yield Path(folder)


MEASURED = """
import json, re, sys
from pathlib import Path
from easel.weights.download.fetch import Address, fetch_file

def bytes_read():  # from the disk: what is in the page cache does not count
    return int(re.search(r"\\nread_bytes: (\\d+)", Path("/proc/self/io").read_text())[1])

url, target = sys.argv[1:]
before = bytes_read()
received = fetch_file(
    lambda: Address(url), Path(target), label="it", size=None, digest=None, progress=lambda count: None, log=print
)
# Of this process alone: ru_maxrss can be that of the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([received.sha256, bytes_read() - before, peak]))
"""


def test_download_reads_nothing_from_the_disk_and_takes_less_than_150_mb(tmp_path, memory_folder, serve):
    make_big_file(memory_folder / "file", 2**29)
    with serve(memory_folder) as nginx:
        command = [sys.executable, "-c", MEASURED, nginx.url + "/file", str(tmp_path / "file")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    sha256, read, peak = json.loads(done.stdout)
    assert sha256 == digest_of(tmp_path / "file")
    assert read < 2**24  # of 2**29
    assert 30e6 < peak < 150e6  # a lower one would mean that nothing was measured


def test_a_large_download_survives_many_kills(tmp_path, memory_folder, serve):
    """At most one chunk per connection and kill is fetched again."""
    target, journal = tmp_path / "file", tmp_path / "file.part.journal"
    size, chunk, kills = rounds(usual=2**29, full=2**31), Limits().chunk_bytes, rounds(usual=8, full=20)
    make_big_file(memory_folder / "file", size)
    digest = digest_of(memory_folder / "file")
    moments = sorted(random.sample(range(size // chunk - 10), kills))  # in recorded chunks
    with serve(memory_folder) as nginx:
        arguments = (nginx.url + "/file", target, size, digest)
        for moment in moments:
            child = multiprocessing.get_context("fork").Process(target=fetch_in_child, args=arguments)
            child.start()
            wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > moment, 60)  # noqa: B023
            child.kill()
            child.join()
            assert child.exitcode == -signal.SIGKILL
            assert not target.exists()
        fetch_in_child(*arguments)
        sent = sum(one.sent for one in nginx.logged())
    assert digest_of(target) == digest
    assert size <= sent <= size + kills * 8 * chunk + kills + 1  # and a byte for each first request
    target.unlink()
