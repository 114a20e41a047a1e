"""What a client was told stays true: a final state is on disk first, and nothing is run twice."""

import asyncio
import sqlite3
import subprocess
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import text as sql

from easel.api import database_lock, dispatcher
from easel.api.active import ActivePrediction
from easel.api.database import Database
from easel.api.own_server import OwnServer
from easel.api.settings import secret_of
from easel.api.tables import Prediction
from easel.errors import InputError
from easel.local.client import ServerError
from easel.local.server import Server, run_server
from tests.api.conftest import RUNNER
from tests.api.inside import open_api
from tests.api.odd_cog import run_odd_cog
from tests.api.test_cancels import READY, Pair, open_pair, state_is, until

END_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


def row(**changes) -> Prediction:
    given = {"id": 26 * "a", "account": "a", "model": "test/model", "version": "v", "logs": ""}
    return Prediction(**given | {"created_at": time.time()} | changes)


def test_an_end_is_shown_only_when_it_is_on_disk(tmp_path):
    async def go() -> None:
        async with open_pair(tmp_path) as pair:
            identity = await pair.create()
            await until(lambda: identity in pair.odd.given)
            await until(lambda: status_is(pair, identity, "processing"))
            other = sqlite3.connect(tmp_path / "easel.db", timeout=60, check_same_thread=False)
            await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")  # the API may be writing just now
            telling = asyncio.create_task(pair.end(identity, "succeeded"))
            await until(lambda: pair.api.lifecycle.active[identity].ending)
            await asyncio.sleep(0.3)
            assert (await pair.show(identity))["status"] == "processing"
            listed = (await pair.client.get("/v1/predictions")).json()["results"]
            assert [one["status"] for one in listed] == ["processing"]
            other.rollback()
            other.close()
            assert (await pair.end_of(identity))["status"] == "succeeded"
            await telling

    asyncio.run(go())


async def status_is(pair: Pair, identity: str, status: str) -> bool:
    return (await pair.show(identity))["status"] == status


@pytest.mark.parametrize("status", ["starting", "processing"])
def test_what_was_given_to_a_server_and_is_not_there_after_a_restart_ends_in_words(tmp_path, monkeypatch, status):
    monkeypatch.setattr(dispatcher, "LOST_S", 0.1)

    async def go() -> None:
        with run_odd_cog() as odd:
            servers = (("test/model", odd.url),)
            async with open_api(tmp_path, servers=servers) as (api, _):
                await api.database.save(row(status=status, server=odd.url))
            async with open_api(tmp_path, servers=servers) as (api, client):
                ended = await Pair(api, client, odd).end_of(row().id)
            assert ended["status"] == "failed"
            assert ended["error"].startswith("The server that ran this prediction ended before it did")
            assert odd.begun == []

    asyncio.run(go())


@pytest.mark.parametrize("late", ["status", "server"])
def test_a_late_save_of_what_was_takes_no_end_back(tmp_path, late):
    """As when the database was locked at one moment and not at the next."""

    async def go() -> None:
        async with open_pair(tmp_path) as pair:
            await pair.api.database.save(row(status="canceled", completed_at=1.0))
            run = ActivePrediction(row())
            if late == "status":
                await pair.api.lifecycle.started(run, pair.api.servers._servers[pair.odd.url])
            else:
                await pair.api.database.set_with_retry(Prediction, run.id, server="http://127.0.0.1:1")
            assert (await pair.show(run.id))["status"] == "canceled"

    asyncio.run(go())


def test_durations_do_not_follow_the_wall_clock(monkeypatch):
    run = ActivePrediction(row(created_at=time.time() - 10, started_at=time.time() - 4))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    metrics = run.final("succeeded", None, None, None).metrics
    assert metrics["total_time"] == pytest.approx(10, abs=1)
    assert metrics["predict_time"] == pytest.approx(4, abs=1)


