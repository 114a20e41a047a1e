"""A guarded fetch: certificates."""

import ssl

import pytest
import trustme

from easel.net.redirects import Credential
from tests.support.fault_server import Answer, FaultServer, redirect
from tests.unit.fetch.common import BODY, TOKEN, changed, resolver

pytestmark = pytest.mark.slow


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
