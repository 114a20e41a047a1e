"""Version 1 of Replicate's Python client, as most programs have it."""

import asyncio
import base64
import io
import time
from collections.abc import Iterator

import pytest
import replicate
from PIL import Image
from replicate.exceptions import ModelError, ReplicateError
from replicate.helpers import FileOutput
from replicate.pagination import async_paginate, paginate
from replicate.webhook import InvalidSignatureError, Webhooks

from tests.clients.inputs import (
    APPLE,
    ARCHIVE_TOKEN,
    ARCHIVED,
    BROKEN,
    FROM_SKETCH,
    LONG,
    MODEL,
    POLL_S,
    SKETCH,
    STEPS,
    WHY,
    pixel_chunk,
)
from tests.clients.receiver import receiving
from tests.support.api_process import Api


def connect(api: Api, token: str = "") -> replicate.Client:
    client = replicate.Client(api_token=token or api.token, base_url=api.url)
    client.poll_interval = POLL_S
    return client


@pytest.fixture
def client(api: Api) -> Iterator[replicate.Client]:
    client = connect(api)
    yield client
    client._client.close()


def read(output: list[FileOutput]) -> list[bytes]:
    """The images. Objects of the client's own class, so that programs can read and save them."""
    assert all(isinstance(one, FileOutput) for one in output)
    return [pixel_chunk(one.read()) for one in output]


def test_run_gives_files_with_the_very_picture_of_the_cog_server(client, picture):
    assert read(client.run(MODEL, APPLE)) == [picture.read_bytes()]


def test_run_takes_a_version(client, version, picture):
    assert read(client.run(f"{MODEL}:{version}", APPLE)) == [picture.read_bytes()]


def test_run_can_poll_instead_of_waiting(client, picture):
    assert read(client.run(MODEL, APPLE, wait=False)) == [picture.read_bytes()]


def test_run_gives_several_outputs(client, picture):
    pictures = read(client.run(MODEL, APPLE | {"num_outputs": 3}))
    assert pictures[0] == picture.read_bytes()
    assert len(set(pictures)) == 3
    assert pictures[2] == read(client.run(MODEL, APPLE | {"seed": 9}))[0]


def test_the_module_itself_reads_address_and_token_from_the_environment(api, monkeypatch, picture):
    monkeypatch.setenv("REPLICATE_BASE_URL", api.url)
    monkeypatch.setenv("REPLICATE_API_TOKEN", api.token)
    assert read(replicate.run(MODEL, input=APPLE)) == [picture.read_bytes()]
    replicate.default_client._client.close()


def test_a_waited_for_success_reads_processing_and_has_its_output(client, version):
    prediction = client.predictions.create(version, APPLE, wait=True)
    assert prediction.status == "processing"
    assert len(prediction.output) == 1
    prediction.reload()
    assert prediction.status == "succeeded"
    assert prediction.metrics["seeds"] == [APPLE["seed"]]


def test_a_wait_that_is_over_reads_starting_and_running_is_cancelled(client, version):
    prediction = client.predictions.create(version, LONG, wait=1)
    assert (prediction.status, prediction.output) == ("starting", None)
    prediction.reload()
    assert prediction.status == "processing"
    prediction.cancel()
    prediction.wait()
    assert (prediction.status, prediction.output) == ("canceled", None)
    assert prediction.completed_at


def test_what_waits_in_the_queue_is_cancelled_at_once(client, version):
    running, waiting = (client.predictions.create(version, LONG) for _ in range(2))
    waiting.cancel()
    assert (waiting.status, waiting.started_at) == ("canceled", None)
    running.cancel()
    running.wait()
    assert running.status == "canceled"


def test_polling_shows_progress_that_grows(client, version):
    prediction = client.predictions.create(version, STEPS)
    assert prediction.status == "starting"
    seen = []
    while prediction.status not in ("succeeded", "failed", "canceled"):
        time.sleep(POLL_S)
        prediction.reload()
        if prediction.progress:
            seen.append((prediction.progress.current, prediction.progress.total))
    assert prediction.status == "succeeded", prediction.error
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert seen[-1] == (STEPS["num_inference_steps"],) * 2
    assert [kind[:10] for kind in prediction.output] == ["data:image"]


def test_runs_asynchronously(api, picture):
    async def run() -> list[bytes]:
        client = connect(api)
        both = await asyncio.gather(client.async_run(MODEL, APPLE), client.async_run(MODEL, APPLE, wait=False))
        pictures = [pixel_chunk(await output[0].aread()) for output in both]
        prediction = await client.predictions.async_create(model=MODEL, input=LONG)
        await prediction.async_cancel()
        await prediction.async_wait()
        assert prediction.status == "canceled"
        await client._async_client.aclose()
        return pictures

    assert asyncio.run(run()) == [picture.read_bytes()] * 2


def test_a_file_is_uploaded_and_used_as_the_image(client):
    data = f"data:image/jpeg;base64,{base64.b64encode(SKETCH.read_bytes()).decode()}"
    expected = read(client.run(MODEL, FROM_SKETCH | {"image": data}))
    with SKETCH.open("rb") as file:
        assert read(client.run(MODEL, FROM_SKETCH | {"image": file})) == expected
    assert read(client.run(MODEL, FROM_SKETCH | {"image": SKETCH}, file_encoding_strategy="base64")) == expected
    assert read(client.run(MODEL, APPLE | {"prompt": "lion"})) != expected


