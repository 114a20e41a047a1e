"""References as callers type them: what they become, what is refused and why, and what may be shown of them."""

import base64

import pytest

from easel.errors import InputError
from easel.lora.references import (
    CivitaiSource,
    DataSource,
    FileSource,
    HubSource,
    ReplicateSource,
    UrlSource,
    parse_source,
)

VERSION = "8496fec1" * 8
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refusal(text, **options):
    with pytest.raises(InputError) as caught:
        parse_source(text, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("ada/flowers", ReplicateSource("ada", "flowers")),
        ("  ada/flowers\n", ReplicateSource("ada", "flowers")),
        (f"ada/flowers/{VERSION}", ReplicateSource("ada", "flowers", VERSION)),
        (f"ada/flowers:{VERSION}", ReplicateSource("ada", "flowers", VERSION)),
        ("replicate.com/ada/flowers", ReplicateSource("ada", "flowers")),
        ("https://replicate.com/ada/flowers/", ReplicateSource("ada", "flowers")),
        ("https://www.replicate.com/ada/flowers/_weights", ReplicateSource("ada", "flowers")),
        (f"https://replicate.com/ada/flowers/versions/{VERSION}", ReplicateSource("ada", "flowers", VERSION)),
        (f"https://replicate.com/ada/flowers/versions/{VERSION}/_weights", ReplicateSource("ada", "flowers", VERSION)),
        ("huggingface.co/ada/flowers", HubSource("ada/flowers")),
        ("https://huggingface.co/ada/flowers/", HubSource("ada/flowers")),
        ("https://hf.co/ada/flowers", HubSource("ada/flowers")),
        ("HuggingFace.co/ada/flowers", HubSource("ada/flowers")),
        ("huggingface.co/ada/flowers/a.safetensors", HubSource("ada/flowers", "main", "a.safetensors")),
        ("huggingface.co/ada/flowers/b/a.safetensors", HubSource("ada/flowers", "main", "b/a.safetensors")),
        (
            "https://huggingface.co/ada/flowers/resolve/v2/a.safetensors?download=true",
            HubSource("ada/flowers", "v2", "a.safetensors"),
        ),
        (
            f"https://huggingface.co/ada/flowers/blob/{COMMIT}/my%20file.safetensors",
            HubSource("ada/flowers", COMMIT, "my file.safetensors"),
        ),
        ("https://huggingface.co/ada/flowers/tree/v2", HubSource("ada/flowers", "v2")),
        (
            "https://huggingface.co/ada/flowers/resolve/refs%2Fpr%2F1/a.safetensors",
            HubSource("ada/flowers", "refs/pr/1", "a.safetensors"),
        ),
        ("hf://ada/flowers", HubSource("ada/flowers")),
        ("hf://ada/flowers/a.safetensors", HubSource("ada/flowers", "main", "a.safetensors")),
        ("hf://ada/flowers@v2", HubSource("ada/flowers", "v2")),
        ("hf://ada/flowers@refs/pr/1/b/a.safetensors", HubSource("ada/flowers", "refs/pr/1", "b/a.safetensors")),
        ("huggingface.co/ada/flowers/resolve/main/all.zip", HubSource("ada/flowers", "main", "all.zip")),
        ("civitai.com/models/12", CivitaiSource(12)),
        ("https://civitai.com/models/12/flowers-in-ink", CivitaiSource(12)),
        ("https://civitai.com/models/12/flowers?modelVersionId=345", CivitaiSource(12, 345)),
        ("https://civitai.com/models/12?modelVersionId=345", CivitaiSource(12, 345)),
        ("https://civitai.com/api/download/models/345", CivitaiSource(None, 345)),
        ("https://civitai.com/api/download/models/345?type=Model&format=SafeTensor", CivitaiSource(None, 345)),
        ("https://files.example/a.safetensors", UrlSource("https://files.example/a.safetensors")),
        ("HTTPS://files.example/a.TAR?sig=x%2Fy#top", UrlSource("https://files.example/a.TAR?sig=x%2Fy")),
        ("https://files.example:8443/a.zip", UrlSource("https://files.example:8443/a.zip")),
        ("https://files.example/ä.tar.gz", UrlSource("https://files.example/%C3%A4.tar.gz")),
        ("https://replicate.delivery/x/trained_model.tar", UrlSource("https://replicate.delivery/x/trained_model.tar")),
        ("https://civitai.red/models/12", CivitaiSource(12)),
        ("www.civitai.green/models/12/flowers?modelVersionId=345", CivitaiSource(12, 345)),
        ("https://civitai.com/en/models/12/flowers", CivitaiSource(12)),
        ("civitai.com/pt-BR/models/12?modelVersionId=345", CivitaiSource(12, 345)),
        ("https://civitai.red/api/download/models/345", CivitaiSource(None, 345)),
        ("civitai:12@345", CivitaiSource(12, 345)),
        ("civitai:12", CivitaiSource(12)),
        ("urn:air:zimageturbo:lora:civitai:12@345", CivitaiSource(12, 345)),
        ("urn:air:flux1:lora:civitai:12", CivitaiSource(12)),
        ("air:sdxl:lora:civitai:12@345", CivitaiSource(12, 345)),
        ("sdxl:lora:civitai:12@345", CivitaiSource(12, 345)),
        ("URN:AIR:other:LoRA:Civitai:12@345.safetensor", CivitaiSource(12, 345)),
        ("urn:air:civitai:12@345", CivitaiSource(12, 345)),
        ("data:;base64,AAAA", DataSource("AAAA")),
        ("data:application/octet-stream;base64,AAAA", DataSource("AAAA")),
        ("DATA:application/x-tar;name=a.tar;BASE64,AAAA", DataSource("AAAA")),
    ],
)
def test_reference_is_understood(text, source):
    assert parse_source(text) == source


