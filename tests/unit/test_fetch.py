"""Fetching over a real connection: what is kept, what is refused, who sees a credential, and how a fetch ends."""

import ctypes
import hashlib
import logging
import socket
import ssl
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
import trustme

from easel.errors import FetchError, InputError, ResourceError
from easel.net import guard as network_module
from easel.net.addresses import address_problem
from easel.net.fetch import fetch, fetch_bytes, fetch_json
from easel.net.guard import Network, TransferError
from easel.net.redirects import Credential
from easel.net.resolver import start_resolver
from tests.support.fast_clock import FastClock
from tests.support.fault_server import Answer, FaultServer, redirect, wait_until

pytestmark = pytest.mark.slow

BODY = b"tensors " * 50_000
TOKEN = "hf_hunter2hunter2"
QUICK = Network(allow_loopback=True, backoff_s=0.01, max_backoff_s=0.05)


@pytest.fixture
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture
def other():
    with FaultServer() as server:
        yield server


@pytest.fixture
def logs():
    return []


@pytest.fixture
def get(server, tmp_path, logs):
    """Fetch a path of the server (or a URL) to tmp_path/file."""

    def get(path, network=QUICK, **options):
        url = path if "://" in path else server.url + path
        return fetch(url, tmp_path / "file", label="the file", log=logs.append, network=network, **options)

    return get


@pytest.fixture
def refusal(get, tmp_path):
    """The sentence with which a fetch ends; checks that it leaves no file."""

    def refusal(path, **options):
        with pytest.raises(FetchError) as caught:
            get(path, **options)
        assert list(tmp_path.iterdir()) == []
        assert str(caught.value).isprintable()
        return str(caught.value)

    return refusal


def resolver(**hosts):
    """A name look-up that knows only these: a name has a list of addresses."""

    def resolve(host, port, type=0):
        if host not in hosts:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        families = [(socket.AF_INET6 if ":" in address else socket.AF_INET, address) for address in hosts[host]]
        return [(family, type, 6, "", (address, port)) for family, address in families]

    return resolve


def changed(**values):
    return Network(**{**vars(QUICK), **values})


# What arrives


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


# What does not


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


# What another attempt may cure


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=429),
        Answer(status=500),
        Answer(status=502),
        Answer(status=503),
        Answer(status=504),
        Answer(body=BODY, cut=1000),
        Answer(body=BODY, cut=0),
        Answer(body=BODY, length=len(BODY) + 1),
        Answer(body=BODY, stall=1000),
        Answer(stall=-1),
    ],
    ids=str,
)
def test_passing_fault_is_overcome_and_logged(server, get, tmp_path, logs, fault):
    server.routes["/a"] = [fault, Answer(body=BODY)]
    assert get("/a", network=changed(stall_s=0.3)).size == len(BODY)
    assert (tmp_path / "file").read_bytes() == BODY
    assert len(logs) == 1
    assert logs[0].startswith("the file: 127.0.0.1 ")
    assert logs[0].endswith("attempt 2 of 4 follows in 0.01 s")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Answer(status=503), "the file: 127.0.0.1 answers with status 503, 4 times. Try again later."),
        (Answer(body=BODY, cut=9), "the file: 127.0.0.1 breaks off in the middle, 4 times. Try again later."),
        (Answer(stall=-1), "the file: 127.0.0.1 sent nothing for 0.1 s, 4 times. Try again later."),
    ],
    ids=str,
)
def test_lasting_fault_ends_in_a_sentence(server, refusal, fault, sentence):
    server.routes["/a"] = fault
    assert refusal("/a", network=changed(stall_s=0.1)) == sentence
    assert server.count("/a") == 4


def test_nobody_listening_is_said_after_all_attempts(server, refusal):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        assert refusal(url) == "the file: 127.0.0.1 takes no connection, 4 times. Try again later."


@pytest.mark.parametrize("text", ["0", formatdate(time.time() - 100, usegmt=True)])
def test_server_may_ask_for_no_wait(server, get, logs, text):
    server.routes["/a"] = [Answer(status=429, headers={"Retry-After": text}), Answer(body=BODY)]
    get("/a", network=changed(backoff_s=2.0, max_backoff_s=2.0))
    assert logs[0].endswith("follows in 0 s")


@pytest.mark.parametrize("text", ["1", "9999999", formatdate(time.time() + 3600, usegmt=True)])
def test_server_that_asks_for_a_long_wait_gets_the_most_that_is_allowed(server, get, logs, text):
    server.routes["/a"] = [Answer(status=503, headers={"Retry-After": text}), Answer(body=BODY)]
    get("/a")
    assert logs[0].endswith("follows in 0.05 s")