def test_uploaded_files_are_listed_and_deleted(client):
    with SKETCH.open("rb") as content:
        file = client.files.create(content, metadata={"from": "a test"})
    assert (file.size, file.content_type, file.metadata) == (SKETCH.stat().st_size, "image/jpeg", {"from": "a test"})
    assert client.files.get(file.id).name == SKETCH.name
    assert file.id in [one.id for one in client.files.list()]
    client.files.delete(file.id)
    with pytest.raises(ReplicateError, match="status: 404"):
        client.files.get(file.id)


def test_an_output_is_an_input_again(client, version):
    prediction = client.predictions.create(version, APPLE, wait=True)
    (again,) = client.run(MODEL, FROM_SKETCH | {"image": prediction.output[0]})
    with Image.open(io.BytesIO(again.read())) as image:
        assert image.format == "WEBP"


@pytest.mark.parametrize(
    ("reference", "inputs", "token", "status", "words"),
    [
        (MODEL, {"prompt": "x", "seed": "seven"}, "", 422, "input.seed: must be an integer"),
        (MODEL, {"seed": 1}, "", 422, "prompt is required"),
        (MODEL, {"prompt": "x", "num_outputs": 5}, "", 422, "input.num_outputs: must be less than or equal to 4"),
        (MODEL, APPLE, "not-a-token", 401, "authentication token"),
        ("easel/nothing", APPLE, "", 404, "no model easel/nothing"),
        (f"{MODEL}:{'0' * 64}", APPLE, "", 422, "version does not exist"),
    ],
)
def test_a_refusal_is_an_error_with_its_status_and_sentence(api, reference, inputs, token, status, words):
    client = connect(api, token)
    with pytest.raises(ReplicateError) as error:
        client.run(reference, inputs)
    assert error.value.status == status
    assert words in error.value.detail
    client._client.close()


@pytest.mark.parametrize("wait", [True, False])
def test_a_failed_run_is_an_error_with_the_sentence_of_the_model(client, wait):
    with pytest.raises(ModelError, match=WHY) as error:
        client.run(MODEL, BROKEN, wait=wait)
    assert error.value.prediction.status == "failed"


def test_the_client_proves_the_signatures_of_webhooks(client, version):
    with receiving() as receiver:
        client.predictions.create(version, APPLE, webhook=receiver.url, webhook_events_filter=["start", "completed"])
        assert [one["status"] for one in receiver.until_completed()] == ["processing", "succeeded"]
    secret = client.webhooks.default.secret()
    for headers, body in receiver.got:
        Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=60)
        with pytest.raises(InvalidSignatureError):
            Webhooks.validate(headers=headers, body=body.decode() + " ", secret=secret)


def test_pages_hold_every_prediction_once_newest_first(api):
    client = connect(api, ARCHIVE_TOKEN)
    pages = list(paginate(client.predictions.list))
    assert [len(page) for page in pages] == [100, 100, ARCHIVED - 200]
    assert [int(one.input["prompt"]) for page in pages for one in page] == list(reversed(range(ARCHIVED)))
    assert [one.id for one in client.predictions.list(pages[1].previous)] == [one.id for one in pages[0]]
    client._client.close()

    async def count() -> int:
        client = connect(api, ARCHIVE_TOKEN)
        pages = [page async for page in async_paginate(client.predictions.async_list)]
        await client._async_client.aclose()
        return sum(map(len, pages))

    assert asyncio.run(count()) == ARCHIVED


def test_a_deployment_from_its_making_to_its_end(client, version, picture):
    account = client.accounts.current().username
    sizes = {"min_instances": 0, "max_instances": 1}
    made = client.deployments.create(name="of-python", model=MODEL, version=version, hardware="cpu", **sizes)
    assert (made.id, made.current_release.number) == (f"{account}/of-python", 1)
    assert made.id in [one.id for one in client.deployments.list()]
    changed = client.deployments.update(account, "of-python", max_instances=2)
    assert (changed.current_release.number, changed.current_release.configuration.max_instances) == (2, 2)
    prediction = client.deployments.get(made.id).predictions.create(APPLE)
    prediction.wait()
    assert pixel_chunk(base64.b64decode(prediction.output[0].partition(",")[2])) == picture.read_bytes()
    assert client.deployments.delete(account, "of-python")
    with pytest.raises(ReplicateError, match="status: 404"):
        client.deployments.get(made.id)


def test_models_versions_and_hardware(client, version):
    model = client.models.get(MODEL)
    assert model.latest_version.id == version
    assert model.default_example.status == "succeeded"
    assert MODEL in [one.id for one in client.models.list()]
    assert MODEL in [one.id for one in client.models.search("emoji")]
    assert [one.id for one in model.versions.list()] == [version]
    schema = model.versions.get(version).openapi_schema["components"]["schemas"]["Input"]
    assert schema["required"] == ["prompt"]
    assert "cpu" in [one.sku for one in client.hardware.list()]
