"""`easel mcp` by the official client, over both transports, in front of the emoji model."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from easel.api.mcp import Tools, image_address
from easel.api.mcp_transports import open_api
from easel.errors import InputError
from tests.clients.inputs import APPLE, pixel_chunk
from tests.support.api_process import ask

pytestmark = pytest.mark.slow
COMMAND = ["-m", "easel.cli", "mcp"]
TOOLS = {"generate_image", "edit_image", "list_models", "get_prediction", "cancel_prediction"}
SLOW = {"prompt": "a dog", "num_outputs": 4, "num_inference_steps": 50, "width": 192, "height": 192}


def environment(api, **others):
    return {**os.environ, "REPLICATE_BASE_URL": api.url, "REPLICATE_API_TOKEN": api.token, **others}


def by_stdio(api, **others):
    return StdioServerParameters(command=sys.executable, args=COMMAND, env=environment(api, **others))


@contextmanager
def by_http(api, *options, **others):
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--http", "0", *options], stdout=subprocess.PIPE, env=environment(api, **others)
    )
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
        process.stdout.close()
    assert code == 128 + signal.SIGTERM


@asynccontextmanager
async def in_process(api, token=None, url=None, **settings):
    opened = open_api(url or api.url, token or api.token)
    async with opened.client, Client(Tools(opened, "easel/emoji", **settings).server()) as client:
        yield client


def text_of(result):
    return "".join(one.text for one in result.content if one.type == "text")


def image_of(result):
    (image,) = [one for one in result.content if one.type == "image"]
    return base64.b64decode(image.data)


async def make_and_edit(server, picture):
    told = []

    async def note(progress, total, message):
        told.append((progress, total))

    async with Client(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        made = await client.call_tool("generate_image", dict(APPLE), progress_callback=note)
        (link,) = [one for one in made.content if one.type == "resource_link"]
        edits = []
        given = base64.b64encode(image_of(made)).decode()
        for image in (link.uri, f"data:image/webp;base64,{given}", given):
            edit = {**APPLE, "image": image, "prompt_strength": 0.5}
            edits.append(await client.call_tool("edit_image", edit))
        models = await client.call_tool("list_models", {})
        again = await client.call_tool("get_prediction", {"prediction": made.structured_content["prediction"]})
    assert tools.keys() == TOOLS
    properties = tools["generate_image"].input_schema["properties"]
    assert properties["aspect_ratio"]["enum"][0] == "1:1"
    assert properties["seed"]["maximum"] == 4294967295
    assert not {"hf_token", "civitai_token", "image"} & properties.keys()
    assert tools["edit_image"].input_schema["required"] == ["prompt", "image"]
    assert not made.is_error, text_of(made)
    assert pixel_chunk(image_of(made)) == picture.read_bytes() == pixel_chunk(image_of(again))
    assert link.uri in made.structured_content["images"]
    edited = {pixel_chunk(image_of(one)) for one in edits}
    assert len(edited) == 1
    assert picture.read_bytes() not in edited
    assert "easel/emoji" in [one["model"] for one in models.structured_content["models"]]
    assert told == sorted(set(told))
    assert told[0][1] == 100


def test_over_standard_input_and_output(api, picture):
    asyncio.run(make_and_edit(by_stdio(api), picture))


def test_over_http_for_programs_of_this_machine_alone(api, picture):
    with by_http(api) as url:
        asyncio.run(make_and_edit(url, picture))
        for name, value, status in (("Host", "evil.example", 421), ("Origin", "https://evil.example", 403)):
            headers = {name: value, "Content-Type": "application/json", "Accept": "application/json"}
            assert httpx2.post(url, content=b"{}", headers=headers).status_code == status
        assert httpx2.post(url, content=b"x" * 16_000_001).status_code == 413


def test_where_others_reach_it_a_token_is_wanted(api):
    command = [sys.executable, *COMMAND, "--http", "0", "--host", "0.0.0.0"]
    refused = subprocess.run(command, env=environment(api), capture_output=True, text=True, timeout=60)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "EASEL_MCP_TOKEN" in refused.stderr
    with by_http(api, "--host", "0.0.0.0", EASEL_MCP_TOKEN="mine") as url:
        url = url.replace("0.0.0.0", "127.0.0.1")
        for headers, status in (({}, 401), ({"Authorization": "Bearer other"}, 401)):
            assert httpx2.post(url, json={}, headers=headers).status_code == status
        assert httpx2.post(url, json={}, headers={"Authorization": "Bearer mine"}).status_code not in (401, 421)


def newest(api):
    return ask(api, "GET", "/v1/predictions")[1]["results"][0]


@pytest.mark.parametrize("transport", ["stdio", "http", "http-of-2025"])
def test_who_gives_up_cancels_the_prediction(api, transport):
    async def give_up(server, mode):
        async with Client(server, mode=mode) as client:
            started = asyncio.Event()

            async def note(progress, total, message):
                if progress > 0:
                    started.set()

            call = asyncio.create_task(client.call_tool("generate_image", SLOW, progress_callback=note))
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait({call, waiting}, return_when=asyncio.FIRST_COMPLETED)
            assert not call.done(), text_of(call.result())
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            for _ in range(200):
                if (status := newest(api)["status"]) not in ("starting", "processing"):
                    return status
                await asyncio.sleep(0.05)
            raise AssertionError("it goes on")

    if transport == "stdio":
        assert asyncio.run(give_up(by_stdio(api), "auto")) == "canceled"
    else:
        with by_http(api) as url:
            assert asyncio.run(give_up(url, "legacy" if "2025" in transport else "auto")) == "canceled"


def test_a_long_run_is_asked_for_again_by_its_id(api):
    async def go_on():
        async with in_process(api, wait_s=0) as client:
            first = await client.call_tool("generate_image", dict(APPLE))
            given = {"prediction": first.structured_content["prediction"]}
            slow = await client.call_tool("generate_image", SLOW)
            canceled = await client.call_tool(
                "cancel_prediction", {"prediction": slow.structured_content["prediction"]}
            )
        async with in_process(api) as client:
            return first, canceled, await client.call_tool("get_prediction", given)

    first, canceled, last = asyncio.run(go_on())
    assert first.structured_content["status"] in ("starting", "processing")
    assert "get_prediction" in text_of(first)
    assert canceled.structured_content["status"] in ("canceled", "processing", "starting")
    assert image_of(last)


WRONG = [
    ("generate_image", {}, "prompt is required"),
    ("generate_image", {"prompt": 7}, "must be a string"),
    ("generate_image", {"prompt": "a", "aspect_ratio": "7:1"}, "must be one of '1:1', '16:9'"),
    ("generate_image", {"prompt": "a", "width": 64_000, "height": 64}, "less than or equal to 2048"),
    ("generate_image", {"prompt": "a", "seeds": 1}, "There is no argument 'seeds'. Allowed are: aspect_ratio"),
    ("generate_image", {"prompt": "a", "hf_token": "x"}, "There is no argument 'hf_token'"),
    ("generate_image", {"prompt": "a" * 300_000}, "The API refused it"),
    ("generate_image", {"prompt": "a", "model": "../../v1/account"}, "model must be OWNER/NAME"),
    ("generate_image", {"prompt": "a", "model": "no/such"}, "The API refused it (404)"),
    ("edit_image", {"prompt": "a"}, "needs an image"),
    ("edit_image", {"prompt": "a", "image": "/etc/passwd"}, "No path of a file"),
    ("edit_image", {"prompt": "a", "image": "file:///etc/passwd"}, "No path of a file"),
    ("edit_image", {"prompt": "a", "image": ["x"]}, "No path of a file"),
    ("edit_image", {"prompt": "a", "image": "http://127.0.0.1:80/x"}, "must be an https:// address"),
    ("edit_image", {"prompt": "a", "image": "https://169.254.169.254/"}, "must be on a public host"),
    ("get_prediction", {"prediction": "../models"}, "must be an id"),
    ("get_prediction", {"prediction": "a" * 26}, "There is no such prediction"),
    ("cancel_prediction", {"prediction": None}, "must be an id"),
    ("list_models", {"x": 1}, "It takes none"),
]


def test_what_is_wrong_is_told_in_words(api):
    async def ask_all():
        async with in_process(api) as client:
            with pytest.raises(MCPError, match="There is no tool 'rm'"):
                await client.call_tool("rm", {})
            return [await client.call_tool(name, given) for name, given, _ in WRONG]

    for (name, given, words), result in zip(WRONG, asyncio.run(ask_all()), strict=True):
        assert result.is_error, (name, given)
        assert words in text_of(result), (name, text_of(result))
    with pytest.raises(InputError, match="must have at most 10 MB"):
        image_address("image", "data:image/png;base64," + "A" * 14_000_000)


def test_an_api_that_is_away_or_refuses(api):
    async def ask_one(**other):
        async with in_process(api, **other) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            return names, await client.call_tool("generate_image", {"prompt": "a"})

    published = {"components": {"schemas": {"Input": {"properties": {"prompt": {"type": "string"}}}}}}
    names, away = asyncio.run(ask_one(url="http://127.0.0.1:1", published=published))
    assert names == TOOLS - {"edit_image"}
    assert "cannot be reached" in text_of(away)
    _, refused = asyncio.run(ask_one(token="wrong"))
    assert "REPLICATE_API_TOKEN" in text_of(refused)
