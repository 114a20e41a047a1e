"""Inputs that are addresses: Cog's own server fetches them by Easel's guarded fetch, and a cancel ends that."""

from collections.abc import Iterator

import pytest

from tests.server.calls import Caller, answer_to, decoded, mask, picture, pixels, wait_for, worker_of
from tests.support.fault_server import Answer, FaultServer, redirect

SMALL = {"prompt": "dog", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 3, "output_format": "png"}


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.routes |= {"/image.png": Answer(body=decoded(picture())), "/mask.png": Answer(body=decoded(mask()))}
        yield server


def test_pictures_of_addresses_are_those_of_data_urls(open_server, faults):
    sent = answer_to(open_server, **SMALL, image=picture(), mask=mask())
    named = answer_to(open_server, **SMALL, image=f"{faults.url}/image.png", mask=f"{faults.url}/mask.png")
    assert named["status"] == "succeeded", named
    assert pixels(named) == pixels(sent)
    assert [one.headers["user-agent"] for one in faults.seen] == ["easel"] * 2, "Cog calls requests in some other way"


def test_servers_of_users_reach_nothing_on_their_own_network(server, faults):
    """Whatever answers there, or does not: the words are the same, and nothing is asked."""
    port = faults.port
    said = set()
    for host, shown in (("127.0.0.1", port), ("127.0.0.1", 1), ("2130706433", 22)):
        answer = answer_to(server, **SMALL, image=f"https://{host}:{shown}/image.png")
        said.add(answer["error"].replace(f"{host}:{shown}", "HOST").replace(host, "HOST"))
    assert said == {
        "Input validation error: image or mask: https://HOST/image.png: There is no public host 'HOST', and files are "
        "fetched from public addresses only. Check the address for typing errors."
    }
    plain = answer_to(server, **SMALL, image=f"{faults.url}/image.png?signature=hunter2")
    assert "https:// only" in plain["error"]
    assert "hunter2" not in plain["error"] + plain["logs"]
    assert faults.seen == []


def test_redirect_into_the_network_is_refused(open_server, faults):
    faults.routes["/there"] = redirect("https://169.254.169.254/latest/meta-data")
    assert "There is no public host" in answer_to(open_server, **SMALL, image=f"{faults.url}/there")["error"]


def test_more_than_30_mb_are_not_fetched(open_server, faults):
    faults.routes["/large.png"] = Answer(length=1_570_000_000)
    assert "sends more than" in answer_to(open_server, **SMALL, image=f"{faults.url}/large.png")["error"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=bytes(100_000), drip_s=0.5),
        Answer(stall=-1),
        Answer(body=bytes(100_000), stall=1000),
    ],
    ids=["one byte at a time", "no answer", "a stop in the middle"],
)
@pytest.mark.parametrize("name", ["image", "mask"])
def test_cancel_ends_a_download_that_would_not_end_and_the_next_request_works(open_server, faults, answer, name):
    worker = worker_of(open_server).pid
    faults.routes["/never.png"] = answer
    inputs = {"image": f"{faults.url}/image.png", "mask": f"{faults.url}/mask.png", name: f"{faults.url}/never.png"}
    caller = Caller(open_server, f"never-{name}-{answer.stall}", **SMALL, **inputs)
    wait_for(lambda: faults.count("/never.png"), "it is not fetched")
    caller.cancel()
    assert caller.answer["status"] == "canceled", caller.answer
    assert faults.count("/never.png") == 1, "it went on after the cancel"
    assert answer_to(open_server, **SMALL)["status"] == "succeeded"
    assert worker_of(open_server).pid == worker
