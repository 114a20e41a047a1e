"""Inputs that contradict themselves, and runners that are not plain."""

import pytest

from easel.schema.openapi import SchemaError, read_runner
from tests.support.schema_refusals_common import HEAD, TAIL, read, refusal, refusal_of_input


@pytest.mark.parametrize(
    ("annotation", "keyword", "words"),
    [
        ("int", "default=None", "Cog makes an input with default=None required; write int | None"),
        ("int", "default=True", "default True is not of type int"),
        ("int", "default=1.5", "default 1.5 is not of type int"),
        ("str", "default=1", "default 1 is not of type str"),
        ("bool", "default=1", "default 1 is not of type bool"),
        ("float", 'default="1"', "default '1' is not of type float"),
        ("Path", 'default="a.png"', "default 'a.png' is not of type Path"),
        ("list[str]", 'default="a"', "default 'a' is not of type list[str]"),
        ("list[str]", 'default=["a", 1]', "default ['a', 1] is not of type list[str]"),
        ("int", "default=[1]", "default [1] is not of type int"),
        ("int", "default=0, ge=1", "default 0 is outside ge and le"),
        ("int", "default=9, le=8", "default 9 is outside ge and le"),
        ("str", 'default="", min_length=1', "default '' is outside min_length and max_length"),
        ("str", 'default="abc", max_length=2', "default 'abc' is outside min_length and max_length"),
        ("str", 'default="abc", regex="^[0-9]+$"', "default 'abc' does not match regex"),
        ("str", 'default="c", choices=["a", "b"]', "default 'c' is not one of the choices"),
        ("int", "ge=3, le=2", "ge is above le"),
        ("str", "min_length=3, max_length=2", "min_length is above max_length"),
        ("int", 'ge="1"', "ge must be a number"),
        ("int", "le=True", "le must be a number"),
        ("str", "min_length=-1", "min_length must be a whole number from 0"),
        ("str", "max_length=1.5", "max_length must be a whole number from 0"),
        ("int", "le=18446744073709551615", "le is beyond 2**53"),
        ("str", "ge=1", "ge has no effect on str"),
        ("list[float]", "ge=1", "ge has no effect on list[float]"),
        ("int", "min_length=1", "min_length has no effect on int"),
        ("int", 'regex="a"', "regex must be a text, on a str"),
        ("str", "regex=1", "regex must be a text, on a str"),
        ("str", 'regex="("', "regex is not a regular expression"),
        ("str", 'choices=["a"]', "choices must be two or more, each once"),
        ("str", "choices=[]", "choices must be two or more, each once"),
        ("str", 'choices=["a", "a"]', "choices must be two or more, each once"),
        ("str", 'choices=["a", 1]', "every choice must be of type str"),
        ("float", "choices=[1.0, 2.0]", "choices are for str and int, not for float"),
        ("list[str]", 'choices=["a", "b"]', "choices are for str and int, not for list[str]"),
        ("int", "choices=[1, 2], le=2", "the choices are the limit"),
        ("int", "choices=3", "choices must be a list"),
        ("int", "choices=None", "leave choices out"),
        ("int", "ge=None", "leave ge out"),
        ("str", 'accept="image/*"', "accept must be a text"),
        ("Path", "accept=1", "accept must be a text"),
        ("str", 'deprecated="yes"', "deprecated must be True or False"),
    ],
)
def test_a_contradiction_is_refused(tmp_path, annotation, keyword, words):
    message = refusal_of_input(tmp_path, f'n: {annotation} = Input({keyword}, description="d")')
    assert message.startswith(f"predict.py:10: n: {words}")


@pytest.mark.parametrize(("limit", "words"), [("LOW", "ge must be a literal"), ('"1"', "ge must be a number")])
def test_the_line_is_that_of_the_keyword_and_not_of_the_input(tmp_path, limit, words):
    declaration = f'n: int = Input(\n            description="d",\n            ge={limit},\n        )'
    assert refusal_of_input(tmp_path, declaration).startswith(f"predict.py:12: n: {words}")


def test_all_problems_come_in_one_message_in_the_order_of_the_file(tmp_path):
    inputs = 'a: str, b: str = Input(description="b"), c: int = Input(ge=LOW)'
    lines = refusal(tmp_path, f"{HEAD}        {inputs},\n    ) -> dict:\n        pass\n").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["a", "c", "output"]


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        ("", "output: the return type is missing"),
        (" -> str | None", "output: Cog refuses `| None`"),
        (" -> Secret", "output: Cog refuses `| None`"),
        (" -> dict[str, str]", "output: use str, int"),
    ],
)
def test_an_output_that_cog_refuses_is_refused(tmp_path, returns, words):
    text = f'{HEAD}        n: int = Input(description="d"),\n    ){returns}:\n        pass\n'
    assert f": {words}" in refusal(tmp_path, text)


def test_names_that_only_look_like_cogs_are_refused(tmp_path):
    text = "from pathlib import Path\nfrom cog import BaseRunner, Input\n" + HEAD.partition("\n")[2]
    message = refusal(tmp_path, f'{text}        n: Path = Input(description="d"),\n{TAIL}')
    assert message == "predict.py:11: n: import Path from cog; Cog takes any Path for its own"


@pytest.mark.parametrize(
    ("signature", "line"),
    [
        ('def run(self, *, n: int = Input(description="d")) -> str:', 5),
        ('def run(self, n: int = Input(description="d"), *rest: int) -> str:', 5),
        ('def run(self, n: int = Input(description="d"), **rest: int) -> str:', 5),
        ('def run(self, n: int = Input(description="d"), /) -> str:', 5),
        ('def run(n: int = Input(description="d")) -> str:', 5),
        ('@streaming\n    def run(self, n: int = Input(description="d")) -> str:', 6),
    ],
)
def test_a_run_that_is_not_plain_is_refused(tmp_path, signature, line):
    text = (
        f"from cog import BaseRunner, Input, streaming\n\n\nclass Runner(BaseRunner):\n    {signature}\n        pass\n"
    )
    assert refusal(tmp_path, text).startswith(f"predict.py:{line}: run")


def test_a_runner_without_run_is_refused(tmp_path):
    text = "from cog import BaseRunner\n\n\nclass Runner(BaseRunner):\n    def predict(self) -> str:\n        pass\n"
    assert refusal(tmp_path, text) == "predict.py:4: Runner has no run()"


def test_a_file_must_have_one_runner(tmp_path):
    one = "class {}(BaseRunner):\n    def run(self) -> str:\n        pass\n"
    header = "from cog import BaseRunner\n"
    assert "0 name it" in refusal(tmp_path, header)
    assert "2 name it" in refusal(tmp_path, header + one.format("A") + one.format("B"))
    assert "exactly one class" in refusal(tmp_path, one.format("A"))  # not Cog's BaseRunner
    assert read(tmp_path, header + one.format("A")).name == "A"


def test_a_file_that_is_not_python_is_refused_with_its_line(tmp_path):
    assert refusal(tmp_path, "import cog\ndef (:\n").startswith("predict.py:2: this is not Python")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SchemaError, match=r"predict\.py is missing"):
        read_runner(tmp_path / "predict.py")


def test_reading_does_not_run_the_file(tmp_path):
    text = f'raise RuntimeError("it was run")\n{HEAD}        n: int = Input(description="d"),\n{TAIL}'
    assert [item.name for item in read(tmp_path, text).inputs] == ["n"]
