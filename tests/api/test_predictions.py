"""One prediction after another: states, waiting, cancelling, errors, limits, secrets, files."""

import base64
import json
import time
import urllib.request

import pytest

from tests.api.calls import MODEL, create, show, wait_for
from tests.api.conftest import second_cog
from tests.support.api_process import ask, wait_for_version

OFFICIAL = {"User_Agent": "replicate-python/1.0.7"}


def test_a_prediction_goes_from_starting_to_succeeded_and_its_file_is_served_with_its_type(api):
    created = create(api, text="hello", seconds=0.5)
    assert created["status"] == "starting"
    assert created["output"] is None
    assert len(created["id"]) == 26
    assert created["model"] == "test/model"
    assert len(created["version"]) == 64
    running = wait_for(api, created["id"], "processing")
    assert running["started_at"] >= created["created_at"]
    done = wait_for(api, created["id"])
    assert done["status"] == "succeeded"
    assert done["error"] is None
    assert done["metrics"]["total_time"] >= done["metrics"]["predict_time"] >= 0.5
    with urllib.request.urlopen(done["output"][0]) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.read() == b"hello"


def test_logs_and_progress_grow_while_it_runs(api):
    identity = create(api, seconds=1.5)["id"]
    wait_for(api, identity, "processing")
    lengths = set()
    while (prediction := show(api, identity))["status"] == "processing":
        lengths.add(len(prediction["logs"]))
        time.sleep(0.05)
    assert len(lengths) > 3
    assert "29/30" in prediction["logs"]


def test_a_waited_for_success_reads_processing_as_replicates_does(api):
    status, prediction = ask(api, "POST", MODEL, {"input": {"text": "a"}}, Prefer="wait")
    assert (status, prediction["status"]) == (201, "processing")
    assert prediction["output"]
    assert show(api, prediction["id"])["status"] == "succeeded"


def test_a_wait_that_is_over_reads_starting_and_the_prediction_goes_on(api):
    status, prediction = ask(api, "POST", MODEL, {"input": {"seconds": 2}}, Prefer="wait=1")
    assert (status, prediction["status"], prediction["output"]) == (202, "starting", None)
    assert wait_for(api, prediction["id"])["status"] == "succeeded"


def test_a_waited_for_failure_reads_failed_with_the_models_sentence(api):
    _, prediction = ask(api, "POST", MODEL, {"input": {"end": "failed"}}, Prefer="wait")
    assert prediction["status"] == "failed"
    assert prediction["error"].endswith("text: it was told to fail")


def test_official_clients_get_the_files_themselves_and_others_their_addresses(api):
    identity = create(api, text="x")["id"]
    assert wait_for(api, identity)["output"][0].startswith(api.url)
    _, shown = ask(api, "GET", f"/v1/predictions/{identity}", **OFFICIAL)
    assert shown["output"] == ["data:text/plain;base64," + base64.b64encode(b"x").decode()]


@pytest.mark.parametrize("token", ["", "wrong", "token-of-the-test"])
def test_without_the_right_token_nothing_is_told(api, token):
    for method, path in (("GET", "/v1/predictions"), ("POST", MODEL), ("GET", "/v1/account"), ("GET", "/v1/hardware")):
        status, problem = ask(api, method, path, {"input": {}}, Authorization=f"Bearer {token}")
        assert (status, problem["title"], problem["status"]) == (401, "Unauthenticated", 401)


def test_a_bad_input_is_answered_by_its_field_and_nothing_is_made_of_it(api):
    before = ask(api, "GET", "/v1/predictions")[1]["results"][:1]
    status, problem = ask(api, "POST", MODEL, {"input": {"count": 9}})
    assert (status, problem["title"]) == (422, "Input validation failed")
    assert problem["detail"] == "- input.count: must be less than or equal to 4\n"
    assert ask(api, "GET", "/v1/predictions")[1]["results"][:1] == before


@pytest.mark.parametrize(
    ("body", "status"),
    [("text", 422), ({"input": 5}, 422), ({}, 422), ({"input": {}, "webhook_events_filter": ["end"]}, 422)],
)
def test_a_body_that_is_none_is_refused(api, body, status):
    assert ask(api, "POST", MODEL, body)[0] == status


