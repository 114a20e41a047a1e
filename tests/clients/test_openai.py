"""OpenAI's Python client, unmodified, against `easel api` in front of the emoji model."""

import asyncio
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import openai
import pytest
from PIL import Image

from tests.clients.cases import HERE, NODE_MODULES, TIMEOUT_S, cases, environment
from tests.clients.openai_inputs import APPLE, HOUSE, QUICK, client, coarse, image_of, mask_of_upper_half, pixels
from tests.server.calls import REPOSITORY
from tests.support.api_process import ask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ai(api, version):
    with client(api) as ai:
        yield ai


def own_image(api, **inputs):
    """The pixels of the same request through Replicate's API."""
    body = {"input": {"output_format": "png", "width": 128, "height": 128, "prompt": "a red apple", **QUICK, **inputs}}
    status, prediction = ask(api, "POST", "/v1/models/easel/emoji/predictions", body, Prefer="wait")
    assert status == 201, prediction
    with urllib.request.urlopen(prediction["output"][0]) as answer, Image.open(answer) as image:
        return pixels(image)


def test_generates_the_very_image_of_replicates_api(api, ai):
    made = ai.images.generate(**APPLE, extra_body=QUICK)
    (one,) = made.data
    assert image_of(one.b64_json).format == "PNG"
    assert (pixels(image_of(one.b64_json)) == own_image(api)).all()
    assert (made.size, made.output_format, made.background) == ("128x128", "png", "opaque")


def test_several_images_as_addresses_in_another_format(ai):
    made = ai.images.generate(
        **APPLE, n=2, output_format="jpeg", output_compression=50, response_format="url", extra_body=QUICK
    )
    assert len(made.data) == 2
    for one in made.data:
        with urllib.request.urlopen(one.url) as answer, Image.open(answer) as image:
            assert image.format == "JPEG"
    shown = made._request_id  # the prediction's own
    assert shown in made.data[0].url


def test_what_is_transparent_in_the_mask_is_edited_and_the_rest_is_kept(ai):
    mask = ("mask.png", mask_of_upper_half(HOUSE), "image/png")
    own = {**QUICK, "prompt_strength": 1, "num_inference_steps": 4}
    made = ai.images.edit(
        image=[("house.png", HOUSE.read_bytes())], mask=mask, prompt="mushroom", model="emoji", extra_body=own
    )
    image = image_of(made.data[0].b64_json)
    with Image.open(HOUSE) as house:
        before = pixels(house.resize(image.size, Image.Resampling.LANCZOS))
    difference = np.abs(pixels(image) - before).mean(axis=(1, 2))
    middle = image.height // 2
    assert difference[middle + 12 :].max() < 1  # beyond the soft edge
    assert difference[: middle - 12].mean() > 10


