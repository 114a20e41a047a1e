"""Step 2: what the model's page would lack."""

import pytest

from easel.publish.page_lint import lint_readme, lint_schema
from tests.publish.trees import REPOSITORY, document


def inputs(schema):
    return schema["components"]["schemas"]["Input"]["properties"]


def test_our_own_page_is_complete():
    assert lint_schema(document()) == []
    assert lint_readme(REPOSITORY, document()) == []


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("seed", {"description": ""}, "seed: has no description"),
        ("output_format", {"description": "An enumeration."}, "output_format: has no description"),
        ("seed", {"description": "A number"}, "seed: its description does not end in a full stop"),
        ("seed", {"minimum": None}, "seed: has no minimum"),
        ("num_outputs", {"maximum": None}, "num_outputs: has no maximum"),
        ("num_outputs", {"default": 9}, "num_outputs: its default 9 is outside of its limits"),
        ("prompt", {"maxLength": None}, "prompt: has no maxLength"),
        ("prompt", {"default": "a dog"}, "prompt: is required and has a default"),
        ("go_fast", {"default": None}, "go_fast: is optional and has no default"),
        ("output_format", {"default": "gif"}, "output_format: its default 'gif' is not among its choices"),
        (
            "seed",
            {"x-order": 1},
            "the inputs are not numbered from 0 by x-order, so the page would show them in any order",
        ),
    ],
)
def test_an_incomplete_input_is_named(name, change, problem):
    schema = document()
    published = inputs(schema)[name]
    for key, value in change.items():
        if value is None:
            del published[key]
        else:
            published[key] = value
    assert lint_schema(schema) == [problem]


def test_a_schema_without_inputs_is_no_page():
    assert lint_schema({}) == ["the schema has no inputs"]


def test_a_readme_shows_a_picture_an_example_and_every_input(tmp_path):
    assert lint_readme(tmp_path, document()) == ["README.md is missing: it is the text of the model's page"]
    (tmp_path / "README.md").write_text("".join(f"`{name}` " for name in inputs(document()) if name != "mask"))
    assert lint_readme(tmp_path, document()) == [
        "README.md shows no image",
        "README.md has no example: a fenced block that sends a prompt",
        "README.md does not name the input `mask`",
    ]
    with (tmp_path / "README.md").open("a") as file:
        file.write("`mask`\n![An image](a.png)\n```sh\npredict -i prompt=dog\n```\n")
    assert lint_readme(tmp_path, document()) == ["README.md shows a.png, which is not there"]
    (tmp_path / "a.png").touch()
    assert lint_readme(tmp_path, document()) == []