def test_what_is_not_there_is_a_404_in_words(api):
    for path in ("/v1/predictions/nothing", "/v1/models/no/one", "/v1/nothing", "/v1/files/none", "/v1/trainings/a"):
        status, problem = ask(api, "GET", path)
        assert status == 404
        assert len(problem["detail"]) > 20
    assert ask(api, "DELETE", "/v1/predictions")[0] == 405
    status, problem = ask(api, "POST", "/v1/predictions", {"version": "0" * 64, "input": {}})
    assert (status, problem["invalid_fields"][0]["field"]) == (422, "version")


@pytest.mark.parametrize("reference", ["{id}", "test/model", "test/model:{id}"])
def test_a_version_is_named_in_three_ways(api, reference):
    version = wait_for_version(api, "test/model")["id"]
    body = {"version": reference.format(id=version), "input": {}}
    status, prediction = ask(api, "POST", "/v1/predictions", body)
    assert (status, prediction["version"]) == (201, version)


def test_a_running_prediction_is_canceled_and_the_next_one_runs(api):
    identity = create(api, seconds=30)["id"]
    wait_for(api, identity, "processing")
    status, prediction = ask(api, "POST", f"/v1/predictions/{identity}/cancel")
    assert (status, prediction["status"]) == (200, "canceled")
    assert prediction["completed_at"]
    assert wait_for(api, create(api, text="next")["id"])["status"] == "succeeded"


def test_a_waiting_prediction_is_canceled_without_a_run(api):
    first = create(api, seconds=1)["id"]
    waiting = create(api, seconds=30)["id"]
    _, prediction = ask(api, "POST", f"/v1/predictions/{waiting}/cancel")
    assert (prediction["status"], prediction.get("started_at"), prediction["output"]) == ("canceled", None, None)
    assert prediction["metrics"]["predict_time"] == 0
    assert wait_for(api, first)["status"] == "succeeded"


def test_a_cancel_of_an_ended_prediction_changes_nothing(api):
    done = wait_for(api, create(api)["id"])
    assert ask(api, "POST", f"/v1/predictions/{done['id']}/cancel") == (200, done)


def test_past_its_deadline_a_running_one_is_canceled_and_a_waiting_one_aborted(api):
    running = create(api, {"Cancel_After": "5s"}, seconds=30)
    waiting = create(api, {"Cancel_After": "5"}, seconds=30)
    assert running["deadline"] > running["created_at"]
    aborted = wait_for(api, waiting["id"], seconds=10)
    assert wait_for(api, running["id"], seconds=10)["status"] == "canceled"
    assert (aborted["status"], "started_at" in aborted) in (("aborted", False), ("canceled", True))


def test_a_name_that_the_model_does_not_know_is_in_the_logs(api):
    done = wait_for(api, create(api, sampler="euler")["id"])
    assert done["logs"].startswith("Warning: there is no input 'sampler', so it was ignored.\n")
    assert "it/s" in done["logs"]


def test_a_secret_reaches_the_model_and_no_answer_log_or_database(api):
    secret = "hf_of_fifteen_c"
    created = create(api, secret=secret)
    done = wait_for(api, created["id"])
    assert created["input"]["secret"] == done["input"]["secret"] == "[REDACTED]"
    assert urllib.request.urlopen(done["output"][0]).read() == b"15"
    kept = [path for path in api.folder.rglob("*") if path.is_file()]
    # The database's own log of changes may hold the page that held it; nothing else may.
    assert [path.name for path in kept if secret.encode() in path.read_bytes()] in ([], ["easel.db-wal"])


