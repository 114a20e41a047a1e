"""A guarded fetch: redirects, tokens, and what must not be reached."""

import logging

import pytest

from easel.errors import FetchError, InputError
from easel.net import guard as network_module
from easel.net.redirects import Credential
from tests.support.fault_server import Answer, FaultServer, redirect
from tests.unit.fetch.common import BODY, TOKEN

pytestmark = pytest.mark.slow


@pytest.fixture
def other():
    with FaultServer() as server:
        yield server


def test_redirects_are_followed_with_their_query(server, other, get):
    server.routes |= {"/a": redirect("b?x=1"), "/b?x=1": redirect(f"{other.url}/c%20d?sig=e%2Ff")}
    other.routes["/c%20d?sig=e%2Ff"] = Answer(body=BODY)
    assert get("/a").size == len(BODY)
    assert other.seen[0].headers["host"] == f"127.0.0.1:{other.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_five_redirects_are_followed_and_six_are_not(server, get, refusal, tmp_path, status):
    server.routes |= {f"/{k}": redirect(f"/{k + 1}", status) for k in range(6)} | {"/6": Answer(body=BODY)}
    assert get("/1").size == len(BODY)
    (tmp_path / "file").unlink()
    assert "more than 5 times" in refusal("/0")


def test_token_is_sent_as_bearer_and_kept_on_the_same_host(server, get):
    server.routes |= {"/a": redirect("/b"), "/b": Answer(body=BODY, token=TOKEN)}
    get("/a", credential=Credential("hf_token", TOKEN))
    assert [one.headers["authorization"] for one in server.seen] == [f"Bearer {TOKEN}"] * 2
    assert all(TOKEN not in one.path for one in server.seen)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_token_is_dropped_on_the_way_to_another_host_or_port_and_not_taken_up_again(server, other, get, host):
    server.routes |= {"/a": redirect(f"http://{host}:{other.port}/b"), "/c": Answer(body=BODY)}
    other.routes["/b"] = redirect(f"{server.url}/c")
    try:
        get("/a", credential=Credential("hf_token", TOKEN))
    except FetchError:
        assert host == "127.0.0.2"  # nobody listens there
        return
    assert "authorization" in server.seen[0].headers
    assert "authorization" not in other.seen[0].headers
    assert "authorization" not in server.seen[1].headers


def test_address_with_letters_of_any_encoding_is_followed(server, get):
    server.routes["/a"] = redirect("/\u00e9t\u00e9 1")  # sent as Latin-1
    server.routes["/%E9t%E9%201"] = Answer(body=BODY)
    assert get("/a").size == len(BODY)


def test_cookies_are_not_taken_from_one_host_to_the_next(server, other, get):
    server.routes["/a"] = Answer(302, headers={"Location": f"{other.url}/b", "Set-Cookie": "a=b"})
    other.routes["/b"] = Answer(body=BODY)
    get("/a")
    assert "cookie" not in other.seen[0].headers


@pytest.mark.parametrize("token", ["hunter2\r\nX: y", "hunter2 hunter2", "hünter2", "hunter2" * 200])
def test_text_that_is_no_token_is_refused_without_showing_it(token):
    with pytest.raises(InputError, match="hf_token is not a token") as caught:
        Credential("hf_token", token)
    assert "nter2" not in str(caught.value)


def test_token_and_query_appear_in_no_error_log_repr_or_traceback(server, other, get, logs, caplog):
    caplog.set_level(logging.INFO)
    secret = "sig=hunter2"
    credential = Credential("hf_token", TOKEN)
    server.routes[f"/a?{secret}"] = [Answer(status=503), redirect(f"{other.url}/b?{secret}")]
    other.routes[f"/b?{secret}"] = [Answer(body=BODY, cut=5), Answer(403)]
    with pytest.raises(FetchError) as caught:
        get(f"/a?{secret}", credential=credential)
    shown = [repr(caught.value), repr(credential), *logs, caplog.text, repr(caught.value.__context__)]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert not any("hunter2" in text for text in shown)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "is not encrypted"),
        ("http://10.0.0.1/", "is not encrypted"),
        ("https://169.254.169.254/", "There is no public host"),
        ("https://10.0.0.1/", "There is no public host"),
        ("https://[::1]:1/", "There is no public host"),
        ("https://[::ffff:127.0.0.1]/", "There is no public host"),
        ("https://2130706433/", "There is no public host"),
        ("https://0177.0.0.1/", "There is no public host"),
        ("https://0x7f.1/", "There is no public host"),
        ("https://127.1/", "There is no public host"),
        ("http://2130706433/", "is not encrypted"),
        ("http://0177.0.0.1/", "is not encrypted"),
        ("https://[fe80::1%25eth0]/", "is not a host"),
        ("file:///etc/passwd", "is not encrypted"),
        ("ftp://files.example/", "is not encrypted"),
        ("gopher://127.0.0.1/", "is not encrypted"),
        ("https://ada:hunter2@files.example/", "without a user name"),
        ("https://", "is not a host"),
        ("https://[", "is not a URL"),
        ("https://files.example:99999/", "is not a URL"),
        ("https://" + "a" * 5000 + "/", "is not a host"),
        ("https://f\xfcchse.example/", "is not a host in ASCII"),
    ],
)
def test_redirect_to_what_must_not_be_reached_is_refused(server, refusal, location, why):
    """The first server is loopback by name, so that only the address that follows is refused."""
    public = network_module.address_problem
    server.routes["/a"] = redirect(location)

    def problem(text, allow_loopback=False):
        return None if text == "127.0.0.1" and problem.first else public(text)

    problem.first = True
    real = network_module.resolve_host

    def resolve(host, port, network, until):
        problem.first = port == server.port
        return real(host, port, network, until)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_module, "address_problem", problem)
        patch.setattr(network_module, "resolve_host", resolve)
        message = refusal("/a")
    assert why in message
    assert len(message) < 250
    assert "hunter2" not in message
    assert server.count("/a") == 1