@pytest.mark.parametrize("text", ["soon", "-1", "1e9", "Thu, 99 Foo 2999 99:99:99 GMT", "9" * 50])
def test_unreadable_wait_is_ignored(server, get, logs, text):
    server.routes["/a"] = [Answer(status=503, headers={"Retry-After": text}), Answer(body=BODY)]
    get("/a")
    assert logs[0].endswith("follows in 0.01 s")


def test_waits_double_up_to_the_limit(server, refusal, logs):
    server.routes["/a"] = Answer(status=500)
    refusal("/a", network=changed(backoff_s=0.02, max_backoff_s=0.06))
    assert [line.rpartition(" in ")[2] for line in logs] == ["0.02 s", "0.04 s", "0.06 s"]


def test_file_that_drips_meets_the_overall_limit(server, refusal):
    server.routes["/a"] = Answer(body=BODY, drip_s=0.05)
    assert "and 0.5 s are over" in refusal("/a", network=changed(total_s=0.5))


def test_file_that_comes_too_slowly_is_given_up_after_the_time_over_which_that_is_measured(server, refusal):
    server.routes["/a"] = Answer(body=BODY, drip_s=0.01)
    network = changed(least_rate=50_000, rate_s=10, retries=0, clock=FastClock(20))
    assert "sends less than 50 kB a second" in refusal("/a", network=network)


def test_server_may_think_before_it_answers_and_only_waiting_counts(server, get):
    clock = FastClock(1)

    def late(_):
        clock.skip(25)
        return Answer(body=BODY)

    server.routes["/a"] = late
    assert get("/a", network=changed(rate_s=10, clock=clock)).size == len(BODY)


def test_fetches_that_share_a_deadline_end_by_it(server, get, refusal):
    clock = FastClock(1)

    def late(_):
        clock.skip(40)
        return Answer(503)

    server.routes |= {"/a": Answer(body=BODY), "/late": late}
    network = changed(total_s=60, clock=clock)
    deadline = clock() + 60
    assert "60 s are over" in refusal("/late", network=network, deadline=deadline)
    assert "60 s are over" in refusal("/late", network=network, deadline=deadline)
    assert server.count("/late") == 2, "the second had no time left"
    assert get("/a", network=network).size == len(BODY)


def test_stall_ends_at_the_overall_limit_when_that_comes_first(server, refusal):
    server.routes["/a"] = Answer(body=BODY, stall=9)
    assert "0.4 s are over" in refusal("/a", network=changed(stall_s=20, total_s=0.4))


def test_nothing_of_a_longer_first_attempt_stays(server, get, tmp_path):
    server.routes["/a"] = [Answer(body=BODY, cut=100_000), Answer(body=b"short")]
    assert get("/a").size == 5
    assert (tmp_path / "file").read_bytes() == b"short"


# Redirects and credentials


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


# Which addresses are reached


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("8.8.8.8", None),
        ("172.15.0.1", None),
        ("172.32.0.1", None),
        ("2606:4700:4700::1111", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),  # an IPv6-only network reaches IPv4 so
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "private"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "shared (CGNAT)"),
        ("100.100.100.200", "shared (CGNAT)"),
        ("168.63.129.16", "internal"),
        ("192.0.0.192", "reserved"),
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "reserved"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fec0::1", "reserved"),
        ("ff02::1", "multicast"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("64:ff9b:1::808:808", "special"),
        ("2002:7f00:1::", "6to4"),
        ("2002:a00:1::1", "6to4"),
        ("2001:0:a00:1::", "reserved"),
        ("2001:db8::1", "private"),
        ("3fff::1", "reserved"),
        ("100::1", "private"),
        ("5f00::1", "special"),
        ("localhost", "unreadable"),
    ],
)
def test_only_public_addresses_are_reached(address, problem):
    if problem in ("special", "reserved", "private"):  # which of these words matters less than that it is refused
        assert address_problem(address)
    else:
        assert address_problem(address) == problem


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_reached_where_it_is_allowed(address):
    assert address_problem(address, allow_loopback=True) is None


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.0.0.1", "0.0.0.0", "169.254.169.254"])
def test_allowing_loopback_allows_nothing_else(address):
    assert address_problem(address, allow_loopback=True)


@pytest.mark.parametrize("addresses", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["2606:4700::1", "fd00::1"]])
def test_one_private_address_of_many_is_enough_to_refuse_a_host(refusal, addresses):
    network = changed(resolve=resolver(mixed=addresses), allow_loopback=False)
    assert "There is no public host 'mixed'" in refusal("https://mixed/a", network=network)