def test_an_uploaded_file_reaches_the_model(api):
    part = b'Content-Disposition: form-data; name="content"; filename="n.txt"\r\nContent-Type: text/plain'
    body = b"--b\r\n" + part + b"\r\n\r\nof a file\r\n--b--\r\n"
    request = urllib.request.Request(
        f"{api.url}/v1/files",
        body,
        {"Authorization": f"Bearer {api.token}", "Content-Type": "multipart/form-data; boundary=b"},
    )
    file = json.load(urllib.request.urlopen(request))
    assert (file["name"], file["size"], file["content_type"]) == ("n.txt", 9, "text/plain")
    done = wait_for(api, create(api, file=file["urls"]["get"], text="text ")["id"])
    assert urllib.request.urlopen(done["output"][0]).read() == b"text of a file"
    again = wait_for(api, create(api, file=done["output"][0])["id"])  # an output as an input
    assert urllib.request.urlopen(again["output"][0]).read() == b"text of a file"
    assert ask(api, "GET", "/v1/files")[1]["results"][0]["id"] == file["id"]
    assert ask(api, "DELETE", f"/v1/files/{file['id']}")[0] == 204
    assert ask(api, "GET", f"/v1/files/{file['id']}")[0] == 404


def test_the_list_is_newest_first_and_of_one_account(new_api, cog):
    api = new_api(cog.url, tokens={"token-one": "one", "token-two": "two"}, rate_limit=0)
    ids = [create(api)["id"] for _ in range(3)]
    assert [one["id"] for one in ask(api, "GET", "/v1/predictions")[1]["results"]] == ids[::-1]
    api.token = "token-two"
    assert ask(api, "GET", "/v1/predictions")[1]["results"] == []
    assert ask(api, "GET", f"/v1/predictions/{ids[0]}")[0] == 404
    assert ask(api, "POST", f"/v1/predictions/{ids[0]}/cancel")[0] == 404
    assert ask(api, "GET", "/v1/account")[1]["username"] == "two"


def test_data_is_removed_when_its_time_is_over_and_a_full_queue_and_a_quick_caller_are_told(new_api, cog):
    api = new_api(cog.url, retention=1, max_queue=2, rate_limit=12)
    done = wait_for(api, create(api, text="gone")["id"])
    urllib.request.urlopen(done["output"][0]).close()
    busy = create(api, seconds=2)["id"]
    wait_for(api, busy, "processing")
    waiting = [create(api)["id"] for _ in range(2)]
    status, problem = ask(api, "POST", MODEL, {"input": {}})
    assert (status, problem["title"]) == (429, "Too many requests")
    assert "2 predictions wait" in problem["detail"]
    for _ in range(8):
        status, problem = ask(api, "POST", MODEL, {"input": {"count": 9}})
    assert (status, problem["detail"]) == (429, "Request was throttled. Expected available in 5 seconds.")
    assert all(wait_for(api, one)["status"] == "succeeded" for one in waiting)
    for _ in range(100):
        if (gone := show(api, done["id"]))["data_removed"]:
            break
        time.sleep(0.05)
    assert (gone["status"], gone["input"], gone["output"]) == ("succeeded", {}, None)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(done["output"][0])


def test_two_servers_share_the_work(new_api, cog):
    with second_cog() as other:
        api = new_api(cog.url, other.url, rate_limit=0)
        done = [wait_for(api, one["id"]) for one in [create(api, seconds=1) for _ in range(4)]]
        second = sorted(done, key=lambda one: one["started_at"])[1]
        assert second["started_at"] < min(one["completed_at"] for one in done)


def test_metrics_and_log_tell_of_it(api, cog):
    identity = wait_for(api, create(api)["id"])["id"]
    text = urllib.request.urlopen(f"{api.url}/metrics").read().decode()
    assert f'easel_cold_starts_total{{server="{cog.url}"}} 1.0' in text
    assert f'easel_server_up{{server="{cog.url}"}} 1.0' in text
    for name in (
        "easel_requests_total",
        "easel_queue_length",
        "easel_predict_seconds_bucket",
        "easel_predictions_total",
    ):
        assert f"\n{name}" in text
    lines = [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines if line.get("id") == identity] == ["accepted", "started", "ended"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(api):
    status, problem = ask(api, "POST", "/v1/models", {"owner": "o" * 2_000_000})
    assert (status, problem["title"]) == (413, "Payload too large")
    assert "/v1/files" in problem["detail"]
