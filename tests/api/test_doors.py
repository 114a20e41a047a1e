"""Who may do what, how much of it, and what odd requests get."""

import asyncio
import os
import stat
import time
from pathlib import Path

import httpx2
import pytest

from easel.api.endpoint import Endpoint
from easel.api.retention import remove_expired
from easel.api.tables import ModelRow, Prediction
from tests.api.calls import MODEL, create, wait_for
from tests.api.inside import TOKENS, open_api
from tests.api.odd_cog import SCHEMA, run_odd_cog
from tests.support.api_process import ask, wait_for_version
from tests.support.fault_server import wait_until

VERSIONS = "/v1/models/test/model/versions"
FIELDS = {"account": "a", "model": "a/m", "version": "v"}


def pushed(*urls: str) -> dict:
    return {"openapi_schema": SCHEMA, "cog_version": "0", "servers": list(urls)}


def test_servers_are_registered_by_a_token_only_if_the_command_line_says_so(new_api, cog):
    api = new_api(cog.url)
    status, problem = ask(api, "POST", VERSIONS, pushed("http://127.0.0.1:9"))
    assert (status, "--allow-push" in problem["detail"]) == (403, True)
    assert ask(api, "POST", VERSIONS, pushed())[0] == 201


def test_what_was_pushed_when_it_was_allowed_is_no_server_when_it_is_not(new_api, cog):
    api = new_api(cog.url, allow_push=True)
    with run_odd_cog() as odd:
        assert ask(api, "POST", VERSIONS, pushed(odd.url))[0] == 201
        api.stop()
        api.start()
        assert odd.url in ask(api, "GET", "/health")[1]["servers"]
        api.stop()
        del api.options["allow_push"]
        api.start()
        assert set(ask(api, "GET", "/health")[1]["servers"]) == {cog.url}


def test_a_version_has_at_most_eight_servers_and_nobody_asks_them_any_more_when_it_is_gone(api):
    assert ask(api, "POST", VERSIONS, pushed(*[f"http://127.0.0.1:{port}" for port in range(1, 10)]))[0] == 422
    with run_odd_cog() as odd:
        body = {"owner": "a", "name": "pushed", "visibility": "public", "hardware": "cpu"}
        assert ask(api, "POST", "/v1/models", body)[0] == 201
        status, version = ask(api, "POST", "/v1/models/a/pushed/versions", pushed(odd.url, f"{odd.url}/"))
        assert status == 201
        wait_until(lambda: ask(api, "GET", "/health")[1]["servers"].get(odd.url) == "READY", 10)
        assert ask(api, "DELETE", f"/v1/models/a/pushed/versions/{version['id']}")[0] == 202
        assert odd.url not in ask(api, "GET", "/health")[1]["servers"]
        assert odd.url.encode() not in metrics(api.url)
        asked = len(odd.asked)
        time.sleep(1.5)  # a poll is one a second
        assert len(odd.asked) <= asked + 1


def metrics(url: str) -> bytes:
    with httpx2.Client(trust_env=False) as client:
        return client.get(f"{url}/metrics").content


@pytest.mark.parametrize("part", [{"type": "array", "uniqueItems": True}, {"patternProperties": {"^(a+)+$": {}}}])
def test_an_accounts_schema_with_a_costly_keyword_is_refused(api, part):
    schema = {"components": {"schemas": {"Input": {"type": "object", "properties": {"a": part}}}}}
    status, problem = ask(api, "POST", VERSIONS, {"openapi_schema": schema, "cog_version": "0"})
    assert (status, "is not a keyword" in problem["detail"]) == (422, True)
    for odd in ({"components": []}, {"components": {"schemas": {"Input": {"properties": []}}}}):
        assert ask(api, "POST", VERSIONS, {"openapi_schema": odd, "cog_version": "0"})[0] == 422


