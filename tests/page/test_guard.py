"""What stands between other web sites and the user's token, and between the README and the page."""

import http.client
import json
import re
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
        ("POST", "/v1/models", {"Origin": "https://elsewhere.example"}),
        ("POST", "/v1/models/a/b/versions/c/trainings", {"Origin": "https://elsewhere.example"}),
        ("POST", "/page/dataset", {}),
        ("GET", "/v1/account", {"Sec_Fetch_Site": "cross-site"}),
        ("GET", "/v1/models/easel/emoji", {"Sec_Fetch_Site": "cross-site"}),
        ("GET", "/v1/models/easel/emoji", {"Sec_Fetch_Site": "same-site"}),
        ("GET", "/v1/models/easel/emoji", {"Host": "elsewhere.example"}),
        ("GET", "/", {"Host": "elsewhere.example"}),
        ("GET", "/page/settings.json", {"Origin": "https://elsewhere.example"}),
        ("GET", "/page/readme/easel/emoji", {"Sec_Fetch_Site": "cross-site"}),
        ("GET", "/v1/predictions", {"Sec_Fetch_Site": "cross-site"}),
        ("GET", "/p/abc", {"Host": "elsewhere.example"}),
    ],
)
def test_other_sites_are_refused(guarded, upstream, method, path, headers):
    status, _, _ = ask(guarded, method, path, b"{}" if method == "POST" else None, **headers)
    assert (status, upstream.asked) == (403, [])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/account/x",
        "/v1/account?cursor=a",
        "/v1/trainings/..",
        "/easel/emoji/train/x",
        "/v1/webhooks/default/secret",
        "/v1/predictions/..",
        "/v1/predictions/%2e%2e",
        "/v1/predictions/..%2faccount",
        "/v1/models/easel/..%3fx",
        "/v1/models/easel/emoji/readme",
        "/v1/deployments",
        "/v1/predictions/a?cursor=b",
        "/v1/models/easel/emoji?cursor=b",
        "/v1/models?query=a",
        "/v1/predictions?created_after=2026-01-01",
        "/v1/predictions?cursor=a&cursor=b",
        "/v1/predictions?cursor=a&source=web",
        "/v1/predictions?cursor=a%0d%0aHost:%20b",
        "/v1/predictions?cursor=",
        "/page/model.json",
        "/page/readme/easel/%2e%2e",
        "/page/readme/..%2f../account",
        "/repository/samples/../openapi.json",
        "/easel/emoji/versions/..",
        "/p/..",
    ],
)
def test_nothing_else_can_be_had(guarded, upstream, path):
    status, _, _ = ask(guarded, "GET", path)
    assert (status, upstream.asked) == (404, [])


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/predictions", "/v1/models/a/b/versions", "/v1/models/a/b/examples", "/v1/trainings"]
)
def test_a_list_is_asked_for_by_its_cursor_alone(guarded, upstream, path):
    cursor = "cD0yMDIyLTAxLTIxKzIzJTNBMTg="
    assert ask(guarded, "GET", f"{path}?cursor={quote(cursor)}")[0] == 200
    assert upstream.asked.pop()[1] == f"{path}?cursor={quote(cursor)}"
    assert ask(guarded, "GET", path)[0] == 200
    assert upstream.asked.pop()[1] == path


@pytest.mark.parametrize(
    "path", ["/", "/models", "/planner", "/p/abc", "/easel/emoji", "/a.b/c-d/versions/0f", "/a/b/train"]
)
def test_other_sites_may_link_to_the_page_which_then_holds_nothing(guarded, upstream, path):
    status, headers, content = ask(guarded, "GET", path, Sec_Fetch_Site="cross-site")
    assert (status, upstream.asked) == (200, [])
    assert headers["Content-Type"].startswith("text/html")
    assert content == ask(guarded, "GET", "/")[2]
    assert ask(guarded, "POST", path, b"{}", Sec_Fetch_Site="cross-site")[0] == 403


def test_a_readme_of_the_api_comes_as_html_that_runs_nothing(guarded, upstream):
    status, headers, content = ask(guarded, "GET", "/page/readme/easel/emoji")
    assert (status, upstream.asked.pop()) == (
        200,
        ("GET", "/v1/models/easel/emoji/readme", f"Bearer {TOKEN}", b""),
    )
    assert headers["Content-Type"] == "application/json"
    assert json.loads(content) == {"html": ""}


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
        "[a](data:text/html,<script>alert(1)</script>)",
        "<img src='javascript:alert(1)' alt=a>",
        "[a](vbscript:x)",
    ],
)
def test_a_readme_runs_nothing(text):
    shown = render(text)
    for tag in ("<script", "<b ", "<iframe", "<svg", "<style", 'href="javascript'):
        assert tag not in shown
    assert "onerror=" not in shown.replace("&quot; onerror=alert(1) &quot;", "")


def test_a_readme_shows_images_by_https_alone():
    shown = render('| a |\n|---|\n| <img src="samples/a.png" width="120" alt="a"> |\n\n![b](https://a.example/b.png)')
    local, remote = re.findall("<img [^>]*>", shown)
    assert ('alt="a"' in local, 'width="120"' in local, "src=" in local) == (
        True,
        True,
        False,
    )
    for attribute in ('src="https://a.example/b.png"', 'alt="b"', 'loading="lazy"', 'referrerpolicy="no-referrer"'):
        assert attribute in remote
    for source in ("http://a.example/b.png", "//a.example/b.png", "/page/output?url=x", "data:image/svg+xml,<svg/>"):
        assert "src=" not in render(f'<img src="{source}" alt="c"> ![c]({source})')


def test_links_of_a_readme_lead_elsewhere_without_a_way_back():
    assert 'href="https://a.example" target="_blank" rel="noopener noreferrer"' in render("[a](https://a.example)")
    assert 'href="#readme-use"' in render("[a](#use)")
    for target in ("docs/api.md", "/p/abc", "//a.example", "ftp://a.example", "data:image/png;base64,AA"):
        assert "href" not in render(f"[a]({target})"), target
