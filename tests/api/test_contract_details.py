"""Small things that Replicate's clients and its published document say of the API."""

import http.client
import json
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.api.calls import MODEL, create, wait_for
from tests.support.api_process import TOKEN, ask


def raw(api, method, path, body=None, **headers):
    """The whole answer: status, headers, body; redirects are not followed."""
    place = urlsplit(api.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    sent = {"Authorization": f"Bearer {api.token}"} | headers
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_members_without_a_value_are_left_out(api):
    created = create(api, text="a")
    assert {"output", "error"} <= created.keys()
    assert not {"started_at", "completed_at", "metrics", "deployment", "deadline", "webhook"} & created.keys()
    assert "web" not in created["urls"]
    assert wait_for(api, created["id"])["completed_at"]
    _, model = ask(api, "POST", "/v1/models", {"owner": "a", "name": "b", "visibility": "public", "hardware": "cpu"})
    assert set(model) == {"url", "owner", "name", "visibility", "run_count", "is_official"}
    assert ask(api, "GET", urlsplit(model["url"]).path)[0] == 200
    assert "github_url" not in ask(api, "GET", "/v1/account")[1]


def test_links_lead_to_the_page_where_there_is_one(cog, new_api):
    api = new_api(cog.url, page_url="https://page.example/easel/")
    created = create(api, text="a")
    assert created["urls"]["web"] == f"https://page.example/easel/p/{created['id']}"
    assert ask(api, "GET", "/v1/models/test/model")[1]["url"] == "https://page.example/easel/test/model"


def test_runs_are_counted_also_across_a_restart(cog, new_api):
    api = new_api(cog.url)

    def count():
        return ask(api, "GET", "/v1/models/test/model")[1]["run_count"]

    assert count() == 0
    for _ in range(3):
        create(api)
    assert ask(api, "POST", MODEL, {"input": {"count": 99}})[0] == 422
    assert count() == 3
    api.kill()
    api.start()
    create(api)
    assert count() == 4


@pytest.mark.parametrize("value", [2.0, 0.0, -0.0, 4.0])
def test_whole_numbers_with_a_point_are_integers(api, value):
    prediction = wait_for(api, create(api, count=value, text="a")["id"])
    assert (prediction["status"], len(prediction["output"] or [])) == ("succeeded", int(value))
    assert json.dumps(prediction["input"]["count"]) == str(int(value))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 2.5}, "must be an integer, not 2.5"),
        ({"count": None}, "must be an integer, not null"),
        ({"count": True}, "must be an integer, not true"),
        ({"count": 5.0}, "must be less than or equal to 4"),
        ({"count": 1e300}, "count"),
        ({"text": None}, "must be a string, not null"),
        ({"text": [None, False]}, "must be a string, not [null, false]"),
        ({"end": None}, "must be one of 'well', 'failed', 'dead'"),
    ],
)
def test_messages_speak_of_null_and_true(api, given, words):
    status, answer = ask(api, "POST", MODEL, {"input": given})
    assert status == 422
    assert words in answer["detail"]
    assert "None" not in answer["detail"]
    assert "True" not in answer["detail"]


@pytest.mark.parametrize(
    ("prefer", "status"), [("wait=60", 201), ("wait=61", 201), ("wait=99", 201), ("wait=100", 400), ("wait=0", 400)]
)
def test_waits_beyond_60_s_count_as_60(api, prefer, status):
    assert ask(api, "POST", MODEL, {"input": {"text": "a"}}, Prefer=prefer)[0] == status