def test_loopback_is_refused_where_it_is_not_allowed(server, refusal):
    network = changed(allow_loopback=False)
    assert "is not encrypted" in refusal("/a", network=network)
    assert "There is no public host" in refusal(f"https://127.0.0.1:{server.port}/a", network=network)
    assert server.seen == []


def test_http_reaches_loopback_only(refusal):
    network = changed(resolve=resolver(public=["8.8.8.8"], localhost=["8.8.8.8"]))
    assert "is not encrypted" in refusal("http://public/a", network=network)


def test_name_is_looked_up_once_and_the_checked_address_is_the_one_connected_to(refusal, monkeypatch):
    answers, connected = [["8.8.8.8"], ["10.0.0.1"]], []

    def rebinding(host, port, type=0):
        return resolver(rebind=answers.pop(0))(host, port, type)

    def connect(family, kind, protocol, address, until, clock):
        connected.append(address)
        raise TransferError("takes no connection")

    monkeypatch.setattr(network_module, "connect", connect)
    message = refusal("https://rebind/a", network=changed(resolve=rebinding))
    assert connected == [("8.8.8.8", 443)]
    assert answers == []  # the second answer was asked for by the second attempt only, and refused
    assert message.startswith(
        "the file: There is no public host 'rebind', and files are fetched from public addresses only."
    )


def test_next_address_is_tried_when_one_does_not_answer(server, get):
    server.routes["/a"] = Answer(body=BODY)
    resolve = resolver(localhost=["127.77.77.77", "127.0.0.1"])
    assert get(f"http://localhost:{server.port}/a", network=changed(resolve=resolve)).size == len(BODY)


def test_unknown_host_is_final_and_a_failing_look_up_is_not(refusal, logs):
    assert "There is no public host 'nowhere'" in refusal("https://nowhere/a", network=changed(resolve=resolver()))
    assert logs == []

    def failing(host, port, type=0):
        raise socket.gaierror(socket.EAI_AGAIN, "busy")

    assert "was not found: the name look-up fails at the moment, 4 times" in refusal(
        "https://nowhere/a", network=changed(resolve=failing)
    )


def test_host_that_no_look_up_accepts_is_refused(refusal):
    assert "There is no public host" in refusal("https://" + "a" * 70 + ".example/a")


def test_slow_look_up_is_bounded(refusal):
    release = threading.Event()
    network = changed(connect_s=0.1, retries=0, resolve=lambda *_, **__: release.wait(60))
    try:
        assert "does not answer" in refusal("https://slow/a", network=network)
    finally:
        release.set()


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("site.test").configure_cert(context)
    with FaultServer(context) as server:
        server.routes["/a"] = Answer(body=BODY)
        yield server


def trusting(authority, **values):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return changed(tls=context, **values)


HOSTS = resolver(**{"site.test": ["127.0.0.1"], "other.test": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]})


def test_certificate_is_checked_for_the_name_that_was_asked_for(secure, get, authority):
    network = trusting(authority, resolve=HOSTS)
    assert get(f"https://site.test:{secure.port}/a", network=network).size == len(BODY)
    assert secure.seen[0].headers["host"] == f"site.test:{secure.port}"


@pytest.mark.parametrize("host", ["other.test", "127.0.0.1"])
def test_certificate_of_another_name_is_refused_at_once(secure, refusal, authority, host, logs):
    message = refusal(f"https://{host}:{secure.port}/a", network=trusting(authority, resolve=HOSTS))
    assert f"The certificate of {host} is not valid" in message
    assert (secure.seen, logs) == ([], [])


def test_certificate_of_an_unknown_authority_is_refused(secure, refusal):
    message = refusal(f"https://site.test:{secure.port}/a", network=changed(resolve=HOSTS))
    assert "The certificate of site.test is not valid" in message
    assert secure.seen == []


def test_token_does_not_go_from_https_to_http(secure, server, get, authority):
    secure.routes["/a"] = redirect(f"{server.url}/b")
    server.routes["/b"] = Answer(body=BODY)
    network = trusting(authority, resolve=HOSTS)
    get(f"https://site.test:{secure.port}/a", network=network, credential=Credential("hf_token", TOKEN))
    assert secure.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize("fault", [Answer(body=BODY, cut=9), Answer(body=BODY, stall=9)], ids=str)
def test_faults_within_tls_are_overcome(secure, get, authority, fault):
    secure.routes["/a"] = [fault, Answer(body=BODY)]
    assert get(
        f"https://site.test:{secure.port}/a", network=trusting(authority, resolve=HOSTS, stall_s=0.3)
    ).size == len(BODY)


