"""Signed addresses: no error or log shows their query, whichever library the words are of."""

import json

import pytest
import requests
import urllib3

from easel.errors import WeightsError
from easel.local.client import ServerError, call
from easel.net.urls import shown_error, shown_url
from easel.publish.replicate_api import Replicate
from easel.weights.manifest import parse_manifest
from easel.weights.sources import parse_weight_source
from tests.support.fault_server import FaultServer

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/b.png?X-Amz-Signature=hunter2", "https://a.example/b.png"),
        ("https://a.example/b.png#hunter2", "https://a.example/b.png"),
        ("https://me:hunter2@a.example/b.png", "https://a.example/b.png"),
        ("https://a.example/b@c/d.png?x=//e@hunter2", "https://a.example/b@c/d.png"),
        ("https://a.example?hunter2", "https://a.example"),
        ("/delivery/1.png?token=hunter2", "/delivery/1.png"),
    ],
)
def test_url_is_shown_without_what_may_be_secret(url, shown):
    assert shown_url(url) == shown


def test_long_url_is_cut_off():
    assert len(shown_url("https://a.example/" + "b" * 10_000)) < 300


@pytest.mark.parametrize("library", [requests.get, urllib3.PoolManager(retries=False).urlopen])
def test_errors_of_http_libraries_are_shown_without_queries(library):
    arguments = [f"http://127.0.0.1:1/a.png?X-Amz-Signature={SECRET}"]
    with pytest.raises((requests.RequestException, urllib3.exceptions.HTTPError)) as caught:
        library(*(["GET"] if library is not requests.get else []), *arguments)
    assert SECRET not in shown_error(caught.value)
    assert "refused" in shown_error(caught.value)


def test_error_without_words_has_its_name():
    assert shown_error(TimeoutError()) == "TimeoutError"


@pytest.mark.parametrize("url", ["https://a.example/b?x=hunter2#hunter2", "https://a.example/b#hunter2"])
def test_source_of_weights_is_shown_without_them(url):
    assert SECRET not in parse_weight_source(url).label
    with pytest.raises(WeightsError) as caught:
        parse_weight_source(url.replace("https", "http"))
    assert SECRET not in str(caught.value)


def test_lock_with_a_value_of_another_type_shows_no_source():
    entry = {"path": "a", "size": "1", "digest": None, "source": f"https://a.example/b?x={SECRET}"}
    with pytest.raises(WeightsError) as caught:
        parse_manifest(json.dumps({"files": [entry]}))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("path", ["/a?x=hunter2", "/a\n?x=hunter2"])
def test_server_that_does_not_answer_is_named_without_them(path):
    with pytest.raises(ServerError) as caught:
        call("GET", f"http://me:{SECRET}@127.0.0.1:1{path}")
    assert SECRET not in str(caught.value)


def test_output_that_replicate_does_not_give_is_told_without_its_signature():
    with FaultServer() as server, pytest.raises(ServerError) as caught:
        Replicate("token").read(f"{server.url}/out.webp?X-Goog-Signature={SECRET}")
    assert server.count(f"/out.webp?X-Goog-Signature={SECRET}") == 1
    assert "404" in str(caught.value)
    assert SECRET not in str(caught.value)