def test_what_was_made_has_a_place(api):
    _, headers, body = raw(api, "POST", MODEL, json.dumps({"input": {"text": "a"}}))
    assert headers["Location"] == json.loads(body)["urls"]["get"]
    assert ask(api, "GET", urlsplit(headers["Location"]).path)[0] == 200
    made = {"owner": "place", "name": "of", "visibility": "public", "hardware": "cpu"}
    _, headers, _ = raw(api, "POST", "/v1/models", json.dumps(made))
    assert headers["Location"] == f"{api.url}/v1/models/place/of"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/predictions", {"GET", "HEAD", "POST"}),
        ("DELETE", "/v1/models", {"GET", "HEAD", "POST", "QUERY"}),
        ("POST", "/v1/models/test/model", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("GET", "/v1/predictions/x/cancel", {"POST"}),
        ("POST", "/v1/account", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(api, method, path, allowed):
    status, headers, body = raw(api, method, path)
    assert status == 405
    assert set(headers["Allow"].split(", ")) == allowed
    assert json.loads(body)["status"] == 405


@pytest.mark.parametrize(
    "path", ["/v1/predictions/", "/v1/models/", "/v1/account/", "//evil.example/", "/v1/files/?a=b"]
)
def test_a_slash_at_the_end_redirects_nowhere(api, path):
    status, headers, _ = raw(api, "GET", path, Host="evil.example")
    assert status in (400, 404)
    assert "Location" not in headers


def test_collections_and_trainings_are_empty(api):
    empty = {"previous": None, "next": None, "results": []}
    assert ask(api, "GET", "/v1/collections") == (200, empty)
    assert ask(api, "GET", "/v1/trainings") == (200, empty)
    for path in ("/v1/collections/super-resolution", "/v1/trainings/abc"):
        status, answer = ask(api, "GET", path)
        assert (status, answer["status"]) == (404, 404)


def test_models_are_sorted_as_asked(cog, new_api):
    api = new_api(cog.url)
    made = {"owner": "a", "visibility": "public", "hardware": "cpu"}
    for name in ("one", "two"):
        assert ask(api, "POST", "/v1/models", made | {"name": name})[0] == 201
    schema = ask(api, "GET", "/v1/models/test/model")[1]["latest_version"]["openapi_schema"]
    version = {"openapi_schema": schema, "cog_version": "0.23.1"}
    assert ask(api, "POST", "/v1/models/a/one/versions", version)[0] == 201

    def names(query=""):
        return [one["name"] for one in ask(api, "GET", f"/v1/models{query}")[1]["results"]]

    assert names() == names("?sort_by=latest_version_created_at") == ["one", "two", "model"]
    assert names("?sort_by=model_created_at") == ["two", "one", "model"]
    assert names("?sort_by=model_created_at&sort_direction=asc") == ["model", "one", "two"]
    for query in ("?sort_by=name", "?sort_direction=up"):
        assert ask(api, "GET", f"/v1/models{query}")[0] == 400


def test_pages_hold_in_every_order(cog, new_api):
    api = new_api(cog.url)
    for k in range(103):
        made = {"owner": "a", "name": f"m{k:03}", "visibility": "public", "hardware": "cpu"}
        assert ask(api, "POST", "/v1/models", made)[0] == 201
    for query in ("?sort_direction=asc", "?sort_by=model_created_at", "?sort_by=model_created_at&sort_direction=asc"):
        _, first = ask(api, "GET", f"/v1/models{query}")
        _, second = ask(api, "GET", first["next"].removeprefix(api.url))
        found = [one["name"] for one in first["results"] + second["results"]]
        assert found == sorted(found, reverse="asc" not in query) or sorted(found) == sorted({*found})
        assert len(found) == len(set(found)) == 104
        assert second["next"] is None
        assert ask(api, "GET", second["previous"].removeprefix(api.url))[1]["results"] == first["results"]


def test_search_wants_words_and_takes_a_limit(api):
    assert ask(api, "GET", "/v1/search")[0] == 400
    for limit in ("0", "51", "-1", "many", "1.5"):
        assert ask(api, "GET", f"/v1/search?query=model&limit={limit}")[0] == 400
    status, found = ask(api, "GET", "/v1/search?query=&limit=1")
    assert (status, len(found["models"])) == (200, 1)


def test_readme_is_plain_text_and_the_cover_is_an_example(introduced):
    api = introduced
    _, headers, _ = raw(api, "GET", "/v1/models/test/model/readme")
    assert headers["Content-Type"].startswith("text/plain")
    cover = ask(api, "GET", "/v1/models/test/model")[1]["cover_image_url"]
    _, headers, _ = raw(api, "GET", urlsplit(cover).path, Origin="https://elsewhere.example")
    assert headers["Content-Type"].startswith("image/")
    assert headers["Access-Control-Allow-Origin"] == "*"


def upload(api, *parts):
    body = b"".join(b"--edge\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts) + b"--edge--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=edge"}
    status, _, answer = raw(api, "POST", "/v1/files", body, **kind)
    return status, json.loads(answer)


FORM = b"Content-Disposition: form-data; name="


def test_content_may_be_a_field_and_names_may_be_encoded(api):
    status, file = upload(api, (FORM + b'"content"', b"hello"), (FORM + b'"filename"', b"a.txt"))
    assert (status, file["name"], file["size"]) == (201, "a.txt", 5)
    status, file = upload(api, (FORM + b"\"content\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.png", b"hello"))
    assert (status, file["name"], file["content_type"]) == (201, "naïve €.png", "image/png")
    assert ask(api, "GET", f"/v1/files/{file['id']}")[1]["name"] == "naïve €.png"


@pytest.mark.parametrize(("name", "status"), [("a" * 255, 201), ("a" * 256, 400), ("ä" * 127, 201), ("ä" * 128, 400)])
def test_names_have_at_most_255_bytes(api, name, status):
    assert upload(api, (FORM + f'"content"; filename="{name}"'.encode(), b"x"))[0] == status


def test_a_deployment_is_answered_as_documented(api):
    version = ask(api, "GET", "/v1/models/test/model")[1]["latest_version"]["id"]
    made = {"name": "exact", "model": "test/model", "version": version, "hardware": "cpu"}
    status, deployment = ask(api, "POST", "/v1/deployments", made | {"min_instances": 0, "max_instances": 1})
    assert (status, deployment["current_release"]["number"]) == (200, 1)
    status, deployment = ask(api, "PATCH", "/v1/deployments/easel/exact", {"max_instances": 2})
    assert (status, deployment["current_release"]["number"]) == (200, 2)
    assert isinstance(deployment["current_release"]["number"], int)
    assert raw(api, "DELETE", "/v1/deployments/easel/exact")[0] == 204


def test_outputs_may_be_read_by_pages_of_other_sites(api):
    address = wait_for(api, create(api, text="a")["id"])["output"][0]
    request = urllib.request.Request(address, headers={"Origin": "https://elsewhere.example"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert TOKEN not in address
