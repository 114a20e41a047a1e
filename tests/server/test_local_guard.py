"""`easel serve` as people start it, and what a web page in their browser may send to it."""

import base64
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from easel.local.client import call, predict, read_state
from easel.local.server import Server, run_server
from tests.api.conftest import RUNNER
from tests.server.calls import REPOSITORY, wait_for
from tests.support.api_process import ask, run_api, wait_for_version

README = (REPOSITORY / "README.md").read_text()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    command = [sys.executable, "-m", "easel.cli", "serve", "--root", str(RUNNER), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def send(url: str, *lines: str, body: bytes = b"") -> bytes:
    place = urlsplit(url)
    head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).replace("PORT", str(place.port)).encode()
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        connection.sendall(head + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: 127.0.0.1:PORT", "Origin: https://evil.example", "Content-Type: text/plain"),
        ("Host: 127.0.0.1:PORT", "Sec-Fetch-Site: cross-site"),
        ("Host: rebind.evil.example:PORT",),
        ("Host: rebind.evil.example:PORT", "Origin: http://rebind.evil.example:PORT"),
        ("Host: 127.0.0.1:PORT",),
    ],
)
def test_no_request_shuts_it_down(url, headers):
    assert send(url, "POST /shutdown HTTP/1.1", *headers).startswith(b"HTTP/1.1 403")
    assert read_state(url) == "READY"


def test_a_second_request_on_a_connection_is_not_read(url):
    """A browser may use one connection for all sites, and only the first request on it was looked at."""
    first = "GET /health-check HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n"
    answer = send(url, first + "POST /shutdown HTTP/1.1", "Host: 127.0.0.1:PORT", "Origin: https://evil.example")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert read_state(url) == "READY"


def test_no_other_site_learns_or_starts_anything(url):
    body = json.dumps({"input": {"text": "x"}}).encode()
    for headers in (
        ("Host: rebind.evil.example:PORT", "Content-Type: application/json"),
        ("Host: 127.0.0.1:PORT", "Content-Type: application/json", "Origin: https://evil.example"),
    ):
        assert send(url, "POST /predictions HTTP/1.1", *headers, body=body).startswith(b"HTTP/1.1 403")
        assert send(url, "GET /openapi.json HTTP/1.1", *headers).startswith(b"HTTP/1.1 403")


def test_the_readmes_curl_works(url, tmp_path):
    command = re.search(r"```sh\n(curl -s http://127\.0\.0\.1:5000/predictions .*?)\n```", README, re.DOTALL)[1]
    command = command.replace("http://127.0.0.1:5000", url).replace(
        '{"prompt": "a red apple", "seed": 7}', '{"text": "hello"}'
    )
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "apple.webp").read_bytes() == b"hello"


def test_large_inputs_outputs_and_logs_pass_unchanged(url):
    logs = []
    text = "Zeile äöü " * 1_000_000
    answer = predict(url, {"text": text, "seconds": 0.3, "count": 2}, logs.append)
    made = [base64.b64decode(one.partition(",")[2]) for one in answer["output"]]
    assert made == [text.encode()] * 2
    assert "it/s" in "".join(logs)


def test_caller_who_goes_cancels_what_was_asked_for(url):
    body = json.dumps({"input": {"seconds": 60}}).encode()
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        head = f"POST /predictions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: read_state(url) == "BUSY", "it never began")
    wait_for(lambda: read_state(url) == "READY", "it went on")


def test_the_error_of_a_failed_prediction_is_its_sentence(url):
    status, answer = call("POST", f"{url}/predictions", {"input": {"end": "failed"}}, timeout=20)
    assert (status, answer["status"]) == (200, "failed")
    assert not answer["error"].startswith("Prediction failed")


def test_one_request_after_another_meets_no_409(url):
    body = {"input": {"seconds": 0, "text": "a"}}
    statuses = [call("POST", f"{url}/predictions", body, timeout=20)[0] for _ in range(100)]
    assert statuses == [200] * 100


def test_uploads_by_put_and_cancels_work(url):
    status, _ = call("PUT", f"{url}/predictions/one", {"input": {"seconds": 0, "text": "a"}}, timeout=20)
    assert status == 200
    assert call("POST", f"{url}/predictions/none/cancel")[0] == 404


def test_easel_api_works_in_front_of_it(url, tmp_path):
    with run_api(tmp_path, [f"test/model={url}"], rate_limit=0) as api:
        version = wait_for_version(api, "test/model")["id"]
        body = {"version": version, "input": {"text": "hello", "seconds": 0.2}}
        status, made = ask(api, "POST", "/v1/predictions", body, Prefer="wait=20")
        assert (status, made["error"], len(made["output"])) == (201, None, 1)
        _, running = ask(api, "POST", "/v1/predictions", {"version": version, "input": {"seconds": 60}})
        place = f"/v1/predictions/{running['id']}"
        wait_for(lambda: ask(api, "GET", place)[1]["status"] == "processing", "it never began")
        ask(api, "POST", f"{place}/cancel")
        wait_for(lambda: ask(api, "GET", place)[1]["status"] == "canceled", "it went on")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address only")
def test_cog_itself_is_where_no_page_finds_it(server: Server):
    place = urlsplit(server.url)
    assert place.hostname != "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", place.port), timeout=5).close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address only")
def test_server_that_is_started_again_is_where_it_was():
    with run_server(RUNNER, timeout=60) as first:
        url = first.url
    with run_server(RUNNER, int(url.rpartition(":")[2]), timeout=60) as second:
        assert second.url == url
