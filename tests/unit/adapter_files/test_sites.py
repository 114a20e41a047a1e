"""LoRAs of the Hub, Civitai and Replicate: which file it is, and answers that lie."""

import json

import pytest

from easel.errors import AdapterError, FetchError
from tests.support.fault_server import Answer, redirect
from tests.unit.adapter_files.common import civitai_file, names, put_on_civitai, put_on_hub, tar, weights

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "reference", ["huggingface.co/ada/flowers", "hf://ada/flowers", "https://huggingface.co/ada/flowers/tree/main"]
)
def test_only_safetensors_file_of_a_repository_is_found_with_its_config(server, get, reference):
    put_on_hub(server, {"README.md": b"# hi", "lora.safetensors": weights(), "adapter_config.json": b'{"r": 8}'})
    file = get(reference)
    assert file.path.read_bytes() == weights()
    assert file.config == {"r": 8}
    assert file.label == "huggingface.co/ada/flowers"


def test_named_file_revision_and_folder_are_those_that_are_fetched(server, get):
    put_on_hub(server, {}, revision="refs%2Fpr%2F1")
    base = "/api/models/ada/flowers/tree/refs%2Fpr%2F1"
    tree = [{"type": "file", "path": "a b/two.safetensors"}, {"type": "file", "path": "a b/adapter_config.json"}]
    server.routes[f"{base}/a%20b"] = Answer(body=json.dumps(tree).encode())
    server.routes["/ada/flowers/resolve/refs%2Fpr%2F1/a%20b/two.safetensors"] = Answer(body=weights("two"))
    server.routes["/ada/flowers/resolve/refs%2Fpr%2F1/a%20b/adapter_config.json"] = Answer(body=b'{"r": 4}')
    file = get("hf://ada/flowers@refs/pr/1/a b/two.safetensors")
    assert file.path.read_bytes() == weights("two")
    assert file.config == {"r": 4}


def test_several_files_are_named_with_how_to_choose(server, get, folder):
    put_on_hub(server, {f"{name}.safetensors": weights(name) for name in ("b", "a", "c")})
    with pytest.raises(AdapterError) as caught:
        get("hf://ada/flowers")
    assert str(caught.value) == (
        "huggingface.co/ada/flowers: there are 3 .safetensors files (a.safetensors, b.safetensors, c.safetensors). "
        "Choose one, as in huggingface.co/ada/flowers/a.safetensors."
    )
    assert get("huggingface.co/ada/flowers/a.safetensors").path.read_bytes() == weights("a")


def test_only_file_is_not_guessed_from_the_first_page_of_a_listing(server, get):
    put_on_hub(server, {"a.safetensors": weights(), **{f"{k}.txt": b"" for k in range(998)}})  # and a folder
    with pytest.raises(AdapterError, match="too many files.* huggingface.co/ada/flowers/file.safetensors"):
        get("hf://ada/flowers")
    assert get("hf://ada/flowers/a.safetensors").path.read_bytes() == weights()


def test_repository_without_safetensors_is_refused(server, get):
    put_on_hub(server, {"lora.bin": b"x"})
    with pytest.raises(AdapterError, match="no .safetensors file lies at its top"):
        get("hf://ada/flowers")


def test_missing_repository_or_file_is_said(server, get):
    with pytest.raises(FetchError, match="huggingface.co/ada/flowers: .* no such file or model"):
        get("hf://ada/flowers")
    put_on_hub(server, {"a.safetensors": weights()})
    with pytest.raises(FetchError, match="huggingface.co/ada/flowers/b.safetensors: .* no such file or model"):
        get("hf://ada/flowers/b.safetensors")


def test_file_whose_digest_the_hub_lists_is_not_asked_for_again(server, get, clock):
    put_on_hub(server, {"a.safetensors": weights(), "adapter_config.json": b'{"r": 8}'})
    get("hf://ada/flowers")
    put_on_hub(server, {"a.safetensors": weights(), "adapter_config.json": b'{"r": 9}'})
    clock.now += 61
    assert get("hf://ada/flowers").config == {"r": 9}
    assert server.count("/ada/flowers/resolve/main/a.safetensors") == 1
    put_on_hub(server, {"a.safetensors": weights("two")})
    del server.routes["/ada/flowers/resolve/main/adapter_config.json"]
    clock.now += 61
    file = get("hf://ada/flowers")
    assert (file.path.read_bytes(), file.config) == (weights("two"), None)


def test_file_that_is_not_the_listed_one_is_refused(server, get, folder):
    put_on_hub(server, {"a.safetensors": weights()})
    server.routes["/ada/flowers/resolve/main/a.safetensors"] = Answer(body=weights("two"))
    with pytest.raises(FetchError, match="what came has sha256:.*, and the site says sha256:"):
        get("hf://ada/flowers")
    assert names(folder) == []


