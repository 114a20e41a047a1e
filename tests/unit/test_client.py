"""Inputs of the command line as the JSON that a server takes."""

import base64
import json

import pytest

from easel.errors import InputError
from easel.local.inputs import cast_inputs, encode_files, parse_inputs, read_json_inputs

SCHEMA = {
    "components": {
        "schemas": {
            "Input": {
                "required": ["prompt"],
                "properties": {
                    "prompt": {"type": "string"},
                    "steps": {"type": "integer", "nullable": True},
                    "scale": {"anyOf": [{"type": "null"}, {"type": "number"}]},
                    "upscale": {"type": "boolean"},
                    "ratio": {"allOf": [{"$ref": "#/components/schemas/ratio"}], "default": "1:1"},
                    "levels": {"allOf": [{"$ref": "#/components/schemas/levels"}]},
                    "image": {"type": "string", "format": "uri"},
                    "lora_scales": {"type": "array", "items": {"type": "number"}},
                    "options": {"type": "object"},
                },
            },
            "ratio": {"type": "string", "enum": ["1:1", "16:9"]},
            "levels": {"type": "integer", "enum": [1, 2]},
        }
    }
}


def cast(*pairs: str) -> dict:
    return cast_inputs(parse_inputs(["prompt=x", *pairs]), SCHEMA)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("steps=7", 7),
        ("steps=0", 0),
        ("scale=3.5", 3.5),
        ("scale=3", 3),
        ("upscale=true", True),
        ("upscale=False", False),
        ("ratio=16:9", "16:9"),
        ("levels=2", 2),
        ("lora_scales=0.5", [0.5]),
        ("lora_scales=[0.5, 1]", [0.5, 1]),
        ('options={"a": 1}', {"a": 1}),
        ("image=https://example.com/a.png?b=c", "https://example.com/a.png?b=c"),
    ],
)
def test_a_value_gets_the_type_that_the_server_asks_for(pair, value):
    result = cast(pair)[pair.partition("=")[0]]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=b", "a=b"), ('"two words"', "two words"), ('"', '"'), ("", ""), ("7", "7"), ("true", "true")],
)
def test_a_prompt_is_text_whatever_it_looks_like(text, value):
    inputs = parse_inputs([f"prompt={text}"])
    assert cast_inputs(inputs, SCHEMA) == {"prompt": value}


def test_a_repeated_name_is_a_list():
    assert cast("lora_scales=0.5", "lora_scales=1")["lora_scales"] == [0.5, 1]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("steps=ten", "steps: 'ten' is not a whole number"),
        ("steps=", "steps: '' is not a whole number"),
        ("steps=1.5", "steps: '1.5' is not a whole number"),
        ("scale=nan", "scale: 'nan' is not a number"),
        ("upscale=1", "upscale: '1' is not true or false"),
        ("options={", "options: '{' is not JSON"),
        ("prompt=y", "prompt: given 2 times"),
        ("image=@nowhere.png", "image: cannot read 'nowhere.png'"),
    ],
)
def test_a_value_that_cannot_be_sent_is_named(pair, words):
    with pytest.raises(InputError, match=words):
        cast(pair)


def test_all_wrong_values_are_named_together():
    with pytest.raises(InputError, match=r"steps: .*\nupscale: "):
        cast("steps=ten", "upscale=maybe")


def test_unknown_and_missing_inputs_are_named_with_those_that_there_are():
    with pytest.raises(InputError) as caught:
        cast_inputs(parse_inputs(["promt=x"]), SCHEMA)
    assert str(caught.value).splitlines() == [
        "There is no input 'promt'.",
        "The input 'prompt' is missing.",
        "This model takes: prompt, steps, scale, upscale, ratio, levels, image, lora_scales, options.",
    ]


@pytest.mark.parametrize("pair", ["prompt", "=x", ""])
def test_an_input_without_name_or_value_is_refused(pair):
    with pytest.raises(InputError, match="expected name=value"):
        parse_inputs([pair])


def test_a_file_becomes_a_data_url(tmp_path):
    path = tmp_path / "photo.webp"
    path.write_bytes(b"image")
    assert cast(f"image=@{path}")["image"] == "data:image/webp;base64," + base64.b64encode(b"image").decode()
    assert encode_files({"image": "@photo.webp", "steps": 7}, tmp_path) == {
        "image": cast(f"image=@{path}")["image"],
        "steps": 7,
    }


TEXT_TYPES = {
    "prompt": {"type": "string"},
    "hf_token": {"type": "string", "format": "password", "x-cog-secret": True},
    "image": {"type": "string", "format": "uri", "nullable": True},
    "loras": {"type": "array", "items": {"type": "string"}},
}


TEXT_SCHEMA = {"components": {"schemas": {"Input": {"properties": TEXT_TYPES}}}}


@pytest.mark.parametrize("name", ["prompt", "hf_token"])
@pytest.mark.parametrize("data", [b"a red apple\n", b"a red apple", b"\xef\xbb\xbfa red apple\r\n"])
def test_a_text_input_takes_the_text_of_a_file(tmp_path, name, data):
    (tmp_path / "prompt.txt").write_bytes(data)
    path = f"@{tmp_path / 'prompt.txt'}"
    assert cast_inputs(parse_inputs([f"{name}={path}"]), TEXT_SCHEMA) == {name: "a red apple"}
    assert encode_files({name: "@prompt.txt"}, tmp_path, TEXT_SCHEMA) == {name: "a red apple"}


def test_the_items_of_a_list_and_files_are_sent_as_data_urls(tmp_path):
    (tmp_path / "lora.safetensors").write_bytes(b"abc")
    url = "data:application/octet-stream;base64,YWJj"
    path = f"@{tmp_path / 'lora.safetensors'}"
    assert cast_inputs(parse_inputs([f"loras={path}"]), TEXT_SCHEMA) == {"loras": [url]}
    assert encode_files({"loras": ["@lora.safetensors"]}, tmp_path, TEXT_SCHEMA) == {"loras": [url]}


def test_a_file_that_is_no_text_is_no_prompt(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match=r"prompt takes a text, and .*photo.jpg is not one in UTF-8"):
        cast_inputs(parse_inputs([f"prompt=@{tmp_path / 'photo.jpg'}"]), TEXT_SCHEMA)


def test_a_path_without_its_at_sign_is_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").touch()
    for give in (
        lambda value: cast_inputs(parse_inputs([f"image={value}"]), TEXT_SCHEMA),
        lambda value: encode_files({"image": value}, tmp_path, TEXT_SCHEMA),
    ):
        with pytest.raises(InputError, match=r"image: 'photo.jpg' is not a URL. Write image=@photo.jpg to send"):
            give("photo.jpg")
        for value in ("nowhere.jpg", "file:///etc/passwd", "ftp://example.com/a.png", ""):
            with pytest.raises(InputError, match=r"image: .* must be @ and the path of a file, an https:// address or"):
                give(value)
        for value in ("https://example.com/a.png", "data:image/png;base64,AAAA"):
            assert give(value) == {"image": value}


def test_json_inputs_come_from_the_argument_a_file_or_standard_input(tmp_path, monkeypatch):
    text = '{"prompt": "x", "steps": 7}'
    path = tmp_path / "request.json"
    path.write_text(text)
    with path.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        read = [read_json_inputs(source) for source in (text, f"@{path}", "@-")]
    assert read == [json.loads(text)] * 3


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "@nowhere.json"])
def test_json_that_is_no_object_of_inputs_is_refused(text):
    with pytest.raises(InputError, match=r"not JSON|expected an object|cannot read"):
        read_json_inputs(text)