def test_a_final_copy_changes_nothing_of_what_is_shown():
    run = ActivePrediction(row())
    done = run.final("canceled", None, None, None)
    assert (run.prediction.status, done.status) == (None, "canceled")
    run.publish(done)
    assert run.prediction.status == "canceled"


@pytest.mark.parametrize("content", ["", "abc", "0" * 63, "z" * 64, "0" * 64 + "\n", "\0" * 64])
def test_a_secret_that_is_empty_or_cut_short_is_refused(tmp_path, content):
    (tmp_path / "secret").write_text(content)
    with pytest.raises(InputError, match="must hold 64 hexadecimal digits"):
        secret_of(tmp_path)


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path):
    secret = secret_of(tmp_path)
    assert secret_of(tmp_path) == secret
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


async def end_other_connections(database: Database) -> None:
    """As a restart of the database does."""
    async with database._engine.connect() as connection:
        await connection.execute(sql(END_OTHERS))


def test_a_lock_that_went_with_the_database_is_taken_again(postgres, monkeypatch):
    monkeypatch.setattr(database_lock, "WATCH_S", 0.05)
    monkeypatch.setattr(database_lock, "TRIES", 3)

    async def go() -> None:
        database, helper, other = Database(postgres), Database(postgres), Database(postgres)
        await database.open()
        watch = asyncio.create_task(database.stay_alone())
        await end_other_connections(helper)
        await asyncio.sleep(1)
        with pytest.raises(InputError, match="Another `easel api` works with this database"):
            await other.open()
        assert not watch.done()
        watch.cancel()
        for one in (database, helper, other):
            await one.close()

    asyncio.run(go())


def test_one_whose_lock_another_has_taken_meanwhile_ends(postgres, monkeypatch):
    monkeypatch.setattr(database_lock, "TRIES", 3)

    async def go() -> None:
        database, helper, other = Database(postgres), Database(postgres), Database(postgres)
        await database.open()
        await end_other_connections(helper)
        await other.open()
        monkeypatch.setattr(database_lock, "WATCH_S", 0.01)
        with pytest.raises(InputError, match="Another `easel api` works with this database"):
            await asyncio.wait_for(database.stay_alone(), 20)
        for one in (database, helper, other):
            await one.close()

    asyncio.run(go())


def test_a_server_of_its_own_that_is_stuck_is_restarted(tmp_path):
    async def go() -> None:
        with run_odd_cog() as odd, subprocess.Popen(["sleep", "60"], start_new_session=True) as process:

            @contextmanager
            def start():
                odd.health = READY
                yield Server(odd.url, process)

            own = OwnServer(odd.url, start, process)
            async with open_api(tmp_path, own_servers=[own], servers=(("test/model", odd.url),)) as (api, client):
                pair = Pair(api, client, odd)
                odd.health = b'{"status": "UNHEALTHY", "setup": {"started_at": "now"}}'
                await until(lambda: process.poll() is not None)
                await until(lambda: state_is(pair, "READY"))
            await asyncio.to_thread(own.close)

    asyncio.run(go())


def test_a_restarted_server_has_the_same_address_and_is_another_process(tmp_path):
    with run_server(RUNNER, timeout=60) as server:
        port = int(server.url.rpartition(":")[2])
        pids = [server.process.pid]

        @contextmanager
        def start():
            with run_server(RUNNER, port, timeout=60) as again:
                pids.append(again.process.pid)
                assert again.url == server.url
                yield again

        own = OwnServer(server.url, start, server.process)
        own.restart()
        own.close()
    assert len(set(pids)) == 2


@pytest.mark.parametrize("problem", [ServerError("no such model"), OSError("no memory")])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_server_that_cannot_be_started_again(problem):
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:

        @contextmanager
        def start():
            raise problem
            yield

        own = OwnServer("http://127.0.0.1:1", start, process)
        own.restart()
        own.close()
        assert process.poll() is not None
