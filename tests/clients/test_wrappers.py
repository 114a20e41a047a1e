"""Clients that others wrote around Replicate's API, each as it comes: what they want works over `easel api --tls`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.installed import run
from tests.server.calls import answer_to
from tests.support.api_process import Api, run_api, wait_for_version
from tests.support.yielding import run_yielder


@pytest.fixture(scope="module")
def api(cog, tmp_path_factory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("wrappers")
    with (
        run_yielder(folder / "model") as talker,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SSL_CERT_FILE", str(folder / "api/tls/bundle.pem"))
        servers = [f"easel/emoji={cog.url}", f"test/talker={talker}"]
        with run_api(folder / "api", servers, rate_limit=0, tls=True) as api:
            wait_for_version(api, "test/talker")
            wait_for_version(api, "easel/emoji")
            yield api


@pytest.fixture
def said(api):
    """What a client's program printed as its last line of JSON."""

    def said(name: str) -> Any:
        bundle = str(api.folder / "tls/bundle.pem")
        done = run(
            name,
            {
                "REPLICATE_BASE_URL": api.url,
                "REPLICATE_API_TOKEN": api.token,
                "SSL_CERT_FILE": bundle,
                "REQUESTS_CA_BUNDLE": bundle,
                "NODE_EXTRA_CA_CERTS": str(api.folder / "tls/authority.pem"),
                "NO_PROXY": "127.0.0.1",
                "EMOJI": wait_for_version(api, "easel/emoji")["id"],
                "TALKER": wait_for_version(api, "test/talker")["id"],
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return said


def test_ai_sdk(said):
    answer = said("ai_sdk")
    assert answer["starts"] == ["PNG"] * 3
    assert answer["media"] == ["image/png"] * 2
    assert answer["same"], "the same seed gives the same image"
    assert "aspect_ratio" in answer["refused"]


def test_replicate_stainless(said, cog):
    answer = said("stainless")
    assert answer["output"][0].startswith("https://127.0.0.1:")
    assert answer["again"] == "succeeded"
    assert answer["account"] == "easel"
    assert answer["models"] == ["emoji", "talker"]
    assert (answer["trainings"], answer["file"], answer["hardware"]) == ([], 5, "cpu")
    assert answer["collections"] is None, "this client reads no answer there"
    assert answer["readme"].startswith("# ")
    assert answer["run"] == ["RIFF"]
    assert answer_to(cog, prompt="a red apple")


def test_replicates_mcp_server(said, api):
    answer = said("mcp")
    assert answer["made"]["output"][0].startswith(f"{api.url}/delivery/")
    assert answer["again"] == "succeeded"
    assert answer["found"] == "Successful tool call", "this client reads no answer there"
    assert "no such collection" in str(answer["collection"])
    assert "[]" in json.dumps(answer["trainings"])
    assert "cpu" in json.dumps(answer["hardware"])
    assert "emoji" in answer["readme"].lower()


@pytest.mark.slow
def test_langchain(said):
    answer = said("langchain")
    assert answer["whole"] == "one two three "
    assert "".join(answer["parts"]) == "one two three "
    assert len(answer["parts"]) >= 3
    assert answer["stopped"] == "one two "


@pytest.mark.slow
def test_agno(said, api):
    answer = said("agno")
    assert answer["content"].startswith("Image generated successfully at https://"), answer
    assert answer["urls"][0].startswith(f"{api.url}/delivery/")
    assert answer["sizes"][0] > 100