def test_address_of_a_data_set_on_the_hub_is_a_plain_url():
    url = "https://huggingface.co/datasets/ada/loras/resolve/main/a.safetensors"
    assert parse_source(url) == UrlSource(url)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("flowers", "neither owner/name nor owner/name/version"),
        ("ada/flowers/latest", "neither owner/name nor owner/name/version"),
        ("ada/../flowers", "neither owner/name nor owner/name/version"),
        ("ada/flow ers", "neither owner/name nor owner/name/version"),
        ("ftp://files.example/a.safetensors", "has the scheme ftp://"),
        ("file:///etc/a.safetensors", "has the scheme file://"),
        ("http://files.example/a.safetensors", "is not encrypted: use https://"),
        ("http://127.0.0.1/a.safetensors", "is not encrypted: use https://"),
        ("http://huggingface.co/ada/flowers", "is not encrypted: use https://"),
        ("https://files.example/a.png", "ends in none of .safetensors, .tar and .zip"),
        ("https://files.example/?f=a.safetensors", "ends in none of .safetensors, .tar and .zip"),
        ("https://files.example/#a.safetensors", "ends in none of .safetensors, .tar and .zip"),
        ("https:///a.safetensors", "is not a URL with a host name"),
        ("https://files.example:99999/a.safetensors", "is not a URL"),
        ("https://[::1/a.safetensors", "is not a URL"),
        ("https://füchse.example/a.safetensors", "is not a URL with a host name in ASCII"),
        ("https://files.example\\@evil.example/a.safetensors", "has a user name or password"),
        ("https://files.example\\evil/a.safetensors", "backslashes"),
        ("https://files.example/a b.safetensors", "spaces"),
        ("huggingface.co/flowers", "names no model"),
        ("huggingface.co/ada/flowers/a.json", "ends in none of"),
        ("huggingface.co/ada/flowers/../x.safetensors", "leaves the repository"),
        ("huggingface.co/ada/flowers/%2e%2e/x.safetensors", "leaves the repository"),
        ("huggingface.co/ada/flowers/resolve/../a.safetensors", "no branch, tag or commit"),
        ("huggingface.co/ada/flowers/resolve/a%2F..%2F..%2Fb/a.safetensors", "no branch, tag or commit"),
        ("hf://ada/flowers@v2?x/a.safetensors", "no branch, tag or commit"),
        ("hf://flowers", "is not hf://owner/name"),
        ("hf://datasets/flowers/a.safetensors", "a data set or a space"),
        ("urn:air:sdxl:checkpoint:civitai:12@345", "is a checkpoint, not a LoRA"),
        ("urn:air:sdxl:lora:civitai:12@345+678", "names one file of a version"),
        ("urn:air:sdxl:lora:civitai:12@345.ckpt", "not in the safetensors format"),
        ("urn:air:sdxl:lora:huggingface:ada/flowers", "is not urn:air:FAMILY:lora:civitai:MODEL@VERSION"),
        ("civitai:flowers@345", "is not urn:air"),
        ("civitai:12@", "is not urn:air"),
        ("https://civitai.blue/models/12", "ends in none of .safetensors"),
        ("civitai.red/en/images/12", "neither civitai.com/models/ID"),
        ("civitai.com/images/12", "neither civitai.com/models/ID"),
        ("civitai.com/models/twelve", "neither civitai.com/models/ID"),
        ("civitai.com/models/12?modelVersionId=new", "neither civitai.com/models/ID"),
        ("data:,abc", "starts with data:[type];base64"),
        ("data:text/plain,abc", "starts with data:[type];base64"),
        ("data:;base64", "starts with data:[type];base64"),
        ("data:;base64,", "is empty"),
    ],
)
def test_refusal_says_what_is_wrong_and_what_is_accepted(text, why):
    message = refusal(text)
    assert why in message
    assert message.startswith("lora_weights: ")
    assert "Accepted: owner/name or owner/name/version" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "https://files.example/a.bin",
        "https://files.example/a.pt?x=1",
        "huggingface.co/ada/flowers/pytorch_lora_weights.bin",
        "https://huggingface.co/ada/flowers/blob/main/a.ckpt",
        "hf://ada/flowers/a.PTH",
        "weights/a.pt",
    ],
)
def test_pickles_are_refused_with_the_reason(text):
    assert "is a pickle, which can run any program" in refusal(text, allow_files=True)