def test_addresses_that_a_model_must_not_open_are_refused_before_they_are_accepted(api):
    for address in ("/etc/passwd", "http://example.com/a", "https://127.0.0.1/", f"{api.url}/v1/account"):
        status, problem = ask(api, "POST", MODEL, {"input": {"file": address}})
        assert (status, problem["invalid_fields"][0]["field"]) == (422, "input.file"), address
    assert ask(api, "POST", MODEL, {"input": {"file": "data:text/plain,a", "text": "/etc/passwd"}})[0] == 201


async def upload(
    client: httpx2.AsyncClient, content: bytes = b"content", name: str = "a.txt", **more
) -> httpx2.Response:
    return await client.post("/v1/files", files={"content": (name, content, "text/plain")}, **more)


def test_an_upload_that_is_deleted_or_of_somebody_else_is_no_input(api):
    async def check() -> None:
        headers = {"Authorization": f"Bearer {api.token}"}
        async with httpx2.AsyncClient(base_url=api.url, headers=headers, trust_env=False) as client:
            address = (await upload(client)).json()["urls"]["get"]
            busy = create(api, seconds=1)["id"]
            waiting = create(api, file=address)["id"]
            assert (await client.delete(address)).status_code == 204
            status, problem = ask(api, "POST", MODEL, {"input": {"file": address}})
            assert (status, "input.file: this file is not here any more" in problem["detail"]) == (422, True)
            wait_for(api, busy)
            failed = wait_for(api, waiting)
            assert (failed["status"], failed["error"][:47]) == (
                "failed",
                "input.file: this file is not here any more: it ",
            )

    asyncio.run(check())


def test_the_data_are_for_their_owner_alone(new_api, cog):
    api = new_api(cog.url)
    assert stat.S_IMODE(api.folder.stat().st_mode) == 0o700


def test_strangers_hear_nothing_of_accounts_where_others_than_this_machine_may_ask(new_api, cog):
    api = new_api(cog.url, host="0.0.0.0")
    with httpx2.Client(base_url=api.url, trust_env=False) as stranger:
        assert stranger.get("/health").json() == {"status": "ok"}
        assert stranger.get("/metrics").status_code == 401
    assert ask(api, "GET", "/health")[1]["servers"] == {cog.url: "READY"}


@pytest.mark.parametrize(
    ("path", "headers", "wanted"),
    [
        ("/v1/predictions?cursor=W3RydWUsIDFlOTk5LCAiYSJd", {}, 400),
        ("/v1/predictions?cursor=%C3%A9", {}, 400),
        ("/v1/predictions?created_after=0001-01-01T00:00:00%2B23:59", {}, 200),
        ("/v1/predictions?created_after=" + "9" * 5000, {}, 400),
        ("/v1/predictions", {"Host": "[::1"}, 400),
        ("/v1/predictions", {"Host": "a b"}, 400),
        ("/nothing", {"Host": "["}, 404),
        ("/delivery/a/" + "n" * 5000, {}, 404),
        ("/delivery/" + "n" * 5000 + "/a", {}, 404),
        ("/v1/files/" + "n" * 5000, {}, 404),
        ("/v1/files/" + "n" * 5000 + "/download?owner=" + "o" * 5000, {}, 404),
        ("/v1/models/a/" + "n" * 5000, {}, 404),
        ("/v1/search?query=" + "n" * 5000, {}, 400),
    ],
)
def test_an_odd_request_is_answered_in_words(tmp_path, path, headers, wanted):
    async def status() -> int:
        async with open_api(tmp_path) as (_, client):
            return (await client.get(path, headers=headers)).status_code

    assert asyncio.run(status()) == wanted


def test_odd_uploads_are_refused_and_the_list_goes_on(tmp_path):
    async def check() -> None:
        async with open_api(tmp_path) as (_, client):
            for details in ("[" * 5000, '{"a": NaN}', '{"a": "\\u0000"}', "[]", '{"a": "\\ud800"}'):
                assert (await upload(client, data={"metadata": details})).status_code == 400, details
            assert (await upload(client, name="n" * 1000)).status_code == 400
            for kind in ("text/plain\x7f", "t" * 1000):
                answer = await client.post("/v1/files", files={"content": ("a", b"x")}, data={"type": kind})
                assert answer.status_code == 400
            assert (await upload(client, data={"metadata": '{"a": 1}'})).status_code == 201
            assert len((await client.get("/v1/files")).json()["results"]) == 1
            long = {"owner": "a", "name": "n" * 101, "visibility": "public", "hardware": "cpu"}
            assert (await client.post("/v1/models", json=long)).status_code == 422

    asyncio.run(check())


