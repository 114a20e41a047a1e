"""What stands between other web sites and the user's token, and between the README and the page."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

import pytest

from easel.page.readme import render
from tests.page.conftest import run_page

TOKEN = "token-that-stays-here"


class Recorder(BaseHTTPRequestHandler):
    """Stands for the API: remembers what it was asked, and answers with a page that would run a script."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
        content = b"<script>alert(1)</script>"
        self.send_response(429 if self.path.endswith("/cancel") else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Retry-After", "7")
        self.send_header("Set-Cookie", "a=b")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def guarded(upstream: ThreadingHTTPServer) -> Iterator[str]:
    with run_page(f"http://127.0.0.1:{upstream.server_address[1]}", TOKEN) as url:
        yield url


def ask(address, method, path, body=None, **headers):
    host = urlsplit(address).netloc
    connection = http.client.HTTPConnection(host, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": host, **named})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_the_pages_own_requests_reach_the_api_with_the_token(guarded, upstream):
    body = json.dumps({"input": {"prompt": "a dog"}}).encode()
    status, headers, content = ask(guarded, "POST", "/v1/predictions", body, Origin=guarded)
    assert (status, upstream.asked.pop()) == (200, ("POST", "/v1/predictions", f"Bearer {TOKEN}", body))
    assert TOKEN.encode() not in content
    assert TOKEN not in str(headers)
    assert headers["Set-Cookie"] is None
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    status, headers, _ = ask(guarded, "POST", "/v1/predictions/abc/cancel", b"", Origin=guarded)
    assert (status, headers["Retry-After"]) == (429, "7")
    upstream.asked.clear()


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/v1/predictions", {}),
        ("POST", "/v1/predictions", {"Origin": "https://elsewhere.example"}),
        ("POST", "/v1/predictions", {"Origin": "null"}),
        ("POST", "/v1/predictions/abc/cancel", {"Origin": "http://127.0.0.1:1"}),
        ("GET", "/v1/models/easel/emoji", {"Sec_Fetch_Site": "cross-site"}),
        ("GET", "/v1/models/easel/emoji", {"Sec_Fetch_Site": "same-site"}),
        ("GET", "/v1/models/easel/emoji", {"Host": "elsewhere.example"}),
        ("GET", "/", {"Host": "elsewhere.example"}),
        ("GET", "/page/model.json", {"Origin": "https://elsewhere.example"}),
    ],
)
def test_other_sites_are_refused(guarded, upstream, method, path, headers):
    status, _, _ = ask(guarded, method, path, b"{}" if method == "POST" else None, **headers)
    assert (status, upstream.asked) == (403, [])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/account",
        "/v1/webhooks/default/secret",
        "/v1/predictions/..",
        "/v1/predictions/%2e%2e",
        "/v1/predictions/..%2faccount",
        "/v1/models/easel/..%3fx",
        "/repository/README.md",
        "/repository/samples/../openapi.json",
        "/repository/samples/%2e%2e/weights/emoji/vae.safetensors",
        "/repository//etc/passwd.png",
    ],
)
def test_nothing_else_can_be_had(guarded, upstream, path):
    status, _, _ = ask(guarded, "GET", path)
    assert (status, upstream.asked) == (404, [])


def test_an_output_is_passed_on_without_the_token_and_cannot_run(guarded, upstream):
    url = f"http://127.0.0.1:{upstream.server_address[1]}/delivery/a/b.png"
    status, headers, _ = ask(guarded, "GET", f"/page/output?url={quote(url, safe='')}")
    assert (status, upstream.asked.pop()) == (200, ("GET", "/delivery/a/b.png", None, b""))
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x.png",
        "file:///etc/passwd",
        "https://replicate.delivery.example/x.png",
        "https://user@replicate.delivery/x.png",
        "http://replicate.delivery/x.png",
        "https://replicate.delivery:8443/x.png",
        "",
    ],
)
def test_no_other_address_is_fetched(guarded, url):
    assert ask(guarded, "GET", f"/page/output?url={quote(url, safe='')}")[0] == 404


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <b onclick=alert(1)>b</b>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "<iframe src=https://elsewhere.example></iframe>",
        "<svg onload=alert(1)>",
        '<img src="x" alt="&quot; onerror=alert(1) &quot;">',
        "<scr<script>ipt>alert(1)</script>",
        "<style>* {}</style>",
    ],
)
def test_a_readme_runs_nothing(text):
    shown = render(text)
    for tag in ("<script", "<b ", "<iframe", "<svg", "<style", 'href="javascript'):
        assert tag not in shown
    assert "onerror=" not in shown.replace("&quot; onerror=alert(1) &quot;", "")


def test_a_readme_shows_pictures_of_the_repository():
    shown = render('| a |\n|---|\n| <img src="samples/a.png" width="120" alt="a"> |\n\n![b](https://a.example/b.png)')
    assert '<img src="/repository/samples/a.png" alt="a" width="120" loading="lazy">' in shown
    assert '<img src="https://a.example/b.png" alt="b" loading="lazy">' in shown