@pytest.mark.parametrize(
    "text",
    ["a\x00b", "ada/flow\ners", "https://files.example/\ra.safetensors", "a\x7f/b", "a\u2028/b"]
    + ["hf://ada/flowers/\u202eb.safetensors", "hf://ada/flowers/\ud800.zip", "https://files.example/a.zip?\ud800"]
    + [f"huggingface.co/ada/flowers/a{code}b.safetensors" for code in ("%0A", "%C2%85", "%E2%80%A8", "%E2%80%AE")],
)
def test_control_characters_are_refused(text):
    message = refusal(text)
    assert "control characters" in message
    assert message.isprintable()


def test_over_long_text_is_refused_without_repeating_it():
    message = refusal("https://files.example/" + "a" * 2000 + ".safetensors")
    assert "2034 characters long, and at most 2000" in message
    assert len(message) < 700


def test_data_url_may_be_long():
    assert parse_source("data:;base64," + "A" * 4000).label == "data: URL (3 kB)"


@pytest.mark.parametrize(
    "text", ["/srv/a.safetensors", "./a.tar", "../a.zip", "~/a.safetensors", "C:\\a.safetensors", "loras/a.safetensors"]
)
def test_path_is_refused_with_the_setting_that_allows_it(text):
    message = refusal(text)
    assert "is the path of a file" in message
    assert "EASEL_ALLOW_FILES=1" in message


@pytest.mark.parametrize("text", ["/srv/a.safetensors", "./a.tar", "loras/a.safetensors", "/srv/no-suffix"])
def test_path_is_accepted_where_files_are_allowed(text):
    assert parse_source(text, allow_files=True) == FileSource(text)


def test_model_on_replicate_stays_one_where_files_are_allowed():
    assert parse_source("ada/flowers", allow_files=True) == ReplicateSource("ada", "flowers")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "127.1.2.3"])
def test_loopback_over_http_is_accepted_where_it_is_allowed(host):
    url = f"http://{host}/a.safetensors"
    assert parse_source(url, allow_loopback=True) == UrlSource(url)


@pytest.mark.parametrize(
    "host", ["2130706433", "0177.0.0.1", "127.1", "files.example", "localhost.files.example", "10.0.0.1"]
)
def test_only_a_loopback_literal_may_go_unencrypted(host):
    assert "is not encrypted" in refusal(f"http://{host}/a.safetensors", allow_loopback=True)


@pytest.mark.parametrize(
    "text",
    [
        "https://ada:hunter2@files.example/a.safetensors",
        "https://hunter2@huggingface.co/ada/flowers",
        "https://files.example/a.png?key=hunter2",
        "https://files.example/a.png#hunter2",
        "https://civitai.com/models/12?token=hunter2",
        "https://civitai.com/api/download/models/12?token=hunter2",
    ],
)
def test_secrets_in_a_refused_url_are_not_repeated(text):
    assert "hunter2" not in refusal(text)


def test_token_in_a_civitai_url_has_its_own_input():
    assert "give it as civitai_token" in refusal("https://civitai.com/models/12?token=x")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("ada/flowers", "replicate.com/ada/flowers"),
        (f"ada/flowers:{VERSION}", f"replicate.com/ada/flowers/{VERSION}"),
        ("hf://ada/flowers", "huggingface.co/ada/flowers"),
        ("hf://ada/flowers@v2/a.safetensors", "huggingface.co/ada/flowers@v2/a.safetensors"),
        ("civitai.com/models/12?modelVersionId=3", "civitai.com model 12 version 3"),
        ("https://civitai.com/api/download/models/3", "civitai.com version 3"),
        ("https://files.example/a.tar?X-Signature=hunter2#hunter2", "https://files.example/a.tar"),
        ("data:;base64," + base64.b64encode(b"hunter2" * 2000).decode(), "data: URL (14 kB)"),
    ],
)
def test_label_shows_no_query_fragment_or_payload(text, label):
    assert parse_source(text).label == label


def test_repr_shows_no_query_and_no_payload():
    assert "hunter2" not in repr(parse_source("https://files.example/a.tar?sig=hunter2"))
    assert "aHVudGVy" not in repr(parse_source("data:;base64,aHVudGVyMg=="))
