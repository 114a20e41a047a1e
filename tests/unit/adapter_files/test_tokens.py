"""Tokens: each goes to its own site, and into nothing that is shown or kept."""

import json

import pytest

from easel.errors import FetchError, InputError
from easel.lora.sites import Endpoints, Tokens
from tests.support.fault_server import Answer, FaultServer
from tests.unit.adapter_files.common import NOBODY, civitai_file, put_on_civitai, put_on_hub, tar, weights

pytestmark = pytest.mark.slow


TOKEN, SECOND = "hf_hunter2hunter2", "hf_hunter3hunter3"


def everything_written(folder):
    return b"".join(path.name.encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_token_opens_a_private_repository_and_no_other_host_sees_it(server, make_files, logs):
    with FaultServer() as store:
        put_on_hub(server, {"a.safetensors": weights()}, token=TOKEN)
        path = "/ada/flowers/resolve/main/a.safetensors"
        server.routes[path] = Answer(302, headers={"Location": f"{store.url}/stored?sig=x"}, token=TOKEN)
        store.routes["/stored?sig=x"] = Answer(body=weights())
        file = make_files().get("hf://ada/flowers", Tokens(hf=f" {TOKEN}\n"), logs.append)
        assert file.path.read_bytes() == weights()
        assert {one.headers["authorization"] for one in server.seen} == {f"Bearer {TOKEN}"}
        assert "authorization" not in store.seen[0].headers


def test_each_token_goes_to_its_own_site_only(make_files, logs):
    with FaultServer() as hub, FaultServer() as civitai, FaultServer() as third:
        put_on_hub(hub, {"a.safetensors": weights()})
        listed = [{"id": 3, "files": [civitai_file(third, "/c")]}]
        civitai.routes["/api/v1/models/12"] = Answer(body=json.dumps({"modelVersions": listed}).encode())
        third.routes |= {"/c": Answer(body=weights()), "/d.safetensors": Answer(body=weights())}
        files = make_files(endpoints=Endpoints(hf=hub.url, civitai=civitai.url, replicate=third.url))
        third.routes["/ada/flowers/_weights"] = Answer(body=weights())
        tokens = Tokens(hf="for-hub", civitai="for-civitai")
        for reference in ("hf://ada/flowers", "civitai.com/models/12", "ada/flowers", f"{third.url}/d.safetensors"):
            files.get(reference, tokens, logs.append)
        assert {one.headers.get("authorization") for one in hub.seen} == {"Bearer for-hub"}
        assert {one.headers.get("authorization") for one in civitai.seen} == {"Bearer for-civitai"}
        assert {one.headers.get("authorization") for one in third.seen} == {None}


@pytest.mark.parametrize(
    ("reference", "name"), [("hf://ada/flowers", "hf_token"), ("civitai.com/models/12", "civitai_token")]
)
@pytest.mark.parametrize("refused", [401, 403])
def test_private_model_without_its_token_names_the_input(server, get, reference, name, refused):
    put_on_hub(server, {}, token=TOKEN, refused=refused)
    put_on_civitai(server, token=TOKEN, refused=refused)
    with pytest.raises(FetchError, match=f"give a token in {name}"):
        get(reference)
    with pytest.raises(FetchError, match=f"The token in {name} does not open it"):
        get(reference, Tokens(hf="wrong", civitai="wrong"))


def test_file_that_one_token_fetched_is_not_given_to_another_or_to_none(server, get, logs):
    put_on_hub(server, {"a.safetensors": weights()}, token=TOKEN)
    assert get("hf://ada/flowers", Tokens(hf=TOKEN)).path.is_file()
    for tokens in (NOBODY, Tokens(hf=SECOND), Tokens(civitai=TOKEN)):
        with pytest.raises(FetchError, match="hf_token"):
            get("hf://ada/flowers", tokens)
    seen = len(server.seen)
    get("hf://ada/flowers", Tokens(hf=TOKEN))
    assert len(server.seen) == seen


def test_token_and_query_are_in_no_file_name_log_error_or_repr(server, get, logs, folder, clock):
    put_on_hub(server, {"a.safetensors": weights()}, token=TOKEN)
    server.routes["/b.tar?sig=hunter2"] = Answer(body=tar(a__safetensors=weights("two")), etag=True)
    tokens = Tokens(hf=TOKEN, civitai=TOKEN)
    shown = [repr(tokens), repr(tokens.for_hf())]
    for reference in ("hf://ada/flowers", f"{server.url}/b.tar?sig=hunter2"):
        shown.append(repr(get(reference, tokens)))
        server.routes = {}
        clock.now += 61
        with pytest.raises(FetchError) as caught:
            get(reference, tokens)
        shown.append(repr(caught.value) + repr(caught.value.__context__))
        server.routes["/b.tar?sig=hunter2"] = Answer(body=tar(a__safetensors=weights("two")), etag=True)
    written = everything_written(folder)
    assert len(list(folder.glob("*.json"))) == 2
    assert not any("hunter2" in text for text in (*shown, *logs))
    assert b"hunter2" not in written


@pytest.mark.parametrize("values", [{"hf": "a b"}, {"civitai": "a\nb"}, {"hf": "ä"}])
def test_text_that_is_no_token_is_refused(values):
    with pytest.raises(InputError, match="_token is not a token"):
        Tokens(**values)


def test_empty_token_is_none():
    assert Tokens(hf="", civitai="  ").for_hf() == Tokens().for_hf()
