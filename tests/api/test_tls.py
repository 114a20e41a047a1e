"""`easel api --tls`: outputs are https addresses for everybody, and whoever exports what it prints trusts it."""

import asyncio
import shlex
import urllib.request
from collections.abc import Iterator

import httpx2
import pytest
import replicate
from starlette.responses import PlainTextResponse

from easel.api.serving import callbacks_alone
from easel.api.tls import host_names, others, own_certificate
from tests.api.calls import create, wait_for
from tests.support.api_process import Api, ask, run_api, wait_for_version


@pytest.fixture
def api(cog, tmp_path, monkeypatch) -> Iterator[Api]:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "api/tls/bundle.pem"))
    with run_api(tmp_path / "api", [f"test/model={cog.url}"], rate_limit=0, tls=True) as api:
        wait_for_version(api, "test/model")
        yield api


def test_outputs_are_https_addresses_also_for_replicates_client(api):
    assert api.url.startswith("https://127.0.0.1:")
    done = wait_for(api, create(api, text="hello", seconds=0.2)["id"])
    assert done["status"] == "succeeded", "the Cog server could tell of it"
    (address,) = done["output"]
    assert address.startswith(f"{api.url}/delivery/")
    assert urllib.request.urlopen(address, timeout=20).read() == b"hello"
    client = replicate.Client(api_token=api.token, base_url=api.url)
    (output,) = client.run("test/model", {"text": "hello"})
    assert output.url.startswith(f"{api.url}/delivery/")
    assert output.read() == b"hello"
    client._client.close()


def test_what_it_prints_is_what_to_export(api, tmp_path):
    (line,) = (one for one in api.log.read_text().splitlines() if one.startswith("export SSL_CERT_FILE"))
    names = dict(one.split("=", 1) for one in shlex.split(line)[1:])
    folder = tmp_path / "api/tls"
    assert (
        names["SSL_CERT_FILE"] == names["REQUESTS_CA_BUNDLE"] == names["CURL_CA_BUNDLE"] == str(folder / "bundle.pem")
    )
    assert names["NODE_EXTRA_CA_CERTS"] == str(folder / "authority.pem")
    assert (folder / "bundle.pem").read_bytes() == (folder / "authority.pem").read_bytes() + others()
    assert (folder / "chain.pem").stat().st_mode & 0o077 == 0


def test_it_keeps_its_certificate_and_its_runs_over_a_restart(api):
    before = (api.folder / "tls/chain.pem").read_bytes()
    running = create(api, text="hello", seconds=2)
    wait_for(api, running["id"], "processing")
    assert ask(api, "GET", "/v1/account")[0] == 200
    api.kill()
    api.start()
    assert (api.folder / "tls/chain.pem").read_bytes() == before
    assert wait_for(api, running["id"], seconds=60)["status"] in ("succeeded", "failed")


def test_where_cog_servers_call_back_there_is_nothing_else():
    async def app(scope, receive, send):
        await PlainTextResponse("taken")(scope, receive, send)

    async def ask_it(path: str) -> int:
        transport = httpx2.ASGITransport(callbacks_alone(app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://inner") as client:
            return (await client.post(path)).status_code

    assert asyncio.run(ask_it("/cog/id/digest")) == 200
    for path in ("/health", "/v1/predictions", "/", "/cogs/id/digest"):
        assert asyncio.run(ask_it(path)) == 404


def test_a_certificate_is_made_anew_for_other_names_only(tmp_path):
    def chain(*names):
        return own_certificate(tmp_path / "tls", names).chain.read_bytes()

    first = chain("box.example")
    assert chain("box.example") == first
    assert chain("box.example", "127.0.0.1") == first
    second = chain("other.example", "192.0.2.7")
    assert second != first
    (tmp_path / "tls/names.txt").unlink()  # as after an interruption
    assert chain("other.example", "192.0.2.7") != second


def test_addresses_that_mean_all_are_no_names():
    assert host_names("0.0.0.0", "::", "", None, "a.example", "10.0.0.1") == ["a.example", "10.0.0.1"]
