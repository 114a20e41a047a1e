"""`model.yaml`: the committed one is sound, and each kind of wrong one is refused with its path and its key."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
import yaml

from easel.errors import WeightsError
from easel.models import Model, load_model
from easel.plan import plan_request
from easel.request import LIMITS, Request
from easel.sizes import ASPECT_RATIOS

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
COMMITTED = sorted(path.parent.name for path in WEIGHTS.glob("*/model.yaml"))
TINY = {
    "name": "tiny",
    "title": "Tiny",
    "license": "Apache-2.0",
    "source": "nowhere",
    "pipelines": {"text": "ZImagePipeline"},
    "dtype": {"default": "float32", "vae": "float16"},
    "num_inference_steps": 8,
    "guidance_scale": 1.5,
    "native_area": 16384,
    "min_area": 4096,
    "max_area": 36864,
    "multiple": 16,
    "max_prompt_tokens": 64,
    "safety_checker": None,
    "skip": {"text_encoder": ["layers.35", "norm"]},
    "go_fast": {"exact_passes": 5},
    "attention": {"9.0": ["_native_cudnn"]},
    "memory_modes": {"resident": 22.7, "turns": 14},
    "hardware": {"device": "cuda", "memory_gb": 24},
    "preview": {"linear": "preview.json"},
    "training": {
        "steps": 100,
        "learning_rate": 1e-3,
        "batch_size": 1,
        "resolution": "128",
        "preserve": [],
        "adapter": None,
        "measure": None,
    },
}


def write_model(root, values):
    folder = root / "tiny"
    folder.mkdir(exist_ok=True)
    text = values if isinstance(values, str) else yaml.safe_dump(values)
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    return folder


def refusal(folder):
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    return str(caught.value)


def test_the_embedded_model_is_among_the_committed_ones():
    assert "emoji" in COMMITTED


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_model_loads_and_its_numbers_fit_the_request_and_each_other(name):
    model = load_model(WEIGHTS / name)
    assert model.name == name
    assert "text" in model.pipelines
    assert "default" in model.dtype
    for key in ("num_inference_steps", "guidance_scale"):
        low, high = LIMITS[key]
        assert low <= getattr(model, key) <= high
    assert 0 < model.min_area <= model.native_area <= model.max_area


@pytest.mark.parametrize("name", COMMITTED)
@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
def test_committed_model_makes_every_aspect_ratio_within_its_own_limits(name, aspect_ratio):
    model = load_model(WEIGHTS / name)
    plan = plan_request(Request("x", aspect_ratio=aspect_ratio), model)
    again = plan_request(Request("x", width=plan.width, height=plan.height), model)
    assert (again.width, again.height) == (plan.width, plan.height)


def test_every_key_of_the_file_is_read(tmp_path):
    folder = write_model(tmp_path, TINY)
    model = load_model(folder)
    assert {field.name: getattr(model, field.name) for field in fields(Model)} == {**TINY, "folder": folder}


def test_a_loaded_model_cannot_be_changed(tmp_path):
    model = load_model(write_model(tmp_path, TINY))
    with pytest.raises(FrozenInstanceError):
        model.multiple = 8
    with pytest.raises(TypeError):
        model.dtype["default"] = "bfloat16"
    with pytest.raises(TypeError):
        model.pipelines["image"] = "ZImageImg2ImgPipeline"


def test_missing_folder_is_refused_with_the_models_that_there_are(tmp_path):
    write_model(tmp_path, TINY)
    (tmp_path / "notes").mkdir()
    message = refusal(tmp_path / "tini")
    assert "'tini'" in message
    assert str(tmp_path / "tini" / "model.yaml") in message
    assert message.endswith("Models here: tiny.")


def test_missing_folder_is_refused_where_there_is_no_model_at_all(tmp_path):
    assert refusal(tmp_path / "tiny").endswith("Models here: none.")


@pytest.mark.parametrize(
    "text", ["name: [", "name: tiny\n\ttitle: x", "name: \x01", "name: !!python/object/apply:os.getcwd []"]
)
def test_file_that_is_not_plain_yaml_is_refused_with_its_path(tmp_path, text):
    folder = write_model(tmp_path, text)
    assert refusal(folder).startswith(f"{folder / 'model.yaml'} is not YAML: ")


def test_file_that_is_not_utf_8_is_refused_with_its_path(tmp_path):
    folder = write_model(tmp_path, TINY)
    (folder / "model.yaml").write_bytes("title: Größe".encode("latin-1"))
    assert str(folder / "model.yaml") in refusal(folder)


@pytest.mark.parametrize("text", ["", "tiny", "- name: tiny", "7"])
def test_file_without_keys_is_refused_with_its_path(tmp_path, text):
    folder = write_model(tmp_path, text)
    assert refusal(folder) == f"{folder / 'model.yaml'} must hold keys and values."


@pytest.mark.parametrize("key", TINY)
def test_missing_key_is_named(tmp_path, key):
    folder = write_model(tmp_path, {name: value for name, value in TINY.items() if name != key})
    assert refusal(folder) == f"{folder / 'model.yaml'}: missing key '{key}'."


@pytest.mark.parametrize("key", ["titel", "folder", 7])
def test_unknown_key_is_named(tmp_path, key):
    folder = write_model(tmp_path, {**TINY, key: "x"})
    assert refusal(folder) == f"{folder / 'model.yaml'}: unknown key {key!r}."


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, None)
            for key in TINY
            if key not in ("safety_checker", "go_fast", "memory_modes", "preview", "training")
        ),
        *((key, ["x"]) for key in TINY),
        *((key, True) for key in TINY),
        *((key, 7) for key in ("name", "title", "license", "source", "pipelines", "dtype", "go_fast")),
        *((key, "8") for key in ("num_inference_steps", "guidance_scale", "native_area", "multiple")),
        *((key, 8.0) for key in ("num_inference_steps", "native_area", "min_area", "max_area", "multiple")),
        ("pipelines", {"text": 7}),
        ("dtype", {7: "float32"}),
        ("go_fast", {"exact_passes": 5.0}),
    ],
)
def test_value_of_the_wrong_type_is_named(tmp_path, key, value):
    folder = write_model(tmp_path, {**TINY, key: value})
    message = refusal(folder)
    assert message.startswith(f"{folder / 'model.yaml'}: {key} must be ")
    assert message.endswith(f", not {value!r}.")


def test_mapping_of_anything_else_than_text_says_what_it_should_hold(tmp_path):
    assert "pipelines must be a mapping of text to text" in refusal(
        write_model(tmp_path, {**TINY, "pipelines": {"text": 7}})
    )


def test_whole_number_is_good_for_a_fractional_one(tmp_path):
    assert load_model(write_model(tmp_path, {**TINY, "guidance_scale": 0})).guidance_scale == 0


def test_name_must_be_that_of_the_folder(tmp_path):
    folder = write_model(tmp_path, {**TINY, "name": "large"})
    assert refusal(folder) == f"{folder / 'model.yaml'}: name is 'large', but the folder is 'tiny'."


def test_all_problems_are_named_together(tmp_path):
    values = {**TINY, "titel": "x", "multiple": "16"}
    del values["title"]
    message = refusal(write_model(tmp_path, values))
    for problem in ("unknown key 'titel'", "missing key 'title'", "multiple must be of type int, not '16'"):
        assert problem in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pipelines": {"image": "ZImageImg2ImgPipeline"}}, "pipelines needs the key 'text'"),
        ({"dtype": {"vae": "float32"}}, "dtype the key 'default'"),
        ({"min_area": 0}, "min_area, native_area and max_area"),
        ({"native_area": 1024}, "in this order"),
        ({"max_area": 8192}, "in this order"),
        ({"multiple": 0}, "multiple, num_inference_steps and max_prompt_tokens must be at least 1"),
        ({"pipelines": {"text": "A", "video": "B"}}, "pipelines has the unknown key 'video'"),
        ({"safety_checker": {"folder": "here"}}, "safety_checker must be null or have the keys 'folder' and"),
        ({"go_fast": {}}, "go_fast must be null or have the key 'exact_passes', at least 2"),
        ({"go_fast": {"exact_passes": 1}}, "go_fast must be null or have the key"),
        ({"go_fast": {"exact_passes": 5, "threshold": 1}}, "go_fast must be null or have the key"),
        ({"memory_modes": {}}, "memory_modes must be null or have some of the keys resident, turns, float8"),
        ({"memory_modes": {"small": 1.0}}, "memory_modes must be null or have some of the keys"),
        ({"memory_modes": {"turns": 0}}, "memory_modes must be null or have some of the keys"),
        ({"preview": {}}, "preview must be null or have one key"),
        ({"preview": {"linear": "a", "autoencoder": "b"}}, "preview must be null or have one key"),
        ({"training": {"steps": 100}}, "training must be null or have the keys steps, learning_rate, batch_size"),
        ({"training": {**TINY["training"], "steps": 0.5}}, "training must be null or have the keys"),
        ({"training": {**TINY["training"], "adapter": {"size": 1}}}, "adapter must be null or have the keys source"),
        ({"guidance_scale": -1.0}, "guidance_scale must be 0 or more"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be 0 or more"),
    ],
    ids=str,
)
def test_values_that_contradict_themselves_are_refused(tmp_path, change, words):
    assert words in refusal(write_model(tmp_path, TINY | change))
