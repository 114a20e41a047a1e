"""Trainings: Replicate's endpoints, the server that trains while one trains, and the version that comes of it."""

import hashlib
import io
import json
import os
import time
import urllib.request

import pytest
from PIL import Image

from easel.local.server import run_server
from tests.api.training_calls import IMAGES, ROOT, make_model, process_of, ready, started, train, wait_for
from tests.clients.receiver import receiving
from tests.support.api_process import Api, ask, run_api

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cog():
    with run_server(ROOT, timeout=60) as server:
        yield server


@pytest.fixture(scope="module")
def api(cog, tmp_path_factory):
    options = {"rate_limit": 0, "root": ROOT, "allow_private_webhooks": True}
    with run_api(tmp_path_factory.mktemp("api"), [f"test/model={cog.url}"], {"EASEL_MODEL": "model"}, **options) as api:
        yield api


@pytest.fixture(scope="module")
def version(api):
    return ready(api)


@pytest.fixture(scope="module")
def trained(api, version):
    return wait_for(api, started(api, version))


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(process: int) -> None:
    until = time.monotonic() + 30
    while is_running(process):
        assert time.monotonic() < until
        time.sleep(0.05)


def predict(api: Api, version: str, **inputs) -> list[str]:
    """The lines of a prediction's file, whichever model it is of."""
    status, prediction = ask(api, "POST", "/v1/predictions", {"version": version, "input": inputs}, Prefer="wait")
    assert status == 201, prediction
    assert prediction["error"] is None, prediction
    assert prediction["input"] == inputs  # what is added stands nowhere
    with urllib.request.urlopen(prediction["output"]) as answer:
        return answer.read().decode().split("\n")


def images_of(training: dict) -> list[dict]:
    return training.get("metrics", {}).get("easel_validation_images", [])


def weights_of(training: dict) -> bytes:
    with urllib.request.urlopen(training["output"]["weights"]) as answer:
        return answer.read()


def test_a_training_has_the_members_of_replicates(api, version, trained):
    assert trained["status"] == "succeeded", (trained["error"], trained["logs"])
    assert (trained["model"], trained["version"], trained["destination"]) == ("test/model", version, "test/mine")
    assert trained["urls"]["get"] == f"{api.url}/v1/trainings/{trained['id']}"
    assert trained["urls"]["cancel"] == f"{api.url}/v1/trainings/{trained['id']}/cancel"
    assert trained["input"] == {"input_images": IMAGES}
    assert "50%|" in trained["logs"]
    assert trained["metrics"]["predict_time"] > 0
    assert trained["output"].keys() == {"version", "weights"}
    assert weights_of(trained) == f"{process_of(trained)} images".encode()


def test_its_process_is_gone_when_it_has_ended(trained):
    wait_until_gone(process_of(trained))


def test_the_version_is_the_destinations_and_predicts_with_the_weights(api, trained):
    model, _, identity = trained["output"]["version"].partition(":")
    status, versions = ask(api, "GET", "/v1/models/test/mine/versions")
    assert (status, model) == (200, "test/mine")
    assert identity in [one["id"] for one in versions["results"]]
    digest = hashlib.sha256(weights_of(trained)).hexdigest()
    assert predict(api, trained["output"]["version"], prompt="TOK") == ["TOK", digest]
    assert predict(api, identity, prompt="TOK", lora_weights=["a/b"]) == ["TOK", "a/b"]  # as with COG_WEIGHTS


def test_the_version_of_the_base_is_as_before(api, version, trained):
    assert predict(api, version, prompt="TOK") == ["TOK"]
    assert ask(api, "GET", "/v1/models/test/model")[1]["latest_version"]["id"] == version


def test_predictions_and_trainings_are_told_apart(api, trained):
    assert ask(api, "GET", f"/v1/predictions/{trained['id']}")[0] == 404
    assert ask(api, "POST", f"/v1/predictions/{trained['id']}/cancel")[0] == 404
    predictions = ask(api, "GET", "/v1/predictions")[1]["results"]
    status, trainings = ask(api, "GET", "/v1/trainings")
    assert status == 200
    assert trained["id"] in [one["id"] for one in trainings["results"]]
    assert trained["id"] not in [one["id"] for one in predictions]
    assert all("destination" in one for one in trainings["results"])
    for one in predictions:
        assert ask(api, "GET", f"/v1/trainings/{one['id']}")[0] == 404


def test_a_second_one_waits_for_its_turn_and_can_be_canceled_there(api, version):
    first = started(api, version, steps=10_000)
    running = wait_for(api, first, "processing")
    second = started(api, version)
    assert ask(api, "GET", f"/v1/trainings/{second}")[1]["status"] == "starting"
    assert ask(api, "POST", f"/v1/trainings/{second}/cancel")[1]["status"] == "canceled"
    third = started(api, version)
    while "process" not in running["logs"]:
        running = ask(api, "GET", f"/v1/trainings/{first}")[1]
    assert is_running(process_of(running))
    ask(api, "POST", f"/v1/trainings/{first}/cancel")
    assert wait_for(api, first)["status"] == "canceled"
    wait_until_gone(process_of(running))
    done = wait_for(api, third)
    assert (done["status"], done["output"].keys()) == ("succeeded", {"version", "weights"})


