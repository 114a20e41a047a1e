"""A LoRA that is here while its origin is old, away or offline."""

import re
import socket
from dataclasses import replace

import pytest

from easel.errors import FetchError
from easel.lora.sites import Endpoints
from tests.support.fault_server import Answer
from tests.unit.adapter_files.common import NETWORK, NOBODY, put_on_hub, sha256, weights

pytestmark = pytest.mark.slow


def test_older_file_is_kept_when_its_origin_says_unchanged(server, get, clock, logs):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    first = get(f"{server.url}/a.safetensors")
    clock.now += 61
    assert get(f"{server.url}/a.safetensors") == first
    assert "if-none-match" in server.seen[1].headers
    clock.now += 59  # counted from the second check
    get(f"{server.url}/a.safetensors")
    assert len(server.seen) == 2
    assert len(logs) == 1


def test_older_file_is_replaced_when_its_origin_has_another(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    server.routes["/a.safetensors"] = Answer(body=weights("two"), etag=True)
    clock.now += 61
    assert get(f"{server.url}/a.safetensors").path.read_bytes() == weights("two")


def test_older_file_without_an_etag_is_fetched_again(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights())
    first = get(f"{server.url}/a.safetensors")
    clock.now += 61
    assert get(f"{server.url}/a.safetensors") == first
    assert "if-none-match" not in server.seen[1].headers


@pytest.mark.parametrize("status", [401, 403, 404, 410, 400])
def test_older_file_is_not_used_when_its_origin_refuses(server, get, clock, status):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    server.routes["/a.safetensors"] = Answer(status=status)
    clock.now += 61
    with pytest.raises(FetchError, match=f"status {status}"):
        get(f"{server.url}/a.safetensors")


def broken_off(server):
    server.routes["/a.safetensors"] = Answer(body=weights("two"), cut=100)


def out_of_order(status):
    return lambda server: server.routes.update({"/a.safetensors": Answer(status=status)})


def switched_off(server):
    server.__exit__()


@pytest.mark.parametrize(
    ("outage", "why"),
    [
        *((out_of_order(status), f"answers with status {status}") for status in (500, 502, 503, 504, 520, 429)),
        (broken_off, "breaks off in the middle"),
        (switched_off, "takes no connection"),
    ],
)
def test_older_file_is_used_while_its_origin_is_out_of_order(server, get, clock, logs, outage, why):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    first = get(f"{server.url}/a.safetensors")
    outage(server)
    clock.now += 61
    logs.clear()
    assert get(f"{server.url}/a.safetensors") == first
    assert re.search(rf"copy here is used, which its origin last confirmed at 1970-01-12 13:46 UTC.*{why}", logs[-1])
    asked = len(server.seen)
    clock.now += 30
    assert get(f"{server.url}/a.safetensors") == first
    assert "copy here is used" in logs[-1], "each request says so"
    assert len(server.seen) == asked, "and not each waits for it"


def test_an_origin_that_is_back_is_asked_again(server, get, clock, logs):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    out_of_order(503)(server)
    clock.now += 61
    get(f"{server.url}/a.safetensors")
    server.routes["/a.safetensors"] = Answer(body=weights("two"), etag=True)
    clock.now += 61
    assert get(f"{server.url}/a.safetensors").digest == f"sha256:{sha256(weights('two'))}"
    server.routes["/a.safetensors"] = Answer(status=404)
    clock.now += 61
    with pytest.raises(FetchError, match="status 404"):
        get(f"{server.url}/a.safetensors")


def test_without_a_copy_an_outage_is_an_error(server, get):
    server.routes["/a.safetensors"] = Answer(status=503)
    with pytest.raises(FetchError, match="status 503, 2 times. Try again later"):
        get(f"{server.url}/a.safetensors")


@pytest.mark.parametrize("failure", [socket.EAI_AGAIN, socket.EAI_NONAME])
def test_older_file_is_used_without_a_network(make_files, server, clock, logs, failure):
    def resolve(*_args, **_options):
        raise socket.gaierror(failure, "no network")

    url = f"http://localhost:{server.port}/a.safetensors"
    server.routes["/a.safetensors"] = Answer(body=weights())
    first = make_files().get(url, NOBODY, logs.append)
    clock.now += 61
    assert make_files(network=replace(NETWORK, resolve=resolve)).get(url, NOBODY, logs.append) == first
    assert "copy here is used" in logs[-1]


def test_a_name_that_leads_to_a_private_address_now_is_no_outage(make_files, server, clock, logs):
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", server.port))]
    url = f"http://localhost:{server.port}/a.safetensors"
    server.routes["/a.safetensors"] = Answer(body=weights())
    make_files().get(url, NOBODY, logs.append)
    clock.now += 61
    with pytest.raises(FetchError, match="no public host"):
        make_files(network=replace(NETWORK, resolve=lambda *_a, **_k: rows)).get(url, NOBODY, logs.append)


def test_offline_the_hub_is_not_asked(make_files, server, clock, logs):
    put_on_hub(server, {"a.safetensors": weights()})
    first = make_files().get("hf://ada/flowers", NOBODY, logs.append)
    offline = make_files(endpoints=Endpoints(hf=server.url, offline=True))
    asked, clock.now = len(server.seen), clock.now + 61
    assert offline.get("hf://ada/flowers", NOBODY, logs.append) == first
    assert "HF_HUB_OFFLINE is set" in logs[-1]
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set. Unset it"):
        offline.get("hf://ada/other", NOBODY, logs.append)
    assert len(server.seen) == asked


def test_clock_that_went_back_makes_a_copy_old(server, get, clock):
    server.routes["/a.safetensors"] = Answer(body=weights(), etag=True)
    get(f"{server.url}/a.safetensors")
    clock.now -= 1000
    get(f"{server.url}/a.safetensors")
    assert len(server.seen) == 2


def test_two_urls_of_one_file_share_it_on_disk(server, get, folder):
    server.routes |= {f"/{k}.safetensors": Answer(body=weights()) for k in range(2)}
    assert get(f"{server.url}/0.safetensors").path == get(f"{server.url}/1.safetensors").path
    assert len(list(folder.glob("*.safetensors"))) == 1
