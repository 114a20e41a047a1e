"""Clients that read a model's output while it is made: Replicate's in Python (version 1) and in JavaScript."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import replicate

from tests.clients.cases import HERE, NODE_MODULES, TIMEOUT_S, environment
from tests.clients.inputs import POLL_S
from tests.support.api_process import Api, run_api, wait_for_version
from tests.support.yielding import run_yielder

MODEL, GIVEN = "test/talker", {"words": "one two three", "seconds": 0.1}
PARTS = ["one ", "two ", "three "]


@pytest.fixture(scope="module")
def talker(tmp_path_factory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("streaming")
    with run_yielder(folder / "model") as url, run_api(folder / "api", [f"{MODEL}={url}"], rate_limit=0) as api:
        wait_for_version(api, MODEL)
        yield api


@pytest.fixture
def client(talker) -> Iterator[replicate.Client]:
    client = replicate.Client(api_token=talker.token, base_url=talker.url)
    client.poll_interval = POLL_S
    yield client
    client._client.close()


def test_stream_of_python(client):
    events = list(client.stream(MODEL, input=GIVEN))
    assert "".join(str(event) for event in events) == "".join(PARTS)
    assert [event.data for event in events if event.event.value == "output"] == PARTS
    assert events[-1].event.value == "done"


def test_stream_of_python_with_asyncio(talker):
    async def read() -> list[str]:
        client = replicate.Client(api_token=talker.token, base_url=talker.url)
        async with client._async_client:
            return [str(event) async for event in await client.async_stream(MODEL, input=GIVEN)]

    assert "".join(asyncio.run(read())) == "".join(PARTS)


def test_run_of_python_gives_the_parts_as_they_come(client, talker):
    version = wait_for_version(talker, MODEL)["id"]
    assert list(client.run(f"{MODEL}:{version}", GIVEN)) == PARTS
    prediction = client.predictions.create(version=version, input=GIVEN, stream=True)
    assert list(prediction.output_iterator()) == PARTS
    assert "".join(str(event) for event in prediction.stream()) == "".join(PARTS)


def test_a_failed_stream_says_so_in_python(client):
    with pytest.raises(Exception, match="told to fail"):
        list(client.stream(MODEL, input=GIVEN | {"fail": True}))


PROGRAM = """
import Replicate from "replicate";
const replicate = new Replicate({ baseUrl: process.env.REPLICATE_BASE_URL });
const parts = [];
for await (const { event, data } of replicate.stream(process.env.MODEL, { input: JSON.parse(process.env.GIVEN) })) {
  if (event === "output") parts.push(data);
}
console.log(JSON.stringify(parts));
"""


@pytest.mark.skipif(
    not shutil.which("node") or not NODE_MODULES.is_dir(), reason="replicate for JavaScript is not here"
)
def test_stream_of_javascript(talker):
    done = subprocess.run(
        ["node", "--input-type=module", "-e", PROGRAM],
        cwd=HERE,
        env=environment(talker, f"{talker.url}/v1", MODEL=MODEL, GIVEN=json.dumps(GIVEN)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == PARTS
