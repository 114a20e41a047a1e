"""Whose trainings are whose, and what an API says that cannot train; in the test's own process, without a trainer."""

import asyncio
import copy
import threading
from contextlib import asynccontextmanager, contextmanager

from easel.api.own_server import OwnServer
from easel.local.client import ServerError
from easel.schema.openapi import openapi
from tests.api.inside import open_api
from tests.api.training_calls import IMAGES, ROOT

OF_B = {"Authorization": "Bearer token-of-b"}
MODEL = {"visibility": "public", "hardware": "cpu"}


def start():
    raise ServerError("There is no memory for it.")


@asynccontextmanager
async def opened(folder, model="model", start=start):
    """The API, where nothing that trains ever starts, its client, and the path of a version's trainings."""
    server = (model, OwnServer("http://127.0.0.1:1", start)) if model else None
    async with open_api(folder, training_server=server) as (api, client):
        for owner, name, headers in (("a", "model", {}), ("a", "mine", {}), ("b", "mine", OF_B)):
            answer = await client.post("/v1/models", json=MODEL | {"owner": owner, "name": name}, headers=headers)
            assert answer.status_code == 201
        body = {"openapi_schema": copy.deepcopy(openapi(ROOT / "predict.py")), "cog_version": "0.23.1"}
        version = await client.post("/v1/models/a/model/versions", json=body)
        yield api, client, f"/v1/models/a/model/versions/{version.json()['id']}/trainings"


def training(destination="a/mine"):
    return {"destination": destination, "input": {"input_images": IMAGES}}


def test_a_training_and_its_destination_are_one_accounts(tmp_path):
    async def run():
        async with opened(tmp_path) as (_, client, path):
            assert (await client.post(path, json=training("b/mine"))).status_code == 404
            made = await client.post(path, json=training("b/mine"), headers=OF_B)
            assert made.status_code == 201
            address = f"/v1/trainings/{made.json()['id']}"
            assert (await client.get(address)).status_code == 404
            assert (await client.post(f"{address}/cancel")).status_code == 404
            assert (await client.get("/v1/trainings")).json()["results"] == []
            (one,) = (await client.get("/v1/trainings", headers=OF_B)).json()["results"]
            assert one["id"] == made.json()["id"]

    asyncio.run(run())


def test_one_whose_server_does_not_start_fails_in_words(tmp_path):
    async def run():
        async with opened(tmp_path) as (_, client, path):
            one = (await client.post(path, json=training())).json()
            while one["status"] not in ("failed", "succeeded"):
                await asyncio.sleep(0.05)
                one = (await client.get(f"/v1/trainings/{one['id']}")).json()
            assert (one["status"], one["output"]) == ("failed", None)
            assert "could not be started" in one["error"]

    asyncio.run(run())


def test_an_api_that_trains_another_model_or_none_says_so(tmp_path):
    async def run(folder, model, words):
        async with opened(folder, model) as (_, client, path):
            answer = await client.post(path, json=training())
            assert (answer.status_code, words in answer.json()["detail"]) == (422, True)
            assert not list((folder / "outputs").iterdir())

    for model, words in (("other", "a/model cannot be trained here: only other can be"), ("", "none can be")):
        (tmp_path / f"data-{model}").mkdir()
        asyncio.run(run(tmp_path / f"data-{model}", model, words))


def test_a_version_that_a_training_uses_is_not_deleted(tmp_path):
    async def run():
        async with opened(tmp_path) as (api, client, path):
            await api.trainer.close()  # so that it waits
            one = (await client.post(path, json=training())).json()
            assert (await client.delete(path.removesuffix("/trainings"))).status_code == 409
            await client.post(f"/v1/trainings/{one['id']}/cancel")
            assert (await client.delete(path.removesuffix("/trainings"))).status_code == 202

    asyncio.run(run())


def test_an_api_that_ends_waits_for_no_trainer_that_starts(tmp_path):
    starting, let_go, waited = threading.Event(), threading.Event(), threading.Event()

    @contextmanager
    def slow():
        starting.set()
        let_go.wait(20)
        waited.set()
        raise ServerError("It was too slow.")
        yield

    async def run():
        async with opened(tmp_path, start=slow) as (_, client, path):
            await client.post(path, json=training())
            await asyncio.to_thread(starting.wait)

    asyncio.run(run())  # which waits for its threads
    try:
        assert not waited.is_set()
    finally:
        let_go.set()
