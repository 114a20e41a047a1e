"""What is accepted ends, whatever dies: the API, a server, the database's patience. On SQLite and on Postgres."""

import http.client
import json
import sqlite3
import threading
import time

import pytest

from tests.api.calls import MODEL, create, show, wait_for
from tests.api.conftest import second_cog
from tests.support.api_process import ask


@pytest.fixture(params=["sqlite", "postgres"])
def database(request) -> dict[str, str]:
    return {} if request.param == "sqlite" else {"DATABASE_URL": request.getfixturevalue("postgres")}


def test_killed_while_one_runs_and_three_wait_all_four_succeed(new_api, cog, database):
    api = new_api(cog.url, environment=database)
    running = create(api, text="0", seconds=2)["id"]
    wait_for(api, running, "processing")
    waiting = [create(api, text=str(k))["id"] for k in range(1, 4)]
    api.kill()
    api.start()
    done = [wait_for(api, one) for one in (running, *waiting)]
    assert [one["status"] for one in done] == ["succeeded"] * 4
    assert [one["started_at"] for one in done] == sorted(one["started_at"] for one in done)


def test_one_that_ended_while_the_api_was_down_is_not_lost(new_api, cog, database):
    api = new_api(cog.url, environment=database)
    identity = create(api, seconds=0.5)["id"]
    wait_for(api, identity, "processing")
    api.kill()
    time.sleep(1.5)  # it ends; Cog tells of it again and again
    api.start()
    assert wait_for(api, identity)["status"] == "succeeded"


def test_a_stop_in_order_loses_nothing_either(new_api, cog):
    api = new_api(cog.url)
    identity = create(api, seconds=1)["id"]
    wait_for(api, identity, "processing")
    assert api.stop() == 143
    api.start()
    assert wait_for(api, identity)["status"] == "succeeded"


def test_the_prediction_of_a_server_that_dies_fails_in_words_and_the_next_goes_elsewhere(new_api, cog):
    with second_cog() as other:
        api = new_api(other.url, rate_limit=0)
        identity = create(api, seconds=30)["id"]
        wait_for(api, identity, "processing")
        waiting = create(api, text="next")["id"]
        other.process.kill()
        failed = wait_for(api, identity)
        assert failed["status"] == "failed"
        assert failed["error"].startswith("The server that ran this prediction ended before it did")
        assert show(api, waiting)["status"] == "starting"
        api.stop()
        api.servers = [f"test/model={cog.url}"]
        api.start()
        assert wait_for(api, waiting)["status"] == "succeeded"


def test_a_model_that_dies_fails_its_prediction_in_words(new_api):
    with second_cog() as other:
        api = new_api(other.url)
        failed = wait_for(api, create(api, end="dead")["id"])
        assert failed["status"] == "failed"
        assert "died, most often for lack of memory" in failed["error"]


def test_a_server_that_is_restarted_gets_what_waited(new_api):
    with second_cog() as other:
        api = new_api(other.url)
        port = int(other.url.rpartition(":")[2])
    waiting = create(api, text="later")["id"]
    time.sleep(0.3)
    assert show(api, waiting)["status"] == "starting"
    with second_cog(port):
        assert wait_for(api, waiting)["status"] == "succeeded"


def test_a_locked_database_accepts_nothing_and_loses_nothing(new_api, cog):
    api = new_api(cog.url)
    identity = create(api, seconds=1)["id"]
    wait_for(api, identity, "processing")
    other = sqlite3.connect(api.folder / "easel.db")
    other.execute("BEGIN IMMEDIATE")
    status, problem = ask(api, "POST", MODEL, {"input": {}})
    assert (status, "database is locked" in problem["detail"]) == (503, True)
    other.rollback()
    other.close()
    assert wait_for(api, identity)["status"] == "succeeded"
    assert len(ask(api, "GET", "/v1/predictions")[1]["results"]) == 1


def test_a_caller_that_goes_away_loses_nothing(api):
    answers: list = []
    caller = threading.Thread(
        target=lambda: answers.append(ask(api, "POST", MODEL, {"input": {"seconds": 1}}, Prefer="wait")), daemon=True
    )
    caller.start()
    connection = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=5)
    headers = {"Authorization": f"Bearer {api.token}", "Prefer": "wait", "Content-Type": "application/json"}
    connection.request("POST", MODEL, json.dumps({"input": {"text": "alone"}}), headers)
    time.sleep(0.1)
    connection.close()
    caller.join()
    newest = ask(api, "GET", "/v1/predictions")[1]["results"][:2]
    alone = next(one for one in newest if one["input"].get("text") == "alone")
    assert wait_for(api, alone["id"])["status"] == "succeeded"