@pytest.mark.parametrize(
    ("wrong", "param", "words"),
    [
        ({"background": "transparent"}, "background", "opaque or auto"),
        ({"n": 5}, "n", "from 1 to 4"),
        ({"n": 11}, "n", "less than or equal to 10"),
        ({"size": "big"}, "size", "WIDTHxHEIGHT"),
        ({"size": "4000x4000"}, "size", "2048"),
        ({"output_compression": 50}, "output_compression", "webp and jpeg"),
        ({"output_format": "svg"}, "output_format", "png"),
        ({"style": "vivid"}, "style", "Unknown parameter"),
        ({"extra_body": {"seed": -1}}, "seed", "greater than or equal to 0"),
        ({"extra_body": {"partial_images": 2}}, "partial_images", "stream"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_openais_form(ai, wrong, param, words):
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        ai.images.generate(**{**APPLE, **wrong})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


def test_a_size_that_the_model_does_not_make_is_an_error_in_words(ai):
    with pytest.raises(openai.BadRequestError, match=r"1024 x 1024.*64 x 64 to 192 x 192"):
        ai.images.generate(**{**APPLE, "size": "1024x1024"})


def test_several_images_to_edit_and_a_mask_without_transparency_are_refused(ai):
    house = HOUSE.read_bytes()
    with pytest.raises(openai.BadRequestError, match="image must be one file, not 2"):
        ai.images.edit(image=[("a.png", house), ("b.png", house)], prompt="x")
    with pytest.raises(openai.BadRequestError, match="no pixel is fully transparent"):
        ai.images.edit(image=("a.png", house), mask=("m.png", house), prompt="x")
    with pytest.raises(openai.BadRequestError, match=r"image must be a PNG.*plain text"):
        ai.images.edit(image=("a.png", b"hello"), prompt="x")


def test_a_wrong_token_model_and_path_are_errors_of_their_kind(api, ai):
    with client(api, api_key="no-such-token") as stranger, pytest.raises(openai.AuthenticationError) as caught:
        stranger.images.generate(**APPLE)
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError, match="gpt-image-2"):
        ai.images.generate(prompt="x", model="gpt-image-2")
    with pytest.raises(openai.NotFoundError, match="/v1/chat/completions"):
        ai.chat.completions.create(model="emoji", messages=[{"role": "user", "content": "x"}])
    request = urllib.request.Request(f"{api.url}/v1/images/generations", b"{", {"Authorization": f"Bearer {api.token}"})
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(request)
    with told.value as answer:
        assert (answer.code, set(json.load(answer)["error"])) == (400, {"message", "type", "param", "code"})


def test_models_are_listed_in_openais_form_for_its_clients_alone(api, ai):
    assert [one.id for one in ai.models.list()] == ["easel/emoji"]
    assert ai.models.retrieve("easel/emoji").owned_by == "easel"
    assert ai.models.retrieve("emoji").id == "easel/emoji"
    assert "results" in ask(api, "GET", "/v1/models")[1]
    assert ask(api, "GET", "/v1/models?format=openai")[1]["object"] == "list"
    assert ask(api, "GET", "/v1/models", User_Agent="AsyncAzureOpenAI/Python 3.57.0")[1]["object"] == "list"


def test_the_stream_has_previews_of_the_image_and_the_image_itself(api, ai):
    own = {"seed": 7, "num_inference_steps": 8}
    events = list(ai.images.generate(**APPLE, stream=True, partial_images=3, extra_body=own))
    *previews, last = events
    assert [one.type for one in previews] == ["image_generation.partial_image"] * 3
    assert [one.partial_image_index for one in previews] == [0, 1, 2]
    assert last.type == "image_generation.completed"
    final = pixels(image_of(last.b64_json))
    assert (final == own_image(api, num_inference_steps=8)).all()  # previews change nothing
    assert [image_of(one.b64_json).size for one in previews] == [(128, 128)] * 3
    wanted = coarse(last.b64_json)
    alike = [np.corrcoef(coarse(one.b64_json), wanted)[0, 1] for one in previews]
    other = ai.images.generate(**{**APPLE, "prompt": "sunflower"}, extra_body=own).data[0].b64_json
    assert min(alike) > 0.8 > np.corrcoef(coarse(other), wanted)[0, 1], alike


def test_a_stream_of_an_edit_and_one_without_previews(ai):
    made = list(ai.images.edit(image=("house.png", HOUSE.read_bytes()), prompt="lion", stream=True, extra_body=QUICK))
    assert [one.type for one in made] == ["image_edit.completed"]
    with pytest.raises(openai.APIError, match="64 x 64 to 192 x 192"):
        list(ai.images.generate(**{**APPLE, "size": "512x512"}, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_cancels_its_prediction(api, stream):
    async def hang_up() -> None:
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key=api.token, max_retries=0) as ai:
            own = {"num_inference_steps": 50}
            made = await ai.images.generate(**{**APPLE, "n": 4}, stream=stream, extra_body=own, timeout=1)
            await asyncio.wait_for(anext(aiter(made)), 1)

    with pytest.raises((openai.APITimeoutError, TimeoutError)):
        asyncio.run(hang_up())
    until = time.monotonic() + 30
    while time.monotonic() < until:
        newest = ask(api, "GET", "/v1/predictions")[1]["results"][0]
        if newest["status"] not in ("starting", "processing"):
            break
        time.sleep(0.05)
    assert newest["status"] == "canceled"
    assert newest["input"]["num_outputs"] == 4


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_readmes_command_answers_with_an_address(api, version):
    (command,) = re.findall(r"```sh\n(curl [^`]*/v1/images/[^`]*)```", (REPOSITORY / "README.md").read_text())
    given = environment(api, f"{api.url}/v1")
    command = command.replace("http://127.0.0.1:5001", api.url)
    done = subprocess.run(["bash", "-c", command], env=given, capture_output=True, text=True, timeout=TIMEOUT_S)
    (one,) = json.loads(done.stdout)["data"]
    with urllib.request.urlopen(one["url"]) as answer, Image.open(answer) as image:
        assert image.format == "PNG"


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed (Debian: nodejs)")
@pytest.mark.skipif(not (NODE_MODULES / "openai").is_dir(), reason="openai for JavaScript is not installed")
@pytest.mark.parametrize("case", cases("openai_cases.mjs"))
def test_javascript(api, version, tmp_path, case):
    mask = tmp_path / "mask.png"
    mask.write_bytes(mask_of_upper_half(HOUSE))
    given = {"OPENAI_BASE_URL": f"{api.url}/v1", "OPENAI_API_KEY": api.token, "IMAGE": HOUSE, "MASK": mask}
    done = subprocess.run(
        ["node", "-e", f"import('./openai_cases.mjs').then((all) => all.{case}())"],
        cwd=HERE,
        env=environment(api, f"{api.url}/v1", **given),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout
