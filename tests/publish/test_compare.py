"""Step 2: what breaks whom, by line."""

import pytest

from easel.errors import InputError
from easel.publish.callers import find_lines, read_callers
from easel.publish.compare import compare, describe_breaks, same_contract
from easel.schema.compat import Break
from tests.publish.trees import document, make_tree


def schemas(schema):
    return schema["components"]["schemas"]


def without_input(name):
    schema = document()
    del schemas(schema)["Input"]["properties"][name]
    return schema


def hits(change, *lines):
    return [line.number for line in find_lines(change, [("caller.py", "\n".join(lines))])]


def test_an_input_that_went_away_is_found_in_every_spelling_and_in_no_other_word():
    lines = [
        '{"prompt": "a", "seed": 1}',
        "predict -i prompt=a -i seed=1",
        "const input = { prompt, seed: 1 };",
        "body = dict(prompt='a', seed = 1)",
        "input['seed'] = 1",
        "| `seed` | random | 0 to 4294967295 |",
        'print(prediction["metrics"]["seeds"]); my_seed = 2',
        "if seed == 1:",
    ]
    assert hits(Break("seed", "the input is gone", "gone"), *lines) == [1, 2, 3, 4, 5]


def test_only_the_choice_that_went_away_breaks():
    change = Break("aspect_ratio", "the choice '16:9' is gone", "choice", "16:9")
    lines = [
        '"aspect_ratio": "16:9"',
        "aspect_ratio=16:9",
        'aspect_ratio: "1:1"',
        "aspect_ratio='16:90'",
        '"x": "16:9"',
    ]
    assert hits(change, *lines) == [1, 2]


@pytest.mark.parametrize(
    ("change", "lines", "broken"),
    [
        (Break("n", "", "maximum", 2), ["n=2", "n=3", '"n": 4}', "n=count"], [2, 3, 4]),
        (Break("n", "", "minimum", 1), ["n=-1", "n=0.5", "n=1"], [1, 2]),
        (Break("n", "", "maxLength", 3), ["n='abc'", 'n="abcd"', "n=text"], [2, 3]),
        (Break("n", "", "enum", ["a", "b"]), ["n=a", "n='c'"], [2]),
        (Break("n", "", "null"), ["n: null", "n=None", "n=1"], [1, 2]),
        (Break("n", "", "type"), ["n=1", "m=1"], [1]),
        (Break("output", "", "output"), ["output = 1"], []),
    ],
)
def test_a_value_that_still_works_is_no_break(change, lines, broken):
    assert hits(change, *lines) == broken


def test_a_request_that_lacks_what_is_now_required_breaks():
    files = [("a.json", '{"prompt": "a"}'), ("b.json", '{"style": 1}'), ("c.json", "[]"), ("d.json", "{"), ("e.py", "")]
    assert [str(line) for line in find_lines(Break("style", "", "required"), files)] == ['a.json:1: {"prompt": "a"}']


def test_breaks_are_told_with_the_lines_of_the_tree_and_of_more_folders(tmp_path):
    root = make_tree(tmp_path / "tree")
    more = tmp_path / "app"
    (more / "node_modules").mkdir(parents=True)
    (more / "app.js").write_text("\n\nawait run({ prompt: 'a', aspect_ratio: '16:9' });\n")
    (more / "node_modules" / "skipped.js").write_text("aspect_ratio: 1")
    (more / "image.png").write_bytes(b"\xff\xfe aspect_ratio=1")
    found = compare("v1", document(), without_input("aspect_ratio"), read_callers(root, [more]))
    told = describe_breaks(found)
    assert [str(change) for change in found.breaks] == ["aspect_ratio: the input is gone"]
    assert "samples/requests/dog-16x9.json:1: " in told
    assert f"{more}/app.js:3: await run(" in told
    assert "README.md:" in told
    assert "skipped" not in told
    assert found.differences == ["breaks callers: aspect_ratio: the input is gone"]


def test_a_break_that_no_known_caller_meets_says_so():
    found = compare("v1", document(), without_input("go_fast"), [])
    assert "no line of the callers that were searched; callers elsewhere may break" in describe_breaks(found)


def test_callers_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such file or folder"):
        read_callers(tmp_path, [tmp_path / "nowhere"])


def test_other_changes_are_told_and_break_nobody():
    ours = document()
    properties = schemas(ours)["Input"]["properties"]
    properties["style"] = {"type": "string", "default": "", "x-order": 20}
    properties["seed"]["description"] = "Another."
    properties["num_outputs"]["maximum"] = 8
    properties["output_quality"]["default"] = 90
    schemas(ours)["output_format"]["enum"].append("avif")
    found = compare("v1", document(), ours, [])
    assert found.breaks == ()
    assert sorted(found.others) == [
        "num_outputs: maximum was 4 and is 8",
        "output_format: the new choice 'avif'",
        "output_quality: default was 80 and is 90",
        "seed: another description",
        "style: a new input",
    ]


def test_a_tighter_limit_is_told_once():
    ours = document()
    schemas(ours)["Input"]["properties"]["num_outputs"]["maximum"] = 2
    assert compare("v1", document(), ours, []).differences == ["breaks callers: num_outputs: maximum was 4 and is 2"]


def test_without_a_live_version_nothing_breaks():
    assert compare(None, None, document(), []).differences == []


def test_a_contract_is_the_same_both_ways():
    assert same_contract(document(), document())
    assert not same_contract(document(), without_input("seed"))
    assert not same_contract(without_input("prompt"), document())
