"""`trainings` of Replicate's three clients, unmodified, with the trainer of the API's own tests."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import replicate

from easel.local.server import run_server
from tests.api.training_calls import ROOT, ready, wait_for
from tests.clients.cases import HERE, NODE_MODULES, REPLICATE_2, TIMEOUT_S
from tests.clients.receiver import receiving
from tests.support.api_process import run_api

pytestmark = pytest.mark.slow
INPUT = {"steps": 3}
DESTINATION = "test/mine"
VERSION_2 = """
import os, sys, time, json, replicate
version, path = sys.argv[1:]
client = replicate.Replicate()
images = client.files.create(content=open(path, "rb").read()).urls.get
create = dict(model_owner="test", model_name="model", version_id=version, destination="test/mine")
training = client.trainings.create(**create, input={"input_images": images, "steps": 3})
while training.status in ("starting", "processing"):
    time.sleep(0.1)
    training = client.trainings.get(training_id=training.id)
assert training.id in [one.id for one in client.trainings.list()]
long = client.trainings.create(**create, input={"input_images": images, "steps": 10000})
canceled = client.trainings.cancel(training_id=long.id)
print(json.dumps([training.status, training.output.version, training.output.weights, canceled.id == long.id]))
"""
JAVASCRIPT = """
import Replicate from "replicate";
import { readFile } from "node:fs/promises";
const [version, path] = process.argv.slice(1);
const replicate = new Replicate({ auth: process.env.REPLICATE_API_TOKEN, baseUrl: process.env.REPLICATE_BASE_URL });
const file = await replicate.files.create(new Blob([await readFile(path)]));
const create = (steps) => replicate.trainings.create("test", "model", version, {
  destination: "test/mine", input: { input_images: file.urls.get, steps },
});
let training = await create(3);
while (["starting", "processing"].includes(training.status)) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  training = await replicate.trainings.get(training.id);
}
const { results } = await replicate.trainings.list();
const long = await create(10000);
const canceled = await replicate.trainings.cancel(long.id);
const { version: made, weights } = training.output ?? {};
if (!results.some((one) => one.id === training.id)) throw new Error("it is not listed");
console.log(JSON.stringify([training.status, made, weights, canceled.id === long.id]));
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    options = {"rate_limit": 0, "root": ROOT, "allow_private_webhooks": True}
    with (
        run_server(ROOT, timeout=60) as cog,
        run_api(tmp_path_factory.mktemp("api"), [f"test/model={cog.url}"], {"EASEL_MODEL": "model"}, **options) as api,
    ):
        yield api


@pytest.fixture(scope="module")
def version(api):
    return ready(api)


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.zip"
    path.write_bytes(b"images")
    return path


def check(answer, api):
    status, made, weights, is_canceled = answer
    assert (status, made.partition(":")[0], is_canceled) == ("succeeded", DESTINATION, True)
    assert weights.startswith(f"{api.url}/delivery/")


def test_version_1_of_the_python_client(api, version, images):
    client = replicate.Client(api_token=api.token, base_url=api.url)
    with receiving() as receiver, images.open("rb") as file:
        training = client.trainings.create(
            f"test/model:{version}", input=INPUT | {"input_images": file}, destination=DESTINATION, webhook=receiver.url
        )
        while training.status not in ("succeeded", "failed", "canceled"):
            time.sleep(0.1)
            training.reload()
        assert receiver.until_completed()[-1]["id"] == training.id
    assert client.trainings.get(training.id) == training
    assert training.id in [one.id for one in client.trainings.list()]
    long = client.trainings.create(
        model="test/model", version=version, input={"input_images": "data:,a", "steps": 9999}, destination=DESTINATION
    )
    long.cancel()
    check((training.status, training.output["version"], training.output["weights"], True), api)
    assert wait_for(api, long.id)["status"] == "canceled"
    (output,) = [client.run(training.output["version"], input={"prompt": "TOK"})]
    assert output.read().startswith(b"TOK\n")
    client._client.close()


@pytest.mark.skipif(not REPLICATE_2.is_dir(), reason="replicate 2.0.0b4 is not in .venv/replicate-2: run script/setup")
def test_version_2_of_the_python_client(api, version, images):
    own = {"REPLICATE_BASE_URL": f"{api.url}/v1", "PYTHONPATH": str(REPLICATE_2)}
    check(answer_of([sys.executable, "-c", VERSION_2, version, images], own, api), api)


@pytest.mark.skipif(
    not (shutil.which("node") and NODE_MODULES.is_dir()), reason="Node.js or replicate for JavaScript is not installed"
)
def test_the_javascript_client(api, version, images):
    command = ["node", "--input-type=module", "-e", JAVASCRIPT, version, images]
    check(answer_of(command, {"REPLICATE_BASE_URL": f"{api.url}/v1"}, api), api)


def answer_of(command, own, api):
    environment = os.environ | {"REPLICATE_API_TOKEN": api.token, "NO_PROXY": "127.0.0.1"} | own
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
