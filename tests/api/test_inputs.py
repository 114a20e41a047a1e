"""Inputs by themselves: schemas of accounts, addresses, large ones as files, room in the queue, the way to a server."""

import asyncio
import base64
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from easel.api.database import Database
from easel.api.database_errors import DiskFullError, RowRefusedError
from easel.api.input_files import LARGE_URL, Size, as_text, keep_files, size_of
from easel.api.input_urls import check_uris
from easel.api.outputs import FILE, PIECE, OutputError, Outputs
from easel.api.problems import Problem
from easel.api.queue_limits import QueueLimits
from easel.api.request_body import CHUNK, Body, FileUrl
from easel.api.schemas import UnfitSchema, check_schema, is_schema
from easel.api.tables import ModelRow
from easel.api.validation import check_input

OPENAPI = json.loads((Path(__file__).resolve().parents[2] / "openapi.json").read_text())


def document(**properties: object) -> dict:
    return {"components": {"schemas": {"Input": {"type": "object", "properties": properties}}}}


def test_easels_own_schema_is_one_that_an_account_may_send():
    check_schema(OPENAPI, sent=True)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "array", "uniqueItems": True},
        {"type": "object", "patternProperties": {"^(a+)+$": {}}},
        {"type": "array", "items": {"not": {}}},
        {"dependencies": {}},
        {"format": "uri", "$schema": "x"},
        {"type": "nonsense"},
        {"minimum": "1"},
        {"enum": list(range(1001))},
        {"anyOf": [{"type": "string"}] * 3000},
        {"items": 5, "type": 5},
        {"$ref": "#/components/schemas/Input"},
        7,
    ],
)
def test_a_schema_with_what_costs_more_than_its_length_or_is_none_is_refused(part):
    with pytest.raises(UnfitSchema):
        check_schema(document(a=part), sent=True)


def test_a_servers_schema_is_used_without_what_is_not_checked_here():
    odd = document(a={"type": "array", "uniqueItems": True, "patternProperties": {"(a+)+$": {}}})
    assert is_schema(odd)
    assert check_input({"a": [{}] * 3000}, odd) == []
    for nothing in (None, [], {}, {"components": []}, {"components": {"schemas": {"Input": []}}}, document(a=[])):
        assert not is_schema(nothing)
    assert not is_schema({"components": {"schemas": {"Input": {"type": "array"}}}})


def test_at_most_twenty_errors_and_unknown_names_are_told():
    with pytest.raises(Problem) as problem:
        check_input({"prompt": "a", "lora_weights": [1] * 1000}, OPENAPI)
    assert len(problem.value.extra["invalid_fields"]) == 20
    assert len(check_input({"prompt": "a"} | {f"name {k}": k for k in range(1000)}, OPENAPI)) == 20


def test_an_input_costs_no_more_than_its_schema_allows():
    large = document(a={"anyOf": [{"enum": list(range(900))}] * 10})
    with pytest.raises(Problem) as problem:
        check_input({"a": list(range(200))}, large)
    assert problem.value.status == 413


URIS = document(
    file={"type": "string", "format": "uri"},
    more={"type": "array", "items": {"type": "string", "format": "uri"}},
    either={"anyOf": [{"type": "string", "format": "uri"}, {"type": "integer"}]},
    text={"type": "string"},
)


@pytest.mark.parametrize(
    "address",
    [
        "/etc/passwd", "file:///etc/passwd", "passwd", "../secret", "http://example.com/a.png", "ftp://example.com/a",
        "https://127.0.0.1/a", "https://2130706433/a", "https://0x7f.1/a", "https://0177.0.0.1/", "https://127.1/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest", "https://10.0.0.1:8080/",
        "https://localhost/", "https://LOCALHOST./", "https://a.localhost/", "https://db/", "https://x.internal/",
        "https://printer.local/", "https://", "https://[", "https://a.b:port/", "https://a.b\\@127.0.0.1/", "", " ",
        "https://good.example @127.0.0.1/", "https://user@127.0.0.1/", "HTTPS://127.0.0.1/", "https://\uff11\uff12\uff17.0.0.1/",
    ],
)  # fmt: skip
def test_an_address_that_no_model_may_open_is_refused(address):
    for given in ({"file": address}, {"more": ["https://example.com/", address]}, {"either": address}):
        with pytest.raises(Problem) as problem:
            check_uris(given, URIS, lambda _: False)
        assert problem.value.status == 422
        assert problem.value.extra["invalid_fields"][0]["field"].startswith("input.")
    check_uris({"text": address, "unknown": address}, URIS, lambda _: False)


def test_an_address_that_may_be_opened_is_not():
    for address in ("https://example.com/a.png?x=1", "https://1.1.1.1/a", "data:text/plain,a", "data:", "own:1"):
        check_uris({"file": address, "more": [address], "either": 5}, URIS, lambda text: text.startswith("own:"))
    with pytest.raises(Problem) as problem:
        check_uris({"file": "http://a.b/c?signature=secret"}, URIS, lambda _: False)
    assert "secret" not in problem.value.detail


