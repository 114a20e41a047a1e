"""References: files, loopback, and secrets that are not repeated."""

import base64

import pytest

from easel.lora.references import (
    FileSource,
    ReplicateSource,
    UrlSource,
    parse_source,
)
from tests.support.sources_common import VERSION, refusal


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
