"""What a ranged download finds on disk when it is called again, and what a full disk does."""

import os
import subprocess
from dataclasses import replace

import pytest

from easel.errors import FetchError, ResourceError
from easel.weights.download.chunks import Journal, read_journal
from easel.weights.download.fetch import make_head
from tests.support.fault_server import Answer
from tests.support.range_download import BODY, CHUNK, DIGEST, FILE, QUICK, SIZE, Download, chunks_asked, ranged

pytestmark = pytest.mark.slow


@pytest.fixture
def broken_off(server, download):
    """A download that a server broke off: some chunks are here."""
    server.routes["/a"] = first_chunks(5)
    with pytest.raises(FetchError):
        download(connections=1, limits=replace(QUICK, retries=1))
    assert read_journal(download.journal)[1] == set(range(5))
    server.seen.clear()
    server.routes["/a"] = ranged()
    download.logs.clear()
    download.progress.clear()
    return download


def first_chunks(count):
    proper = ranged()
    return lambda seen: Answer(500) if seen.range[0] >= count * CHUNK else proper(seen)


def test_the_next_call_asks_only_for_what_is_missing(server, broken_off):
    broken_off.gives_the_file()
    assert min(first for first, _ in chunks_asked(server)) == 5 * CHUNK
    assert len(chunks_asked(server)) == 12


def test_another_etag_means_a_new_start(server, broken_off):
    server.routes["/a"] = ranged(Answer(body=BODY, headers={"ETag": '"two"'}))
    broken_off.gives_the_file(connections=1)
    assert len(chunks_asked(server)) == 17


@pytest.mark.parametrize(
    "change", [{"digest": None}, {"limits": replace(QUICK, chunk_bytes=CHUNK // 2)}], ids=["digest", "chunks"]
)
def test_another_order_means_a_new_start(server, broken_off, change):
    assert broken_off(**change).sha256 == DIGEST
    assert sum(last - first + 1 for first, last in chunks_asked(server)) == SIZE  # every byte, in any order


@pytest.mark.parametrize("damage", ["journal", "part", "shorter", "bytes"])
def test_damage_of_what_is_on_disk_costs_a_new_start_and_no_more(server, broken_off, damage):
    match damage:
        case "journal":
            broken_off.journal.write_bytes(os.urandom(1000))
        case "part":
            broken_off.part.unlink()
        case "shorter":
            os.truncate(broken_off.part, CHUNK)
        case "bytes":
            with broken_off.part.open("r+b") as stream:
                stream.write(b"x")
    broken_off.gives_the_file()
    assert (0, CHUNK - 1) in chunks_asked(server)
    assert broken_off.logs == (
        ["the file: what an earlier run left of it is damaged: it is fetched anew from the beginning"]
        if damage == "bytes"
        else []
    )


def test_line_that_a_kill_tore_counts_for_nothing(server, broken_off):
    with broken_off.journal.open("ab") as stream:
        stream.write(b"7")
    broken_off.gives_the_file()
    assert (7 * CHUNK, 8 * CHUNK - 1) in chunks_asked(server)


def test_without_digest_nothing_of_before_a_restart_of_the_machine_counts(tmp_path):
    path = tmp_path / "journal"
    head = make_head(SIZE, '"one"', None, CHUNK)
    Journal(path, head, [1, 3]).close()
    assert read_journal(path) == (head, {1, 3})
    assert head.continues(head)
    path.write_text(path.read_text().replace(head.boot, "another"))
    assert not head.continues(read_journal(path)[0])


@pytest.mark.parametrize("etag", [None, '"one"'])
def test_without_digest_and_etag_nothing_counts(etag):
    assert make_head(SIZE, etag, None, CHUNK).continues(make_head(SIZE, etag, None, CHUNK)) == (etag is not None)


def test_server_that_no_longer_knows_ranges_costs_a_new_start(server, broken_off):
    server.routes["/a"] = FILE
    broken_off.gives_the_file()


def test_disk_that_is_too_small_is_said_at_the_start(server, download):
    server.routes["/a"] = Answer(206, b"x", {"Content-Range": f"bytes 0-0/{2**50}"})
    download.fails(
        "cannot be written (No space left on device): make room there", ResourceError, size=None, digest=None
    )
    assert len(server.seen) == 1
    assert not download.part.exists()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("route", [ranged(), FILE], ids=["ranges", "plain"])
def test_disk_that_becomes_full_leaves_nothing(server, small_disk, route):
    server.routes["/a"] = route
    Download(server, small_disk).fails("cannot be written (No space left on device)", ResourceError)
    assert list(small_disk.iterdir()) == []
