"""What a caller may type as lora_weights."""

import pytest

from easel.lora.references import (
    CivitaiSource,
    DataSource,
    HubSource,
    ReplicateSource,
    UrlSource,
    parse_source,
)
from tests.support.sources_common import VERSION, refusal

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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
