"""Models, versions, examples, deployments, search."""

import json
import urllib.request

from tests.api.calls import create, wait_for
from tests.support.api_process import ask, wait_for_version


def test_the_declared_model_shows_its_schema_readme_and_examples(introduced):
    api = introduced
    status, model = ask(api, "GET", "/v1/models/test/model")
    assert status == 200
    inputs = model["latest_version"]["openapi_schema"]["components"]["schemas"]["Input"]["properties"]
    assert sorted(inputs, key=lambda name: inputs[name]["x-order"]) == [
        "seconds",
        "count",
        "text",
        "end",
        "file",
        "secret",
    ]
    request = urllib.request.Request(
        f"{api.url}/v1/models/test/model/readme", headers={"Authorization": f"Bearer {api.token}"}
    )
    assert urllib.request.urlopen(request).read().startswith(b"# Easel")
    _, examples = ask(api, "GET", "/v1/models/test/model/examples")
    assert len(examples["results"]) == 8
    newest = examples["results"][0]
    assert newest["status"] == "succeeded"
    assert urllib.request.urlopen(newest["output"][0]).headers["Content-Type"].startswith("image/")
    assert model["default_example"]["id"] == newest["id"]


def test_a_model_that_is_not_the_repositorys_shows_nothing_of_it(api):
    """Another model had Easel's README, and emoji's examples with inputs that it has not."""
    model = ask(api, "GET", "/v1/models/test/model")[1]
    assert not {"default_example", "cover_image_url"} & model.keys()
    assert ask(api, "GET", "/v1/models/test/model/readme")[0] == 404
    assert ask(api, "GET", "/v1/models/test/model/examples")[1]["results"] == []


def test_a_model_is_made_changed_and_deleted(api):
    body = {"owner": "me", "name": "mine", "visibility": "private", "hardware": "gpu-t4", "description": "Blue cats"}
    assert ask(api, "POST", "/v1/models", body | {"hardware": "abacus"})[0] == 422
    assert ask(api, "POST", "/v1/models", body)[0] == 201
    assert ask(api, "POST", "/v1/models", body)[0] == 409
    assert ask(api, "PATCH", "/v1/models/me/mine", {"readme": "# Mine"})[1]["description"] == "Blue cats"
    assert ask(api, "GET", "/v1/search?query=blue+cats")[1]["models"][0]["model"]["name"] == "mine"
    status, found = ask(api, "QUERY", "/v1/models", "cats")
    assert (status, [one["name"] for one in found["results"]]) == (200, ["mine"])  # as JSON, which a client sends
    assert ask(api, "POST", "/v1/models/me/mine/predictions", {"input": {}})[0] == 404
    assert ask(api, "DELETE", "/v1/models/me/mine")[0] == 204
    assert ask(api, "GET", "/v1/models/me/mine")[0] == 404


def test_a_pushed_version_runs_on_its_servers_and_an_older_one_becomes_the_newest(api, cog):
    schema = wait_for_version(api, "test/model")["openapi_schema"]
    ask(api, "POST", "/v1/models", {"owner": "me", "name": "pushed", "visibility": "private", "hardware": "cpu"})
    path, body = (
        "/v1/models/me/pushed/versions",
        {"openapi_schema": schema, "cog_version": "0.23.1", "servers": [cog.url]},
    )
    first = ask(api, "POST", path, body)[1]
    second = ask(api, "POST", path, body)[1]
    assert [one["id"] for one in ask(api, "GET", path)[1]["results"]] == [second["id"], first["id"]]
    assert ask(api, "GET", f"{path}/{first['id']}")[1] == first
    _, prediction = ask(api, "POST", "/v1/predictions", {"version": first["id"], "input": {}})
    assert prediction["version"] == second["id"]  # as Replicate substitutes
    assert wait_for(api, prediction["id"])["status"] == "succeeded"
    assert wait_for(api, create(api)["id"])["status"] == "succeeded"  # the server's other model goes on
    assert ask(api, "DELETE", f"{path}/{first['id']}")[0] == 202
    assert ask(api, "GET", f"{path}/{first['id']}")[0] == 404


def test_a_deployment_is_made_called_changed_and_deleted(api):
    version = wait_for_version(api, "test/model")["id"]
    body = {"name": "live", "model": "test/model", "version": version, "hardware": "cpu"}
    assert ask(api, "POST", "/v1/deployments", body | {"min_instances": 6, "max_instances": 6})[0] == 422
    status, made = ask(api, "POST", "/v1/deployments", body | {"min_instances": 0, "max_instances": 1})
    assert (status, made["owner"], made["current_release"]["number"]) == (200, "easel", 1)
    _, prediction = ask(api, "POST", "/v1/deployments/easel/live/predictions", {"input": {}})
    assert wait_for(api, prediction["id"])["deployment"] == "easel/live"
    _, changed = ask(api, "PATCH", "/v1/deployments/easel/live", {"max_instances": 3})
    assert changed["current_release"]["number"] == 2
    assert changed["current_release"]["configuration"]["max_instances"] == 3
    assert ask(api, "DELETE", f"/v1/models/test/model/versions/{version}")[0] == 409
    assert ask(api, "GET", "/v1/deployments")[1]["results"] == [changed]
    assert ask(api, "DELETE", "/v1/deployments/easel/live")[0] == 204
    assert ask(api, "GET", "/v1/deployments/easel/live")[0] == 404


def test_hardware_is_a_bare_list_that_begins_with_the_cpu(api):
    assert ask(api, "GET", "/v1/hardware")[1][0] == {"sku": "cpu", "name": "CPU"}
    assert json.dumps(ask(api, "GET", "/v1/collections")[1]) == '{"previous": null, "next": null, "results": []}'
