"""Version 2 of Replicate's Python client, whose folder is first in PYTHONPATH. Each function without inputs is a case.

Reads the names of cases, one a line, and answers each with null or its traceback, as JSON. This version reads
REPLICATE_BASE_URL as version 1 does, but wants it with /v1.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import replicate

from tests.clients.inputs import (
    APPLE,
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

OWNER, NAME = MODEL.split("/")
ENDED = ("succeeded", "failed", "canceled")
VERSION = os.environ["VERSION"]
PICTURE = Path(os.environ["PICTURE"]).read_bytes()
client = replicate.Replicate()


def read(output: Sequence[Any]) -> list[bytes]:
    assert all(isinstance(one, replicate.FileOutput) for one in output), output
    return [pixel_chunk(one.read()) for one in output]


def decode(url: str) -> bytes:
    return pixel_chunk(base64.b64decode(url.partition(",")[2]))


def run_gives_files_with_the_very_picture_of_the_cog_server():
    assert replicate.__version__.startswith("2.")
    assert read(replicate.run(MODEL, input=APPLE)) == [PICTURE]
    assert read(client.run(f"{MODEL}:{VERSION}", input=APPLE)) == [PICTURE]


def run_can_poll_instead_of_waiting():
    assert read(client.run(MODEL, input=APPLE, wait=False)) == [PICTURE]


def run_gives_several_outputs():
    pictures = read(client.run(MODEL, input=APPLE | {"num_outputs": 3}))
    assert pictures[0] == PICTURE
    assert len(set(pictures)) == 3


def use_makes_a_function_of_the_model():
    """Its files are data URLs here: it downloads only what has an address of its own."""
    draw = replicate.use(MODEL)
    assert [decode(one) for one in draw(**APPLE)] == [PICTURE]


def a_waited_for_success_reads_processing_and_has_its_output():
    for reference in (MODEL, f"{MODEL}:{VERSION}", VERSION):
        prediction = client.predictions.create(version=reference, input=APPLE, prefer="wait=60")
        assert prediction.status == "processing", prediction
        assert [decode(one) for one in prediction.output] == [PICTURE]
    prediction = client.predictions.get(prediction_id=prediction.id)
    assert prediction.status == "succeeded"
    assert prediction.metrics.seeds == [APPLE["seed"]]


def a_wait_that_is_over_reads_starting_and_running_is_cancelled():
    prediction = client.models.predictions.create(model_owner=OWNER, model_name=NAME, input=LONG, prefer="wait=1")
    assert (prediction.status, prediction.output) == ("starting", None)
    client.predictions.cancel(prediction_id=prediction.id)
    assert client.predictions.wait(prediction.id).status == "canceled"


def what_waits_in_the_queue_is_cancelled_at_once():
    running, waiting = (client.predictions.create(version=VERSION, input=LONG, cancel_after="5m") for _ in range(2))
    assert 290 < (waiting.deadline - waiting.created_at).total_seconds() <= 300
    canceled = client.predictions.cancel(prediction_id=waiting.id)
    assert (canceled.status, canceled.started_at) == ("canceled", None)
    client.predictions.cancel(prediction_id=running.id)
    client.predictions.wait(running.id)


def polling_shows_progress_that_grows():
    prediction = client.predictions.create(version=VERSION, input=STEPS)
    seen = []
    while prediction.status not in ENDED:
        time.sleep(POLL_S)
        prediction = client.predictions.get(prediction_id=prediction.id)
        if steps := re.findall(r"\| *(\d+)/30", prediction.logs):  # this version has no `progress`
            seen.append(int(steps[-1]))
    assert prediction.status == "succeeded", prediction.error
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert seen[-1] == STEPS["num_inference_steps"]


def runs_asynchronously():
    async def run() -> list[bytes]:
        async with replicate.AsyncReplicate() as client:
            both = await asyncio.gather(client.run(MODEL, input=APPLE), client.run(MODEL, input=APPLE, wait=False))
            assert all(isinstance(one, replicate.AsyncFileOutput) for output in both for one in output), both
            prediction = await client.predictions.create(version=VERSION, input=LONG)
            await client.predictions.cancel(prediction_id=prediction.id)
            assert (await client.predictions.wait(prediction.id)).status == "canceled"
            return [pixel_chunk(await output[0].read()) for output in both]

    assert asyncio.run(run()) == [PICTURE] * 2


def a_file_is_uploaded_and_used_as_the_image():
    data = f"data:image/jpeg;base64,{base64.b64encode(SKETCH.read_bytes()).decode()}"
    expected = read(client.run(MODEL, input=FROM_SKETCH | {"image": data}))
    with SKETCH.open("rb") as file:
        assert read(client.run(MODEL, input=FROM_SKETCH | {"image": file})) == expected
    inline = client.run(MODEL, input=FROM_SKETCH | {"image": SKETCH}, file_encoding_strategy="base64")
    assert read(inline) == expected


def uploaded_files_are_listed_downloaded_and_deleted():
    content = SKETCH.read_bytes()
    file = client.files.create(content=content, filename="sketch.jpg", type="image/jpeg", metadata={"from": "a test"})
    assert (file.name, file.size, file.content_type) == ("sketch.jpg", len(content), "image/jpeg")
    assert file.metadata == {"from": "a test"}
    assert client.files.get(file_id=file.id).checksums.sha256 == hashlib.sha256(content).hexdigest()
    assert file.id in [one.id for one in client.files.list()]
    owner, expiry = client.account.get().username, int(time.time()) + 60
    key = decode_secret(client.webhooks.default.secret.get().key)
    signature = base64.b64encode(hmac.digest(key, f"{owner} {file.id} {expiry}".encode(), "sha256")).decode()
    downloaded = client.files.download(file_id=file.id, owner=owner, expiry=expiry, signature=signature)
    assert downloaded.read() == content
    client.files.delete(file_id=file.id)
    refused(replicate.NotFoundError, "no such file", lambda: client.files.get(file_id=file.id))


def decode_secret(key: str) -> bytes:
    return base64.b64decode(key.removeprefix("whsec_"))


def refused(kind: type[Exception], words: str, call: Any) -> None:
    error = None
    try:
        call()
    except kind as caught:
        error = caught
    assert words in str(error), error


def a_refusal_is_an_error_of_its_kind_with_the_sentence():
    stranger = client.with_options(bearer_token="not-a-token")
    unknown = f"{MODEL}:{'0' * 64}"
    wrong = {"prompt": "x", "seed": "seven"}
    rows = [
        (replicate.UnprocessableEntityError, "input.seed: must be an integer", lambda: client.run(MODEL, input=wrong)),
        (replicate.UnprocessableEntityError, "prompt is required", lambda: client.run(MODEL, input={"seed": 1})),
        (replicate.UnprocessableEntityError, "does not exist", lambda: client.run(unknown, input=APPLE)),
        (replicate.AuthenticationError, "authentication token", lambda: stranger.run(MODEL, input=APPLE)),
        (replicate.NotFoundError, "no model easel/nothing", lambda: client.run("easel/nothing", input=APPLE)),
    ]
    for row in rows:
        refused(*row)


def a_failed_run_is_an_error_with_the_sentence_of_the_model():
    from replicate.exceptions import ModelError

    for wait in (True, False):
        refused(ModelError, WHY, lambda wait=wait: client.run(MODEL, input=BROKEN, wait=wait))


def webhooks_are_signed_with_the_secret_that_the_client_gets():
    """This version has no check of its own, so it is done here as Replicate's documentation says."""
    with receiving() as receiver:
        client.predictions.create(
            version=VERSION, input=APPLE, webhook=receiver.url, webhook_events_filter=["start", "completed"]
        )
        assert [one["status"] for one in receiver.until_completed()] == ["processing", "succeeded"]
    key = decode_secret(client.webhooks.default.secret.get().key)
    for headers, body in receiver.got:
        headers = {name.lower(): value for name, value in headers.items()}
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