def test_archive_in_a_repository_is_unpacked(server, get):
    put_on_hub(server, {"all.tar": tar(a__safetensors=weights())})
    assert get("huggingface.co/ada/flowers/all.tar").path.read_bytes() == weights()


@pytest.mark.parametrize(
    "answer",
    [b"{}", b"null", b"[", b'"a"', b"[" * 100_000, b"1" * 6_000_000, b'[{"path": 3}, null, 7, {"type": "file"}]'],
    ids=["object", "null", "cut", "text", "deep", "huge", "wrong types"],
)
@pytest.mark.parametrize(
    "reference", ["hf://ada/flowers", "civitai.com/models/12", "civitai.com/api/download/models/3"]
)
def test_hostile_api_answers_end_in_a_sentence(server, get, answer, reference, folder):
    server.routes["/api/models/ada/flowers/tree/main"] = Answer(body=answer)
    server.routes["/civitai/api/v1/models/12"] = Answer(body=answer)
    server.routes["/civitai/api/v1/model-versions/3"] = Answer(body=answer)
    with pytest.raises((FetchError, AdapterError)) as caught:
        get(reference)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_hostile_names_in_a_listing_are_not_asked_for(server, get):
    paths = ["../../secret.safetensors", "a\nERROR.safetensors", "/etc/a.safetensors", "", 3, None, "a//b.safetensors"]
    tree = [{"type": "file", "path": path} for path in paths]
    server.routes["/api/models/ada/flowers/tree/main"] = Answer(body=json.dumps(tree).encode())
    with pytest.raises(AdapterError, match="no .safetensors file"):
        get("hf://ada/flowers")


def test_newest_version_of_a_civitai_model_is_fetched(server, get):
    put_on_civitai(server, (30, [civitai_file(server, "/30", weights("new"))]), (20, []))
    server.routes["/30"] = Answer(body=weights("new"))
    assert get("civitai.com/models/12/flowers").path.read_bytes() == weights("new")


@pytest.mark.parametrize("reference", ["civitai.com/models/12?modelVersionId=20", "civitai.com/api/download/models/20"])
def test_named_version_of_a_civitai_model_is_fetched(server, get, reference):
    put_on_civitai(server, (30, []), (20, [civitai_file(server, "/20", weights("old"))]))
    server.routes["/20"] = redirect("/stored?sig=x")
    server.routes["/stored?sig=x"] = Answer(body=weights("old"))
    assert get(reference).path.read_bytes() == weights("old")


def test_safetensors_file_is_chosen_from_those_of_a_version(server, get):
    pickled = civitai_file(server, "/p", metadata={"format": "PickleTensor"})
    second = civitai_file(server, "/s", primary=False)
    other = civitai_file(server, "/o", type="Training Data")
    put_on_civitai(server, (30, [pickled, second, other, civitai_file(server, "/30")]))
    server.routes["/30"] = Answer(body=weights())
    assert get("civitai.com/models/12").path.read_bytes() == weights()


def test_civitai_version_without_one_safetensors_file_is_refused_by_names(server, get):
    two = [civitai_file(server, f"/{k}", primary=False, name=f"{k}\n.safetensors") for k in "ab"]
    put_on_civitai(server, (30, two), (20, [civitai_file(server, "/p", metadata={"format": "PickleTensor"})]))
    with pytest.raises(AdapterError, match=r"these are: 'a\\n.safetensors', 'b\\n.safetensors'"):
        get("civitai.com/models/12")
    with pytest.raises(AdapterError, match="these are: none"):
        get("civitai.com/models/12?modelVersionId=20")
    with pytest.raises(AdapterError, match="no such version. Its versions: 30, 20"):
        get("civitai.com/models/12?modelVersionId=99")


@pytest.mark.parametrize(
    "url", ["http://[", "https://a:99999/", "file:///etc/passwd", "http://10.0.0.1/a", "", "/a", "\n"]
)
def test_hostile_download_url_ends_in_a_sentence(server, get, url):
    put_on_civitai(server, (30, [civitai_file(server, "/30", downloadUrl=url)]))
    with pytest.raises(FetchError):
        get("civitai.com/models/12")


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("ada/flowers", "/replicate/ada/flowers/_weights"),
        ("ada/flowers:abcdef01", "/replicate/ada/flowers/versions/abcdef01/_weights"),
    ],
)
def test_weights_of_a_model_on_replicate_are_fetched(server, get, reference, path):
    server.routes[path] = redirect("/stored/trained_model.tar")
    server.routes["/stored/trained_model.tar"] = Answer(body=tar(lora__safetensors=weights(), config__yaml=b"x"))
    assert get(reference).path.read_bytes() == weights()
