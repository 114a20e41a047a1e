"""A change that breaks callers is named; a change that does not is let through."""

import pytest

from easel.schema.openapi import breaking_changes, openapi

RUNNER = """from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(self, prompt: str = Input(description="p"), {declaration}) -> {output}:
        return []
"""


@pytest.fixture
def document(tmp_path):
    def build(*declarations, output="list[Path]"):
        path = tmp_path / "predict.py"
        path.write_text(RUNNER.format(declaration=", ".join(declarations), output=output), encoding="utf-8")
        return openapi(path)

    return build


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("n: int = Input(default=1, {})", "", "n: the input is gone"),
        ("", "n: int = Input({})", "n: a new input is required"),
        ("n: int = Input(default=1, {})", "n: int = Input({})", "n: is now required"),
        (
            "n: int = Input(default=1, {})",
            'n: str = Input(default="1", {})',
            "n: the type was integer and is string",
        ),
        (
            "n: Path | None = Input(default=None, {})",
            "n: str | None = Input(default=None, {})",
            "n: the type was string uri and is string",
        ),
        (
            "n: list[int] = Input({})",
            "n: list[str] = Input({})",
            "n: the type was array {'type': 'integer'} and is array {'type': 'string'}",
        ),
        (
            "n: int | None = Input(default=None, {})",
            "n: int = Input(default=1, {})",
            "n: null is no longer accepted",
        ),
        ("n: int = Input(ge=1, {})", "n: int = Input(ge=2, {})", "n: minimum was 1 and is 2"),
        ("n: int = Input({})", "n: int = Input(ge=0, {})", "n: minimum was open and is 0"),
        ("n: float = Input(le=1.5, {})", "n: float = Input(le=1, {})", "n: maximum was 1.5 and is 1"),
        ("n: int = Input({})", "n: int = Input(le=9, {})", "n: maximum was open and is 9"),
        ("n: str = Input(min_length=1, {})", "n: str = Input(min_length=2, {})", "n: minLength was 1 and is 2"),
        ("n: str = Input(max_length=9, {})", "n: str = Input(max_length=8, {})", "n: maxLength was 9 and is 8"),
        ("n: str = Input({})", 'n: str = Input(regex="^a", {})', "n: pattern was open and is ^a"),
        ('n: str = Input(regex="^a", {})', 'n: str = Input(regex="^b", {})', "n: pattern was ^a and is ^b"),
        (
            'n: str = Input(choices=["a", "b", "c"], {})',
            'n: str = Input(choices=["a", "c"], {})',
            "n: the choice 'b' is gone",
        ),
        (
            "n: str = Input({})",
            'n: str = Input(choices=["a", "b"], {})',
            "n: any value was allowed and now only ['a', 'b']",
        ),
    ],
)
def test_breaking_change_is_named(document, old, new, change):
    described = 'description="d"'
    before, after = document(old.format(described)), document(new.format(described))
    assert breaking_changes(before, after) == [change]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "n: int = Input(default=1, {})"),
        ("", "n: int | None = Input({})"),
        ("n: int = Input({})", "n: int = Input(default=1, {})"),
        ("n: int = Input(default=1, {})", "n: int = Input(default=2, {})"),
        ("n: int = Input(default=1, {})", "n: int | None = Input(default=None, {})"),
        ("n: int = Input(ge=2, le=3, {})", "n: int = Input(ge=1, le=4, {})"),
        ("n: int = Input(ge=2, le=3, {})", "n: int = Input({})"),
        ("n: str = Input(min_length=2, max_length=3, {})", "n: str = Input(min_length=1, {})"),
        ('n: str = Input(regex="^a", {})', "n: str = Input({})"),
        ('n: str = Input(choices=["a", "b"], {})', 'n: str = Input(choices=["c", "b", "a"], {})'),
        ('n: str = Input(choices=["a", "b"], {})', "n: str = Input({})"),
        ("n: int = Input({})", "n: int = Input(deprecated=True, {})"),
        # A hint for file pickers, which Cog's server checks nothing by (tried with coglet 0.23.1).
        ("n: Path = Input({})", 'n: Path = Input(accept="image/*", {})'),
        ('n: Path = Input(accept="image/*", {})', 'n: Path = Input(accept="image/png", {})'),
    ],
)
def test_other_change_is_let_through(document, old, new):
    before, after = document(old.format('description="d"')), document(new.format('description="other"'))
    assert breaking_changes(before, after) == []


def test_another_order_of_inputs_is_let_through(document):
    a, b = 'a: int = Input(default=1, description="a")', 'b: int = Input(default=1, description="b")'
    assert breaking_changes(document(a, b), document(b, a)) == []


def test_another_output_is_named(document):
    change = breaking_changes(document(""), document("", output="Path"))
    assert change == [
        "output: was {'type': 'array', 'items': {'type': 'string', 'format': 'uri'}} "
        "and is {'type': 'string', 'format': 'uri'}"
    ]


def test_every_change_is_named_at_once(document):
    before = document('a: int = Input(default=1, le=9, description="a")', 'b: int = Input(default=1, description="b")')
    after = document('a: int = Input(le=8, description="a")', output="str")
    assert [change.split(":")[0] for change in breaking_changes(before, after)] == ["b", "a", "a", "output"]


def test_the_same_document_breaks_nothing(document):
    same = document('n: str = Input(default="a", choices=["a", "b"], description="d")')
    assert breaking_changes(same, same) == []


NULL = {"type": "null"}


def with_input(published: dict, **schemas: dict) -> dict:
    return {"components": {"schemas": {"Input": {"properties": {"n": published}}, **schemas}}}


NULLABLE = with_input({"type": "integer", "minimum": 1, "nullable": True, "title": "N"})
CHOICE = {"type": "string", "enum": ["a", "b"]}


@pytest.mark.parametrize(
    "written",
    [
        {"anyOf": [{"type": "integer", "minimum": 1}, NULL], "title": "N"},
        {"anyOf": [NULL, {"type": "integer", "minimum": 1}]},
        {"oneOf": [{"type": "integer", "minimum": 1}, NULL]},
        {"type": ["integer", "null"], "minimum": 1},
    ],
)
def test_null_is_the_same_however_it_is_written(written):
    assert breaking_changes(NULLABLE, with_input(written)) == breaking_changes(with_input(written), NULLABLE) == []
    closed = with_input({"type": "integer", "minimum": 1})
    assert breaking_changes(with_input(written), closed) == ["n: null is no longer accepted"]
    tighter = with_input({"anyOf": [{"type": "integer", "minimum": 2}, NULL]})
    assert breaking_changes(with_input(written), tighter) == ["n: minimum was 1 and is 2"]


def test_choices_that_may_be_null_are_compared():
    reference = {"$ref": "#/components/schemas/n"}
    old = with_input({"anyOf": [reference, NULL]}, n=CHOICE)
    assert breaking_changes(old, with_input({"allOf": [reference], "nullable": True}, n=CHOICE)) == []
    fewer = with_input({"anyOf": [reference, NULL]}, n=CHOICE | {"enum": ["a"]})
    assert breaking_changes(old, fewer) == ["n: the choice 'b' is gone"]


def test_two_kinds_that_are_not_null_stay_as_they_are():
    either = with_input({"anyOf": [{"type": "integer"}, {"type": "string"}]})
    assert breaking_changes(either, either) == []
