"""Large inputs as files, hostile bodies and rows, against a real API."""

import base64
import json
import sqlite3
import urllib.request

import pytest

from tests.api.calls import MODEL, create, show, wait_for
from tests.support.api_process import ask, wait_for_version
from tests.support.fault_server import wait_until

CONTENT = b"large " * 50_000
URL = f"data:text/plain;base64,{base64.b64encode(CONTENT).decode()}"


def test_a_large_input_is_a_file_in_rows_lists_and_documents_and_reaches_the_model(api):
    made = create(api, file=URL, text="a ")
    address = made["input"]["file"]
    assert address == f"{api.url}/delivery/{made['id']}/in-0.txt"
    done = wait_for(api, made["id"])
    assert urllib.request.urlopen(done["output"][0]).read() == b"a " + CONTENT
    assert urllib.request.urlopen(address).read() == CONTENT
    assert done["input"]["file"] == address
    with urllib.request.urlopen(
        urllib.request.Request(f"{api.url}/v1/predictions", headers={"Authorization": f"Bearer {api.token}"})
    ) as answer:
        assert len(answer.read()) < len(URL)
    rows = sqlite3.connect(api.folder / "easel.db")
    (row,) = rows.execute("SELECT input FROM predictions WHERE id = ?", (made["id"],)).fetchall()
    assert json.loads(row[0])["file"] == {"easel:file": "in-0.txt"}
    rows.close()
    again = wait_for(api, create(api, file=address)["id"])  # an input as an input
    assert urllib.request.urlopen(again["output"][0]).read() == CONTENT


def test_a_large_input_waits_across_a_restart_and_goes_when_its_time_is_over(new_api, cog):
    api = new_api(cog.url, retention=1)
    busy = create(api, seconds=1)["id"]
    wait_for(api, busy, "processing")
    waiting = create(api, file=URL)["id"]
    assert show(api, waiting)["status"] == "starting"
    api.kill()
    api.start()
    done = wait_for(api, waiting)
    assert urllib.request.urlopen(done["output"][0]).read() == CONTENT
    wait_until(lambda: show(api, waiting)["data_removed"], 10)
    assert not (api.folder / "outputs" / waiting).exists()


def test_what_is_not_accepted_leaves_no_file(api):
    before = set((api.folder / "outputs").iterdir())
    for body, status in (
        ({"input": {"file": URL, "count": 9}}, 422),
        ({"input": {"file": URL}, "webhook": "nonsense"}, 422),
        ({"input": {"file": URL, "text": URL + "!"}}, 422),
        ({"input": {"file": URL, "text": "a" * 2_000_000}}, 413),
        ({"input": {"file": {"easel:file": "x"}}}, 422),
        ({"input": {"secret": URL}}, 422),
    ):
        assert ask(api, "POST", MODEL, body)[0] == status
    assert ask(api, "POST", "/v1/predictions", {"input": {"file": URL}})[0] == 422
    assert set((api.folder / "outputs").iterdir()) == before
    assert not list((api.folder / "incoming").iterdir())


def raw(api, body: bytes) -> tuple[int, dict]:
    request = urllib.request.Request(api.url + MODEL, body, {"Authorization": f"Bearer {api.token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"input": {"text": [' + b"1," * 1_000_000 + b"1]}}", 413),
        (b'{"input": {"text": ' + b"[" * 954 + b"]" * 954 + b"}}", 400),
        (b'{"input": {"text": ' + b"[" * 60 + b"]" * 60 + b"}}", 422),
        (b'{"input": ' + b'{"a":' * 70 + b"1" + b"}" * 71, 400),
    ],
    ids=["wide", "deep", "not so deep", "objects"],
)
def test_a_body_of_hostile_structure_is_refused_and_the_list_goes_on(api, body, status):
    assert raw(api, body)[0] == status
    assert ask(api, "GET", "/v1/predictions")[0] == 200


def test_a_row_that_cannot_be_shown_does_not_hide_the_others(new_api, cog):
    api = new_api(cog.url)
    ids = [wait_for(api, create(api)["id"])["id"] for _ in range(3)]
    api.stop()
    database = sqlite3.connect(api.folder / "easel.db")
    database.execute(
        "UPDATE predictions SET input = ? WHERE id = ?", ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", ids[0])
    )
    database.execute("UPDATE predictions SET metrics = '{\"a\": NaN}' WHERE id = ?", (ids[1],))
    database.commit()
    database.close()
    api.start()
    wait_for_version(api, "test/model")
    status, page = ask(api, "GET", "/v1/predictions")
    assert (status, {one["id"] for one in page["results"]}) == (200, set(ids))
    assert show(api, ids[0])["input"] == {"easel:unreadable": "It is nested more than 64 deep."}
    assert show(api, ids[2])["status"] == "succeeded"