def test_validation_images_are_files_while_it_runs_and_when_it_has_ended(api, version):
    identity = started(api, version, steps=10_000)
    until, seen = time.monotonic() + 60, {}
    while len(images := images_of(ask(api, "GET", f"/v1/trainings/{identity}")[1])) < 3:
        seen[len(images)] = images
        assert time.monotonic() < until
    assert all(images[:count] == some for count, some in seen.items())
    for step, one in enumerate(images):
        assert (one["step"], one["width"], one["height"]) == (step, 640, 480)
        with urllib.request.urlopen(one["image"]) as answer, Image.open(io.BytesIO(answer.read())) as image:
            assert (answer.headers["Content-Type"], image.format, image.size) == ("image/webp", "WEBP", (64, 48))
            assert abs(image.convert("RGB").getpixel((9, 9))[0] - 100 * step) < 5
    listed = ask(api, "GET", "/v1/trainings")[1]["results"]
    assert images in map(images_of, listed)
    ask(api, "POST", f"/v1/trainings/{identity}/cancel")
    canceled = wait_for(api, identity)
    assert (canceled["status"], images_of(canceled)) == ("canceled", images)


@pytest.mark.parametrize(("end", "words"), [("failed", "it was told to fail"), ("dead", "")])
def test_one_that_fails_says_why_and_makes_no_version(api, version, end, words):
    before = ask(api, "GET", "/v1/models/test/mine/versions")[1]["results"]
    training = wait_for(api, started(api, version, end=end))
    assert (training["status"], training["output"]) == ("failed", None)
    assert words in training["error"]
    assert ask(api, "GET", "/v1/models/test/mine/versions")[1]["results"] == before


def test_webhooks_tell_of_a_training(api, version):
    with receiving() as receiver:
        training = wait_for(api, started(api, version, webhook=receiver.url))
        told = receiver.until_completed()
    assert told[0]["status"] == "processing"
    assert told[-1] == training
    assert len(images_of(training)) == 2
    assert not any("image/webp;base64" in json.dumps(one) for one in told)  # addresses alone


@pytest.mark.parametrize(
    ("inputs", "status", "words"),
    [
        ({"steps": 0}, 422, "input.steps: must be greater than or equal to 1"),
        ({"end": "odd"}, 422, "input.end: must be one of"),
        ({"input_images": "http://127.0.0.1/a.zip"}, 422, "input.input_images: must be an https:// address"),
        ({"destination": "test/none"}, 404, "The specified training destination does not exist"),
        ({"destination": "test/model"}, 422, "has the versions of its Cog servers"),
    ],
)
def test_what_cannot_be_trained_is_refused_before(api, version, inputs, status, words):
    answer = train(api, version, **inputs)
    assert (answer[0], words in answer[1]["detail"]) == (status, True), answer


def test_an_uploaded_archive_is_trained_on(api, version):
    mark = "b0undary"
    head = 'Content-Disposition: form-data; name="content"; filename="a.zip"'
    part = f"--{mark}\r\n{head}\r\n\r\nfrom a file\r\n--{mark}--\r\n"
    request = urllib.request.Request(f"{api.url}/v1/files", part.encode(), method="POST")
    request.add_header("Authorization", f"Bearer {api.token}")
    request.add_header("Content-Type", f"multipart/form-data; boundary={mark}")
    with urllib.request.urlopen(request) as answer:
        address = json.loads(answer.read())["urls"]["get"]
    training = wait_for(api, started(api, version, input_images=address))
    assert weights_of(training).endswith(b" from a file")


def test_a_version_goes_with_its_weights(api, version):
    make_model(api, "gone")
    training = wait_for(api, started(api, version, destination="test/gone"))
    identity = training["output"]["version"].partition(":")[2]
    assert ask(api, "DELETE", f"/v1/models/test/model/versions/{version}")[0] == 409
    body = {"destination": "test/mine", "input": {"input_images": IMAGES}}
    assert ask(api, "POST", f"/v1/models/test/gone/versions/{identity}/trainings", body)[0] == 422
    assert ask(api, "DELETE", f"/v1/models/test/gone/versions/{identity}")[0] == 202
    after = ask(api, "GET", f"/v1/trainings/{training['id']}")[1]
    assert (after["output"], after["data_removed"], images_of(after)) == (None, True, [])
    assert not list(api.folder.glob(f"outputs/{training['id']}/*"))
    assert ask(api, "DELETE", "/v1/models/test/gone")[0] == 204
