"""Hundreds of requests that nobody thought of, half of them made from openapi.json: no crash, no leak, no trace."""

import base64
import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from easel.local.client import send
from easel.local.server import Server
from tests.server.bad_inputs.cases import IMAGES, LORA, LORAS, PNG, TEXTS
from tests.server.bad_inputs.files import mask
from tests.server.calls import REPOSITORY, files_in, pixels, wait_for, worker_of
from tests.support.rounds import rounds

COUNT = rounds(usual=160, full=1000)  # for each of the two sources
REFERENCE = {"prompt": "red apple", "width": 64, "height": 64, "num_inference_steps": 1, "seed": 3}
# One step at the smallest size, so that it is the requests that are many, not the passes.
CHEAP = {"num_inference_steps": 1, "width": 64, "height": 64}
NAMED = r"(Prediction failed: )*(InputError|AdapterError|FetchError|SafetyError|ResourceError): \S.*"
COGS_OWN = "Input validation error: .*"  # Cog's, of a data: URL that it cannot decode, before Easel is asked
SETTINGS = settings(
    max_examples=COUNT,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Watched:
    """A server, what it answered, and the image that it must go on making."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.answers: Counter[str] = Counter()
        self.reference = self.make_reference()
        self.worker = worker_of(server).pid

    def make_reference(self) -> list[bytes]:
        status, answer = send(self.server.url, {"input": REFERENCE})
        assert (status, answer["status"]) == (200, "succeeded"), answer
        return pixels(answer)

    def ask(self, inputs: dict) -> None:
        status, answer = send(self.server.url, {"input": inputs})
        assert status in (200, 422), (status, answer)
        kind = str(status)
        if status == 200:
            kind = answer["status"]
            assert kind in ("succeeded", "failed"), answer
            if kind == "failed":
                assert re.fullmatch(f"{NAMED}|{COGS_OWN}", answer["error"], re.DOTALL), answer["error"]
                kind += " " + answer["error"].replace("Prediction failed: ", "").split(": ")[0]
        self.answers[kind] += 1
        if self.answers.total() % 40 == 0:
            assert self.make_reference() == self.reference, inputs

    def check_end(self) -> None:
        assert self.make_reference() == self.reference
        assert worker_of(self.server).pid == self.worker
        wait_for(lambda: not files_in(self.folder), "files of a request are left")


@pytest.fixture(scope="module")
def watched(server, server_folder) -> Watched:
    return Watched(server, server_folder / "tmp")


def small_picture(content: bytes, mode: str, kind: str) -> str:
    side = 8
    stream = io.BytesIO()
    Image.frombytes(mode, (side, side), (content * 256)[: side * side * len(mode)]).save(stream, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def damaged(url: str, at: int, letter: str) -> str:
    start = url.index(",") + 1
    at = start + at % (len(url) - start)
    return url[:at] + letter + url[at + 1 :]


BLANK = [row[1].get("prompt", "x") for row in TEXTS]
TEXT = st.one_of(st.text(min_size=1, max_size=200), st.text(min_size=1), st.sampled_from(BLANK))
PICTURE = st.builds(
    small_picture,
    st.binary(min_size=1, max_size=64),
    st.sampled_from(["L", "RGB"]),
    st.sampled_from(["PNG", "WEBP", "GIF"]),
)
LETTER = st.sampled_from("ABCabc019+/=")
DAMAGED = st.builds(damaged, PICTURE, st.integers(0, 500), LETTER)
IMAGE = st.one_of(PICTURE, DAMAGED, st.sampled_from([row[1].get("image", PNG) for row in IMAGES]))
MASK = st.one_of(PICTURE, st.just(mask((8, 8))), st.sampled_from([row[1].get("mask", PNG) for row in IMAGES]))
ONE_LORA = st.one_of(
    st.just(LORA),
    st.builds(damaged, st.just(LORA), st.integers(0, 3000), LETTER),
    st.sampled_from([one for row in LORAS for one in row[1].get("lora_weights", [])]),
)
NUMBER = st.one_of(st.integers(-3, 60), st.floats(-3, 60), st.sampled_from([2**32 - 1, 2**32, 10**30, -0.0, 0.5]))
WRONG = st.one_of(st.none(), st.booleans(), st.text(max_size=5), st.lists(st.integers(), max_size=2), NUMBER)
INPUTS = st.fixed_dictionaries(
    {"prompt": TEXT},
    optional={
        "negative_prompt": TEXT,
        "image": IMAGE,
        "mask": MASK,
        "prompt_strength": st.floats(0, 1),
        "aspect_ratio": st.sampled_from(["1:1", "16:9", "match_input_image"]),
        "num_outputs": st.integers(1, 3),
        "guidance_scale": st.floats(0, 20),
        "seed": st.integers(0, 2**32 - 1),
        "lora_weights": st.lists(ONE_LORA, max_size=5),
        "lora_scales": st.lists(st.floats(-2.1, 2.1), max_size=2),
        "output_format": st.sampled_from(["png", "jpg", "webp"]),
        "output_quality": st.integers(0, 100),
        "go_fast": st.booleans(),
        "disable_safety_checker": st.booleans(),
        "hf_token": st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    },
)


NAMES = ["seed", "image", "mask", "lora_weights", "lora_scales", "prompt", "guidance_scale", "output_quality"]


@SETTINGS
@given(inputs=INPUTS, wrong=st.none() | st.tuples(st.sampled_from(NAMES), WRONG))
def ask_what_people_mix_up(watched: Watched, inputs: dict, wrong: tuple | None) -> None:
    inputs = {**inputs, **CHEAP, **({wrong[0]: wrong[1]} if wrong else {})}
    watched.ask(inputs)


def test_mixtures_of_good_and_bad_inputs(watched):
    ask_what_people_mix_up(watched)
    watched.check_end()


# A copy whose files are data: URLs, so that nothing is asked for from anywhere.
SCHEMA = json.loads((REPOSITORY / "openapi.json").read_text())
OPERATION = schemathesis.openapi.from_dict(SCHEMA)["/predictions"]["POST"]
REACHES_OUT = re.compile(r"^\s*(https?:|hf:|civitai|huggingface|replicate|[\w.-]+/[\w.-]+)", re.IGNORECASE)


def kept_here(value: object) -> bool:
    return not (isinstance(value, str) and REACHES_OUT.match(value))


@SETTINGS
@given(case=OPERATION.as_strategy())
def ask_what_the_contract_allows(watched: Watched, case: schemathesis.Case) -> None:
    body = case.body if isinstance(case.body, dict) else {}
    inputs = dict(body["input"]) if isinstance(body.get("input"), dict) else {}
    for name in ("image", "mask"):
        if not kept_here(inputs.get(name)):
            inputs[name] = PNG
    if isinstance(inputs.get("lora_weights"), list):
        inputs["lora_weights"] = [one if kept_here(one) else LORA for one in inputs["lora_weights"]][:5]
    watched.ask({**inputs, **CHEAP})


def test_requests_made_from_the_contract(watched):
    ask_what_the_contract_allows(watched)
    watched.check_end()
    assert watched.answers.total() >= 2 * COUNT
    assert watched.answers["succeeded"] > COUNT / 10, watched.answers
    assert watched.answers["422"] > COUNT / 20, watched.answers
    print(watched.answers)  # noqa: T201 - shown by pytest -s