def test_an_accounts_uploads_have_a_limit_that_is_not_anothers(tmp_path):
    async def statuses() -> list[int]:
        async with open_api(tmp_path, max_account_bytes=8000) as (api, client):
            found = [(await upload(client, bytes(60))).status_code for _ in range(2)]
            found.append((await upload(client, bytes(60), headers={"Authorization": "Bearer token-of-b"})).status_code)
            assert len(list(api.outputs.uploads.iterdir())) == 2
            return found

    assert asyncio.run(statuses()) == [201, 413, 201]
    assert set(TOKENS.values()) == {"a", "b"}


def test_a_full_disk_is_told_and_takes_nothing(tmp_path):
    async def check() -> None:
        async with open_api(tmp_path, least_free_bytes=10**18) as (_, client):
            assert (await client.post("/v1/predictions", json={"input": {}})).status_code == 507
            answer = await upload(client)
            assert (answer.status_code, answer.json()["title"]) == (507, "Insufficient storage")
            health = await client.get("/health")
            assert (health.status_code, health.json()["status"]) == (503, "disk full")
            assert (await client.get("/v1/predictions")).status_code == 200

    asyncio.run(check())


def test_a_disk_that_is_full_all_of_a_sudden_is_507_too(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full, which answers ENOSPC to every write")

    async def write(api, request) -> None:
        Path("/dev/full").write_bytes(b"x")

    async def check() -> None:
        async with open_api(tmp_path) as (api, _):
            transport = httpx2.ASGITransport(app=Endpoint(api, write, "/", None, 1000))
            async with httpx2.AsyncClient(transport=transport, base_url="http://a") as client:
                answer = await client.get("/")
                assert (answer.status_code, "is full" in answer.json()["detail"]) == (507, True)

    asyncio.run(check())


def test_rows_go_after_their_time_and_files_without_a_row(tmp_path):
    async def left() -> set[str]:
        async with open_api(tmp_path) as (api, _):
            day, present = 86400, time.time()
            rows = {
                "old": {"completed_at": present - 31 * day},
                "young": {"completed_at": present - 29 * day},
                "example": {"completed_at": present - 31 * day, "source": "web"},
                "told": {"completed_at": present - 31 * day, "webhook_pending": True},
            }
            for name, values in rows.items():
                row = (
                    {"status": "succeeded", "created_at": 1.0, "data_removed": True, "source": "api"} | FIELDS | values
                )
                await api.database.save(Prediction(id=name, **row))
            await api.database.save(Prediction(id="waits", status="starting", created_at=1.0, **FIELDS))
            for name in ("orphan", "young", "recent"):
                api.outputs.put(name, "in-0.png", b"x")
                if name != "recent":
                    os.utime(tmp_path / "outputs" / name, (1, 1))
            await remove_expired(api.database, api.outputs, api.settings)
            assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"young", "recent"}
            assert await api.database.find(ModelRow) == []
            return {row.id for row in await api.database.find(Prediction)}

    assert asyncio.run(left()) == {"young", "example", "told", "waits"}


def test_one_account_leaves_room_in_the_queue_for_another(new_api, cog):
    api = new_api(cog.url, tokens=TOKENS, max_queue=4, rate_limit=0)
    wait_for_version(api, "test/model")
    busy = create(api, seconds=3)["id"]
    wait_for(api, busy, "processing")
    assert [ask(api, "POST", MODEL, {"input": {}})[0] for _ in range(3)] == [201, 201, 429]
    api.token = "token-of-b"
    assert [ask(api, "POST", MODEL, {"input": {}})[0] for _ in range(3)] == [201, 201, 429]
