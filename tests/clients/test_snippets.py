"""The programs of docs/openai.md and README's line for MCP, as they stand there."""

import asyncio
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from mcp import Client
from PIL import Image

from tests.clients.cases import HERE, NODE_MODULES, TIMEOUT_S, environment
from tests.clients.openai_inputs import pixels
from tests.server.calls import REPOSITORY
from tests.support.api_process import ask

pytestmark = pytest.mark.slow
ENDS_S = 20


def block(file, language, words=""):
    blocks = re.findall(
        rf"^```{language}\n(.*?)^```$", (REPOSITORY / file).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (found,) = [text for text in blocks if words in text]
    return found


def image_of_program(api, command, folder):
    """Run it as the document says, and return the image of the prediction that it made."""
    given = {"OPENAI_BASE_URL": f"{api.url}/v1", "OPENAI_API_KEY": api.token}
    assert set(re.findall(r"(\w+)=", block("docs/openai.md", "sh", "OPENAI_BASE_URL"))) == given.keys()
    _, before = ask(api, "GET", "/v1/predictions")
    done = subprocess.run(
        command, cwd=folder, env=environment(api, "", **given), capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    _, after = ask(api, "GET", "/v1/predictions")
    (new,) = {one["id"] for one in after["results"]} - {one["id"] for one in before["results"]}
    _, made = ask(api, "GET", f"/v1/predictions/{new}")
    assert (made["status"], made["input"]["prompt"], made["input"]["seed"]) == ("succeeded", "a red apple", 7)
    with urllib.request.urlopen(made["output"][0]) as answer, Image.open(answer) as image:
        return pixels(image)


def test_python(api, version, tmp_path):
    made = image_of_program(api, [sys.executable, "-c", block("docs/openai.md", "python")], tmp_path)
    with Image.open(tmp_path / "apple.png") as image:
        assert image.format == "PNG"
        assert (pixels(image) == made).all()


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed (Debian: nodejs)")
@pytest.mark.skipif(not (NODE_MODULES / "openai").is_dir(), reason="openai for JavaScript is not installed")
def test_javascript(api, version):
    image_of_program(api, ["node", "--input-type=module", "-e", block("docs/openai.md", "js")], HERE)


def test_readmes_line_serves_the_tools(api, version):
    line = block("README.md", "sh", "easel mcp")
    assert line == block("docs/mcp.md", "sh")
    program, *words = shlex.split(line.replace("5003", "0"))  # a free port
    command = [str(Path(sys.executable).parent / Path(program).name), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(api, api.url))
    try:
        url = process.stdout.readline().decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/mcp", url)
        assert "generate_image" in asyncio.run(tools(url))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(ENDS_S)
        process.stdout.close()


async def tools(url):
    async with Client(url) as client:
        return [tool.name for tool in (await client.list_tools()).tools]
