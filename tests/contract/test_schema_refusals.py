"""What Cog would drop or read otherwise is refused."""

import pytest

from easel.schema.openapi import SchemaError
from tests.support.schema_refusals_common import HEAD, TAIL, read, refusal_of_input


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("ge=LOW", "ge must be a literal"),
        ("ge=0 + 1", "ge must be a literal"),
        ("le=HIGH", "le must be a literal"),
        ("default=default_of('x')", "default must be a literal"),
        ("default=LOW", "default must be a literal"),
        ("choices=CHOICES", "choices must be a literal"),
        ("choices=list(CHOICES)", "choices must be a literal"),
        ("choices=[1, HIGH]", "choices must be a literal"),
        ("deprecated=not True", "deprecated must be a literal"),
    ],
)
def test_what_cog_would_have_to_compute_is_refused(tmp_path, keyword, words):
    message = refusal_of_input(tmp_path, f'n: int = Input({keyword}, description="d")')
    assert message.startswith(f"predict.py:10: n: {words}")


@pytest.mark.parametrize("value", ['f"one of {HIGH}"', "HIGH", '"a" + "b"', '"%d" % 3'])
def test_a_description_that_cog_drops_is_refused(tmp_path, value):
    message = refusal_of_input(tmp_path, f"n: int = Input(description={value})")
    assert message.startswith("predict.py:10: n: description must be a literal")


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("ge=(1)", "ge"),
        ("ge=- 1", "ge"),
        ("ge=+1", "ge"),
        ("le=0x10", "le"),
        ("le=1_000", "le"),
        ('description=("parenthesised")', "description"),
        ('description=u"old"', "description"),
    ],
)
def test_a_literal_that_cog_drops_for_its_spelling_is_refused(tmp_path, keyword, name):
    described = "" if name == "description" else ', description="d"'
    message = refusal_of_input(tmp_path, f"n: int = Input({keyword}{described})")
    assert message.startswith(f"predict.py:10: n: Cog reads this {name} differently from Python")


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ('default="a" "b"', "default"),
        (r'default="tab\there"', "default"),
        (r'regex="\\d"', "regex"),
        ('choices=["a" "b", "c"]', "choices"),
        (r'choices=["it\'s", "c"]', "choices"),
    ],
)
def test_a_text_that_cog_cuts_out_of_the_source_wrongly_is_refused(tmp_path, keyword, name):
    message = refusal_of_input(tmp_path, f's: str = Input({keyword}, description="d")')
    assert message.startswith(f"predict.py:10: s: Cog reads this {name} differently from Python")


def test_a_description_in_two_parts_is_refused_as_cog_would_publish_its_quotes_and_line_break(tmp_path):
    text = f'{HEAD}        s: str = Input(\n            description="one "\n            "two",\n        ),\n{TAIL}'
    with pytest.raises(SchemaError, match="predict.py:11: s: Cog reads this description differently from Python"):
        read(tmp_path, text)


@pytest.mark.parametrize("value", ['"one"', "'one'", 'r"one"', '"""one"""'])
def test_a_description_in_one_part_is_read(tmp_path, value):
    runner = read(tmp_path, f"{HEAD}        s: str = Input(description={value}),\n{TAIL}")
    assert runner.inputs[0].description == "one"


@pytest.mark.parametrize(
    ("declaration", "words"),
    [
        ("n", "the type is missing"),
        ('n=Input(description="d")', "the type is missing"),
        ("n: int", "write Input(description=...)"),
        ("n: int = 3", "write Input(description=...)"),
        ('n: int = cog.Input(description="d")', "write Input(description=...)"),
        ("n: int = Input(default=3)", "describe it"),
        ('n: int = Input(default=3, description="  ")', "describe it"),
        ("n: int = Input(default=3, description=None)", "describe it"),
        ('n: int = Input(3, description="d")', "Cog drops what stands in Input() without a name"),
        ('n: int = Input(**HIGH, description="d")', "use description, default, ge"),
        ('n: int = Input(default_factory=list, description="d")', "use description, default, ge"),
        ('n: int = Input(gt=3, description="d")', "use description, default, ge"),
    ],
)
def test_an_input_that_is_not_plainly_declared_and_described_is_refused(tmp_path, declaration, words):
    assert refusal_of_input(tmp_path, declaration).startswith(f"predict.py:10: n: {words}")


@pytest.mark.parametrize(
    "annotation",
    [
        "dict",
        "Any",
        "list",
        "list[list[int]]",
        "list[int|None]",
        "int|str",
        "int|str|None",
        "None",
        "None|None",
        "Optional[int]",
        "cog.Path",
        "'int'",
    ],
)
def test_a_type_that_is_not_used_here_is_refused(tmp_path, annotation):
    message = refusal_of_input(tmp_path, f'n: {annotation} = Input(description="d")')
    assert message.startswith("predict.py:10: n: use str, int, float, bool, Path, Secret, a list[...]")
    assert message.endswith(f"not {annotation}")