def test_server_that_does_not_speak_tls_is_no_crash(server, refusal):
    message = refusal(f"https://127.0.0.1:{server.port}/a", network=changed(retries=0))
    assert message.startswith("the file: 127.0.0.1 broke the connection off")


# Cancellation


class Cancelled(BaseException):
    pass


class Fetching:
    """A fetch in a thread of its own, that can be cancelled as Cog cancels: by an exception from outside."""

    def __init__(self, work):
        self.ended_with = None
        self.thread = threading.Thread(target=self._run, args=(work,))
        self.thread.start()

    def _run(self, work):
        try:
            work()
        except BaseException as error:
            self.ended_with = type(error)

    def cancel(self):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(Cancelled))
        self.thread.join(10)
        assert not self.thread.is_alive(), "a wait of 20 s was not cut short"


SLOW = Network(allow_loopback=True, backoff_s=20)


@pytest.mark.parametrize(
    "fault",
    [Answer(stall=-1), Answer(body=BODY, stall=0), Answer(body=BODY, stall=200_000)],
    ids=["no headers", "no body", "half a body"],
)
def test_stalled_fetch_is_cancelled_soon_and_leaves_nothing(server, get, tmp_path, fault):
    server.routes["/a"] = fault
    fetching = Fetching(lambda: get("/a", network=SLOW))
    assert server.stalled.wait(5)
    time.sleep(0.05)
    fetching.cancel()
    assert fetching.ended_with is Cancelled
    assert list(tmp_path.iterdir()) == []


def test_wait_between_attempts_is_cancelled_soon(server, get, tmp_path, logs):
    server.routes["/a"] = Answer(status=503)
    fetching = Fetching(lambda: get("/a", network=SLOW))
    wait_until(lambda: logs)
    fetching.cancel()
    assert fetching.ended_with is Cancelled
    assert list(tmp_path.iterdir()) == []


def test_no_cancel_is_lost_however_it_falls_into_a_name_look_up():
    network = changed(resolve=resolver(public=["8.8.8.8"]))

    def work():
        while True:
            network_module.resolve_host("public", 443, network, time.monotonic() + 5)

    for k in range(200):
        fetching = Fetching(work)
        time.sleep(k / 200_000)
        fetching.cancel()
        assert fetching.ended_with is Cancelled


def test_name_look_up_is_cancelled_soon(get, tmp_path):
    asked, release = threading.Event(), threading.Event()

    def resolve(*_, **__):
        asked.set()
        release.wait(60)
        return []

    fetching = Fetching(lambda: get("https://slow/a", network=Network(resolve=resolve)))
    try:
        assert asked.wait(5)
        fetching.cancel()
        assert fetching.ended_with is Cancelled
        assert list(tmp_path.iterdir()) == []
    finally:
        release.set()


def test_connection_and_handshake_that_nobody_answers_are_cancelled_soon(get, tmp_path, logs):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the connection, nobody the handshake
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/a"
        fetching = Fetching(lambda: get(url, network=SLOW))
        time.sleep(0.3)
        fetching.cancel()
    assert fetching.ended_with is Cancelled
    assert list(tmp_path.iterdir()) == []


def test_fetch_can_be_repeated_after_a_cancel(server, get, tmp_path):
    server.routes["/a"] = [Answer(body=BODY, stall=9), Answer(body=BODY)]
    fetching = Fetching(lambda: get("/a", network=SLOW))
    assert server.stalled.wait(5)
    fetching.cancel()
    get("/a")
    assert (tmp_path / "file").read_bytes() == BODY


def test_fetch_leaves_no_thread_or_socket_open(server, logs):
    server.routes["/a"] = Answer(body=b"{}")
    for _ in range(3):
        fetch_bytes(f"{server.url}/a", label="a", log=logs.append, network=QUICK)
    wait_until(lambda: not any(thread.name.endswith("(process_request_thread)") for thread in threading.enumerate()))
    before = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
    for _ in range(3):
        fetch_bytes(f"{server.url}/a", label="a", log=logs.append, network=QUICK)
    wait_until(lambda: (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before)


def test_fetch_starts_no_thread_since_one_could_take_its_cancel(monkeypatch):
    start_resolver()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a fetch started a thread"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://localhost:{silent.getsockname()[1]}/a"
        with pytest.raises(FetchError, match="sent nothing"):
            fetch_bytes(url, label="a", log=lambda line: None, network=changed(retries=0, stall_s=0.3))
