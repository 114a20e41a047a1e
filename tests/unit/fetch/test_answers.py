"""A guarded fetch: what comes back, whole or not at all."""

import hashlib

import pytest

from easel.errors import FetchError, ResourceError
from easel.net.fetch import fetch, fetch_json
from easel.net.redirects import Credential
from tests.support.fault_server import Answer
from tests.unit.fetch.common import BODY, QUICK, TOKEN, changed

pytestmark = pytest.mark.slow


def test_file_arrives_whole_with_its_digest_and_etag(server, get, tmp_path):
    server.routes["/a.tar?x=1"] = Answer(body=BODY, etag=True)
    fetched = get("/a.tar?x=1")
    assert (tmp_path / "file").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert fetched.size == len(BODY)
    assert fetched.digest == "sha256:" + hashlib.sha256(BODY).hexdigest()
    assert fetched.etag == '"' + hashlib.md5(BODY).hexdigest() + '"'


def test_answer_without_a_length_is_read_to_its_end(server, get, tmp_path):
    server.routes["/a"] = Answer(body=BODY, length=-1)
    assert get("/a").size == len(BODY)


def test_request_names_no_language_cookie_or_machine_and_asks_for_plain_bytes(server, get):
    server.routes["/a"] = Answer(body=BODY)
    get("/a")
    assert server.seen[0].headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": "easel",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


def test_unchanged_file_is_not_sent_again(server, get, tmp_path):
    server.routes["/a"] = Answer(body=BODY, etag=True)
    etag = get("/a").etag
    (tmp_path / "file").write_bytes(b"mine")
    assert get("/a", headers={"If-None-Match": etag}) is None
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"mine")]


def test_an_earlier_file_stays_when_the_new_one_does_not_come(server, get, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FetchError):
        get("/missing")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"mine")]


@pytest.mark.parametrize("etag", ["no quotes", '"a\xe9"', '"' + "x" * 300 + '"', ""])
def test_etag_that_could_not_be_sent_back_is_forgotten(server, get, etag):
    server.routes["/a"] = Answer(body=BODY, headers={"ETag": etag})
    assert get("/a").etag is None


def test_proxy_of_the_environment_is_not_used(server, get, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.routes["/a"] = Answer(body=BODY)
    assert get("/a").size == len(BODY)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "the file: 127.0.0.1 has no such file or model (status 404): check the reference."),
        (410, "the file: 127.0.0.1 has no such file or model (status 410): check the reference."),
        (418, "the file: 127.0.0.1 answers with status 418 instead of the file."),
        (204, "the file: 127.0.0.1 answers with status 204 instead of the file."),
        (206, "the file: 127.0.0.1 answers with status 206 instead of the file."),
        (304, "the file: 127.0.0.1 answers with status 304 instead of the file."),
        (300, "the file: 127.0.0.1 answers with status 300 instead of the file."),
    ],
)
def test_other_answers_are_final(server, refusal, status, sentence):
    server.routes["/a"] = Answer(status=status, length=-1 if status == 204 else None)
    assert refusal("/a") == sentence
    assert server.count("/a") == 1


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_without_a_token_names_the_input_for_one(server, refusal, status):
    server.routes["/a"] = Answer(body=BODY, token=TOKEN, refused=status)
    message = refusal("/a", credential=Credential("hf_token"))
    assert f"refuses it (status {status})" in message
    assert "give a token in hf_token" in message
    assert "signed URL" in refusal("/a")


def test_refusal_of_a_token_says_so_and_does_not_show_it(server, refusal):
    server.routes["/a"] = Answer(body=BODY, token="another")
    message = refusal("/a", credential=Credential("civitai_token", TOKEN))
    assert "The token in civitai_token does not open it" in message
    assert TOKEN not in message


def test_file_above_the_limit_is_refused_by_its_length(server, refusal):
    server.routes["/a"] = Answer(body=BODY, stall=0)
    assert "sends more than 1000 bytes" in refusal("/a", max_bytes=1000)


def test_more_than_two_gigabytes_are_refused_without_being_asked(server, refusal):
    server.routes["/a"] = Answer(body=BODY, length=2_000_000_001, stall=0)
    assert "sends more than 2 GB" in refusal("/a")
    server.routes["/a"] = Answer(body=BODY, length=2_000_000_000, cut=9)
    assert "breaks off in the middle" in refusal("/a")


def test_chunked_answer_is_whole_or_tried_again(server, get, tmp_path, logs):
    chunked = {"length": -1, "headers": {"Transfer-Encoding": "chunked"}}
    whole = b"5\r\nhello\r\n0\r\n\r\n"
    server.routes["/a"] = [Answer(body=whole[:10], **chunked), Answer(body=whole, **chunked)]
    assert get("/a").size == 5
    assert (tmp_path / "file").read_bytes() == b"hello"
    assert "breaks off in the middle" in logs[0]


@pytest.mark.parametrize("length", ["-1", "+1", "x", "1, 2", "9" * 30, "9" * 5000])
def test_length_that_is_none_is_no_crash(server, refusal, length):
    server.routes["/a"] = Answer(body=b"x", length=-1, headers={"Content-Length": length})
    assert "gives no proper answer" in refusal("/a", network=changed(retries=0))


def test_file_above_the_limit_is_refused_while_it_comes(server, refusal):
    server.routes["/a"] = Answer(body=BODY, length=-1)
    assert "sends more than 1000 bytes" in refusal("/a", max_bytes=1000)
    assert server.count("/a") == 1


def test_compressed_answer_is_refused(server, refusal):
    server.routes["/a"] = Answer(body=BODY, headers={"Content-Encoding": "gzip"})
    assert "sends the file compressed" in refusal("/a")


def test_full_disk_is_a_resource_error(server, tmp_path, logs):
    server.routes["/a"] = Answer(body=BODY)
    with pytest.raises(ResourceError, match=r"missing.file cannot be written \(No such file or directory\)"):
        fetch(f"{server.url}/a", tmp_path / "missing" / "file", label="a", log=logs.append, network=QUICK)
    assert server.seen == []


def test_json_answers_are_bounded_and_must_be_json(server, logs):
    options = {"label": "api", "log": logs.append, "network": QUICK}
    server.routes |= {
        "/good": Answer(body=b'{"a": [1]}'),
        "/html": Answer(body=b"<html>"),
        "/latin": Answer(body=b'"\xe9"'),
        "/deep": Answer(body=b"[" * 200_000),
        "/long": Answer(body=b"[" + b"1," * 3_000_000),
    }
    assert fetch_json(f"{server.url}/good", **options) == {"a": [1]}
    for path in ("/html", "/latin", "/deep"):
        with pytest.raises(FetchError, match="api: the answer of 127.0.0.1 is not JSON that can be read."):
            fetch_json(server.url + path, **options)
    with pytest.raises(FetchError, match="sends more than 5000000 bytes"):
        fetch_json(f"{server.url}/long", **options)