def test_large_data_urls_become_files_and_small_ones_stay(tmp_path):
    outputs = Outputs(tmp_path)
    content = bytes(range(256)) * 5000
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    given = {"image": url, "more": ["data:,small", url], "seed": 7}
    kept, size = keep_files(outputs, "one", given)
    assert kept == {"image": {FILE: "in-0.png"}, "more": ["data:,small", {FILE: "in-1.png"}], "seed": 7}
    assert outputs.path("one", "in-0.png").read_bytes() == content
    assert size == Size(len(json.dumps(kept)), 2 * len(content)) == size_of(outputs, "one", kept)
    assert as_text(kept) == {"image": "data:", "more": ["data:,small", "data:"], "seed": 7}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("data:image/png;base64," + "!" * LARGE_URL, 422),
        ("data:image/png;base64," + "A" * (PIECE - 4) + "AAA=" + "A" * 8, 422),
        ("data:text/plain," + "a" * LARGE_URL, 422),
        ({FILE: "../../secret"}, 422),
        ([{"deep": {FILE: "in-0.png", "x": 1}}], 422),
        ("a" * 300_000, 413),
    ],
)
def test_what_is_neither_a_file_nor_small_is_refused(tmp_path, value, status):
    with pytest.raises(Problem) as problem:
        keep_files(Outputs(tmp_path), "one", {"a": value})
    assert problem.value.status == status


def test_an_output_without_end_is_refused_and_a_false_file_is_a_text(tmp_path):
    outputs = Outputs(tmp_path)
    with pytest.raises(OutputError, match="more than 4 MB"):
        outputs.save("one", ["x" * 5_000_000])
    assert as_text({FILE: 5}) == {FILE: 5}
    assert outputs.path("one", "x" * 5000) is None
    assert outputs.path("1" * 5000, "x") is None
    assert outputs.upload("x" * 5000) is None
    assert outputs.upload("../secret") is None


def test_each_account_has_its_own_share_of_the_queue_in_number_and_in_bytes():
    room = QueueLimits(accounts=2, predictions=4, rows=1000, files=10_000)
    waiting = [SimpleNamespace(account="a", size=Size(100, 1000)) for _ in range(2)]
    with pytest.raises(Problem, match="2 predictions wait"):
        room.check("a", Size(), waiting)
    room.check("b", Size(5000, 50_000), waiting)  # one always may
    waiting.append(SimpleNamespace(account="b", size=Size(1, 1)))
    with pytest.raises(Problem, match="queue is full"):
        room.check("b", Size(501, 0), waiting)
    with pytest.raises(Problem, match="MB of files wait") as problem:
        room.check("b", Size(1, 5001), waiting)
    assert (problem.value.status, "Retry-After" in problem.value.response().headers) == (429, True)


def test_a_body_for_a_server_streams_its_files(tmp_path):
    async def pieces(body: Body) -> list[bytes]:
        return [piece async for piece in body]

    contents = [b"", b"a", b"ab", bytes(range(256)) * (CHUNK // 256) + b"abcd"]
    for k, content in enumerate(contents):
        (tmp_path / str(k)).write_bytes(content)
    files = [FileUrl(tmp_path / str(k), "image/png") for k in range(len(contents))]
    body = Body({"input": {"a": files[3], "b": ['"\\', files[0], files[1]], "c": files[2]}, "n": 1})
    found = asyncio.run(pieces(body))
    assert len(b"".join(found)) == body.length
    assert max(map(len, found)) <= 4 * CHUNK // 3
    urls = [f"data:image/png;base64,{base64.b64encode(one).decode()}" for one in contents]
    assert json.loads(b"".join(found)) == {"input": {"a": urls[3], "b": ['"\\', *urls[:2]], "c": urls[2]}, "n": 1}


def test_a_row_that_the_database_refuses_is_told_from_one_that_is_locked(tmp_path):
    async def save(**values: object) -> None:
        database = Database(f"sqlite:///{tmp_path / 'db'}")
        await database.open()
        try:
            await database.save_with_retry(ModelRow(key="a/b", created_at=1.0, **values))
        finally:
            await database.close()

    for odd in ({"readme": "\ud800"}, {"readme": object()}, {"run_count": 2**70}):
        with pytest.raises(RowRefusedError):
            asyncio.run(asyncio.wait_for(save(**odd), 20))


def test_a_full_disk_of_the_database_is_told_from_a_lock(tmp_path):
    async def save() -> None:
        database = Database(f"sqlite:///{tmp_path / 'db'}")
        await database.open()
        event.listen(
            database._engine.sync_engine, "begin", lambda one: one.exec_driver_sql("PRAGMA max_page_count = 1")
        )
        try:
            await database.save(ModelRow(key="a/b", created_at=1.0, readme="x" * 1_000_000))
        finally:
            await database.close()

    with pytest.raises(DiskFullError):
        asyncio.run(save())


def test_a_change_writes_the_columns_that_changed(tmp_path):
    async def statements() -> list[str]:
        database, seen = Database(f"sqlite:///{tmp_path / 'db'}"), []
        await database.open()
        event.listen(database._engine.sync_engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
        model = ModelRow(key="a/b", created_at=1.0, readme="long")
        await database.save(model)
        model.run_count = 5
        await database.save(model)
        await database.close()
        return [one for one in seen if one.startswith("UPDATE")]

    assert asyncio.run(statements()) == ['UPDATE models SET run_count=? WHERE models."key" = ?']