def pages_are_followed_to_the_end():
    archive = client.with_options(bearer_token=os.environ["ARCHIVE_TOKEN"])
    found = list(archive.predictions.list())
    assert [int(one.input["prompt"]) for one in found] == list(reversed(range(ARCHIVED)))
    middle = found[100].created_at
    assert len(list(archive.predictions.list(created_after=middle))) == 101
    assert len(list(archive.predictions.list(created_before=middle))) == ARCHIVED - 101


def a_deployment_from_its_making_to_its_end():
    owner, name = client.account.get().username, "of-python-2"
    place = {"deployment_owner": owner, "deployment_name": name}
    made = client.deployments.create(
        name=name, model=MODEL, version=VERSION, hardware="cpu", min_instances=0, max_instances=1
    )
    assert (made.owner, made.name, made.current_release.number) == (owner, name, 1)
    assert name in [one.name for one in client.deployments.list()]
    assert client.deployments.update(**place, max_instances=2).current_release.configuration.max_instances == 2
    prediction = client.deployments.predictions.create(**place, input=APPLE, prefer="wait")
    assert [decode(one) for one in prediction.output] == [PICTURE]
    client.deployments.delete(**place)
    refused(replicate.NotFoundError, "no deployment", lambda: client.deployments.get(**place))


def models_versions_examples_and_hardware():
    place = {"model_owner": OWNER, "model_name": NAME}
    assert client.models.get(**place).latest_version.id == VERSION
    assert MODEL in [f"{one.owner}/{one.name}" for one in client.models.list()]
    assert MODEL in [f"{one.owner}/{one.name}" for one in client.models.search(body="emoji")]
    assert [one.model.name for one in client.search(query="emoji").models] == [NAME]
    assert [one.id for one in client.models.versions.list(**place)] == [VERSION]
    schema = client.models.versions.get(**place, version_id=VERSION).openapi_schema
    assert schema["components"]["schemas"]["Input"]["required"] == ["prompt"]
    assert {one.status for one in client.models.examples.list(**place)} == {"succeeded"}
    assert "emoji" in client.models.readme.get(**place)
    assert "cpu" in [one.sku for one in client.hardware.list()]
    assert list(client.collections.list()) == []


if __name__ == "__main__":
    for line in sys.stdin:
        problem = None
        try:
            globals()[line.strip()]()
        except Exception:
            problem = traceback.format_exc()
        print(json.dumps(problem), flush=True)
