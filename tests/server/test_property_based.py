"""2,000 requests that nobody thought of, half of them made from openapi.json: no crash, no leak, no trace."""

import base64
import io
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from easel.client import send
from easel.server import Server, run_server
from tests.server.bad_inputs.cases import IMAGES, LORA, LORAS, PNG, TEXTS
from tests.server.bad_inputs.files import mask

REPOSITORY = Path(__file__).resolve().parents[2]
COUNT = 1000  # for each of the two sources
REFERENCE = {"prompt": "red apple", "width": 64, "height": 64, "num_inference_steps": 1, "seed": 3}
# What takes the place of good values: one step at the smallest size, so that it is the requests that are many.
CHEAP = {"num_inference_steps": 1, "width": 64, "height": 64}
LIMITS = {"num_inference_steps": (1, 50), "width": (64, 192), "height": (64, 192)}  # 192 x 192 is the largest area
NAMED = r"(Prediction failed: )*(InputError|AdapterError|FetchError|SafetyError|ResourceError): \S.*\."
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
    """A server, what it answered, and the picture that it must go on making."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.answers: Counter[str] = Counter()
        self.reference = self.make_reference()
        self.worker = self.find_worker()

    def make_reference(self) -> list[str]:
        status, answer = send(self.server.url, {"input": REFERENCE})
        assert (status, answer["status"]) == (200, "succeeded"), answer
        return answer["output"]

    def find_worker(self) -> int:
        (process,) = psutil.Process(self.server.process.pid).children(recursive=True)
        return process.pid

    def ask(self, inputs: dict) -> None:
        status, answer = send(self.server.url, {"input": inputs})
        assert status in (200, 422), (status, answer)
        kind = str(status)
        if status == 200:
            kind = answer["status"]
            assert kind in ("succeeded", "failed"), answer
            if kind == "failed":
                assert re.fullmatch(f"{NAMED}|{COGS_OWN}", answer["error"], re.DOTALL), (answer["error"], inputs)
                assert "Traceback" not in answer["error"] + answer["logs"], answer
                kind += " " + answer["error"].replace("Prediction failed: ", "").split(": ")[0]
        self.answers[kind] += 1
        if self.answers.total() % 100 == 0:
            assert self.make_reference() == self.reference, inputs

    def check_end(self, count: int) -> None:
        assert self.answers.total() >= count
        assert self.make_reference() == self.reference
        assert self.find_worker() == self.worker
        deadline = time.monotonic() + 5
        while left := [name for _, _, names in os.walk(self.folder) for name in names]:
            assert time.monotonic() < deadline, left
            time.sleep(0.02)


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("of-the-server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("EASEL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        with run_server(REPOSITORY, timeout=120) as server:
            yield Watched(server, folder)


def cheap(inputs: dict) -> dict:
    """The inputs with the numbers that mean work cut down, but for those that will be refused: they stay."""

    def is_good(name: str) -> bool:
        value, (low, high) = inputs.get(name, CHEAP[name]), LIMITS[name]
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and value % 1 == 0
        )

    steps = {"num_inference_steps": 1} if is_good("num_inference_steps") else {}
    # One without the other, and more pixels than there may be, are refused: they stay as well.
    given = ("width" in inputs) == ("height" in inputs)
    size = {"width": 64, "height": 64} if given and is_good("width") and is_good("height") else {}
    return {**inputs, **steps, **size}


def small_picture(pixels: bytes, mode: str, kind: str) -> str:
    side = 8
    stream = io.BytesIO()
    Image.frombytes(mode, (side, side), (pixels * 256)[: side * side * len(mode)]).save(stream, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def damaged(url: str, at: int, letter: str) -> str:
    start = url.index(",") + 1
    at = start + at % (len(url) - start)
    return url[:at] + letter + url[at + 1 :]


BLANK = [row[1].get("prompt", "x") for row in TEXTS]
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=200),
    st.text(min_size=1),
    st.sampled_from(BLANK),
)
SIZE = st.one_of(st.integers(64, 192), st.sampled_from([0, 63, 64, 65, 192, 193, 576, 2048, 2049, 64.5, 96.0]))
TOKEN = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
PICTURE = st.builds(
    small_picture,
    st.binary(min_size=1, max_size=64),
    st.sampled_from(["L", "RGB"]),
    st.sampled_from(["PNG", "WEBP", "GIF"]),
)
LETTER = st.sampled_from("ABCabc019+/=")
DAMAGED = st.builds(damaged, PICTURE, st.integers(0, 500), LETTER)
# Nothing is to be fetched, and the 40 MB of the one that is too large are sent by the table.
AT_HAND = [url for row in IMAGES if not (url := row[1].get("image", PNG)).startswith("http") and len(url) < 10**6]
IMAGE = st.one_of(PICTURE, PICTURE, DAMAGED, st.sampled_from(AT_HAND))
MASK = st.one_of(st.just(mask((8, 8))), PICTURE, DAMAGED, st.sampled_from([row[1].get("mask", PNG) for row in IMAGES]))
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
        "num_inference_steps": st.integers(1, 51),
        "width": SIZE,
        "height": SIZE,
        "image": IMAGE,
        "mask": MASK,
        "prompt_strength": st.floats(0, 1),
        "aspect_ratio": st.sampled_from(["1:1", "16:9", "match_input_image"]),
        "num_outputs": st.integers(1, 3),
        "guidance_scale": st.floats(0, 20),
        "seed": st.integers(0, 2**32 - 1),
        "lora_weights": st.lists(ONE_LORA, max_size=2) | st.lists(st.just(LORA), max_size=5),
        "lora_scales": st.lists(st.floats(-2, 2), max_size=2) | st.lists(st.floats(-2.1, 2.1), max_size=1),
        "output_format": st.sampled_from(["png", "jpg", "webp"]),
        "output_quality": st.integers(0, 100),
        "disable_safety_checker": st.booleans(),
        "hf_token": TOKEN,
        "civitai_token": TOKEN | st.text(max_size=20),
    },
)
NAMES = [
    "prompt", "negative_prompt", "image", "mask", "prompt_strength", "aspect_ratio", "width", "height", "num_outputs",
    "num_inference_steps", "guidance_scale", "seed", "lora_weights", "lora_scales", "output_format", "output_quality",
    "disable_safety_checker", "hf_token", "civitai_token",
]  # fmt: skip
# Which of them are sent: most often few, so that each is often the only one that may be wrong.
SOME = st.one_of(st.sets(st.sampled_from(NAMES), max_size=4), st.just(set(NAMES)))
NEEDS = {"width": "height", "mask": "image", "lora_scales": "lora_weights"}


@SETTINGS
@given(inputs=INPUTS, some=SOME, wrong=st.none() | st.none() | st.tuples(st.sampled_from(NAMES), WRONG))
def ask_what_people_mix_up(watched: Watched, inputs: dict, some: set, wrong: tuple | None) -> None:
    some = some | {"prompt"} | {NEEDS[name] for name in some if name in NEEDS}
    inputs = {name: value for name, value in inputs.items() if name in some}
    watched.ask(cheap({**inputs, **({wrong[0]: wrong[1]} if wrong else {})}))


def test_a_thousand_mixtures_of_good_and_bad_inputs(watched):
    ask_what_people_mix_up(watched)
    print(watched.answers)  # noqa: T201 - shown by pytest -s
    watched.check_end(COUNT)


SCHEMA = json.loads((REPOSITORY / "openapi.json").read_text())
OPERATION = schemathesis.openapi.from_dict(SCHEMA)["/predictions"]["POST"]
REACHES_OUT = re.compile(r"^\s*(https?:|hf:|civitai|huggingface|replicate|[\w.-]+/[\w.-]+)", re.IGNORECASE)


def kept_here(value: object) -> bool:
    return not (isinstance(value, str) and REACHES_OUT.match(value))


@SETTINGS
@given(case=OPERATION.as_strategy())
def ask_what_the_contract_allows(watched: Watched, case: schemathesis.Case) -> None:
    """Its files are data: URLs or no URLs at all, so that nothing is asked for from anywhere."""
    body = case.body if isinstance(case.body, dict) else {}
    inputs = dict(body["input"]) if isinstance(body.get("input"), dict) else {}
    for name in ("image", "mask"):
        if not kept_here(inputs.get(name)):
            inputs[name] = PNG
    if isinstance(inputs.get("lora_weights"), list):
        inputs["lora_weights"] = [one if kept_here(one) else LORA for one in inputs["lora_weights"]][:5]
    watched.ask(cheap(inputs))


def test_a_thousand_requests_made_from_the_contract(watched):
    before = watched.answers.total()
    ask_what_the_contract_allows(watched)
    watched.check_end(before + COUNT)
    assert watched.answers["succeeded"] > COUNT / 10, watched.answers
    assert watched.answers["422"] > COUNT / 20, watched.answers
    print(watched.answers)  # noqa: T201 - shown by pytest -s
