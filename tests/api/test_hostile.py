"""What must not be possible, and what must not bring the API down for all."""

import base64
import hashlib
import hmac
import json
import shutil
import urllib.error
import urllib.request

import pytest

from easel.local.server import run_server
from tests.api.calls import MODEL, create, show, wait_for
from tests.api.conftest import RUNNER, second_cog
from tests.api.test_command import run
from tests.support.api_process import ask, wait_for_version

TWO = {"token-one": "one", "token-two": "two"}


def raw(api, body: bytes, **headers: str) -> int:
    sent = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"} | headers
    try:
        with urllib.request.urlopen(urllib.request.Request(api.url + MODEL, body, sent)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": {"seconds": NaN}}',
        b'{"input": {"seconds": 1e999}}',
        rb'{"input": {"text": "\ud800"}}',
        rb'{"input": {"text": "\u0000"}}',
        b"[" * 5000,
        b"\xff",
    ],
)
def test_what_json_can_write_and_nobody_can_keep_is_refused_and_the_list_goes_on(api, body):
    assert raw(api, body) == 400
    assert ask(api, "GET", "/v1/predictions")[0] == 200


def test_a_deadline_beyond_all_time_is_refused(api):
    assert raw(api, b'{"input": {}}', **{"Cancel-After": "99999999h"}) == 400
    assert ask(api, "GET", "/v1/predictions/%00")[0] == 400


def test_the_secret_of_webhooks_proves_no_callback(api):
    identity = create(api, seconds=1)["id"]
    key = base64.b64decode(ask(api, "GET", "/v1/webhooks/default/secret")[1]["key"].removeprefix("whsec_"))
    news = {"status": "succeeded", "output": "forged"}
    for proof in (hmac.new(key, identity.encode(), hashlib.sha256).hexdigest(), key.hex(), "%C3%BC"):
        assert ask(api, "POST", f"/cog/{identity}/{proof}", news)[0] == 404
    assert wait_for(api, identity)["output"] != "forged"


def test_an_account_changes_nothing_of_anothers(new_api, cog):
    api = new_api(cog.url, tokens=TWO)
    schema = wait_for_version(api, "test/model")["openapi_schema"]
    version = {"openapi_schema": schema, "cog_version": "0"}
    for method, path, body in (
        ("PATCH", "/v1/models/test/model", {"readme": "x"}),
        ("DELETE", "/v1/models/test/model", None),
        ("POST", "/v1/models/test/model/versions", version),
        ("POST", "/v1/models", {"owner": "two", "name": "m", "visibility": "public", "hardware": "cpu"}),
    ):
        assert ask(api, method, path, body)[0] == 403
    mine = {"owner": "one", "name": "m", "visibility": "public", "hardware": "cpu"}
    assert ask(api, "POST", "/v1/models", mine)[0] == 201
    path = "/v1/models/one/m/versions"
    assert ask(api, "POST", path, version | {"servers": ["http://169.254.169.254"]})[0] == 403
    loop = {"components": {"schemas": {"Input": {"$ref": "#/components/schemas/Input"}}}}
    assert ask(api, "POST", path, {"openapi_schema": loop, "cog_version": "0"})[0] == 422
    assert ask(api, "POST", "/v1/models", mine | {"name": "secret", "visibility": "private"})[0] == 201
    api.token = "token-two"
    assert ask(api, "GET", "/v1/models/one/m")[0] == 200
    for path in ("/v1/models/one/secret", "/v1/models/one/secret/versions", "/v1/models/one/secret/examples"):
        assert ask(api, "GET", path)[0] == 404
    assert ask(api, "POST", "/v1/models/one/secret/predictions", {"input": {}})[0] == 404
    assert "secret" not in [one["name"] for one in ask(api, "GET", "/v1/models")[1]["results"]]
    assert ask(api, "GET", "/v1/search?query=secret")[1]["models"] == []
    secrets = []
    for api.token in TWO:
        secrets.append(ask(api, "GET", "/v1/webhooks/default/secret")[1]["key"])
    assert len(set(secrets)) == 2


def test_a_second_api_on_the_same_data_is_refused(api):
    done = run("--server", "http://127.0.0.1:1", "--port", "0", "--data", str(api.folder))
    assert (done.returncode, "Another `easel api` works with" in done.stderr) == (2, True)


def test_a_second_api_on_the_same_postgres_is_refused(new_api, cog, postgres, tmp_path):
    new_api(cog.url, environment={"DATABASE_URL": postgres})
    done = run("--server", cog.url, "--port", "0", "--data", str(tmp_path / "other"), DATABASE_URL=postgres)
    assert (done.returncode, "Another `easel api` works with this database" in done.stderr) == (2, True)


def test_a_deadline_holds_across_a_restart(new_api, cog):
    api = new_api(cog.url)
    identity = create(api, {"Cancel_After": "5s"}, seconds=30)["id"]
    wait_for(api, identity, "processing")
    api.kill()
    api.start()
    assert wait_for(api, identity, seconds=10)["status"] == "canceled"


def test_what_waits_for_a_version_that_is_gone_runs_as_the_newest_or_fails_in_words(new_api, tmp_path):
    changed = tmp_path / "runner"
    shutil.copytree(RUNNER, changed, ignore=shutil.ignore_patterns(".cog", "__pycache__"))
    program = (changed / "predict.py").read_text().replace("le=4,", "le=2,")
    (changed / "predict.py").write_text(program)
    with second_cog() as old:
        api = new_api(old.url)
        port = int(old.url.rpartition(":")[2])
    fits, too_many = create(api, count=2)["id"], create(api, count=4)["id"]
    assert show(api, fits)["status"] == "starting"
    with run_server(changed, port, timeout=60):
        done = wait_for(api, fits)
        assert (done["status"], len(done["output"])) == ("succeeded", 2)
        assert done["version"] == create(api)["version"]
        failed = wait_for(api, too_many)
        assert failed["status"] == "failed"
        assert "the newest refuses it: - input.count: must be less than or equal to 2" in failed["error"]


def test_an_output_that_cannot_be_kept_fails_in_words_and_the_next_one_runs(new_api, cog):
    api = new_api(cog.url)
    identity = create(api, seconds=1)["id"]
    (api.folder / "outputs" / identity).write_text("in the way")  # of the prediction's folder
    failed = wait_for(api, identity)
    assert failed["status"] == "failed"
    assert "could not be kept" in failed["error"]
    assert wait_for(api, create(api)["id"])["status"] == "succeeded"
    lines = [json.loads(line) for line in api.log.read_text().splitlines()]
    assert [line["error"] for line in lines if line["event"] == "output"] == ["FileExistsError"]
