"""What the tests of schema refusals share."""

import pytest

from easel.schema.openapi import SchemaError, read_runner

HEAD = """from cog import BaseRunner, Input, Path, Secret
from elsewhere import CHOICES, HIGH, default_of

LOW = 1


class Runner(BaseRunner):
    def run(
        self,
"""


TAIL = """    ) -> str:
        return ""
"""


def read(tmp_path, text):
    path = tmp_path / "predict.py"
    path.write_text(text, encoding="utf-8")
    return read_runner(path)


def refusal(tmp_path, text):
    with pytest.raises(SchemaError) as caught:
        read(tmp_path, text)
    return str(caught.value)


def refusal_of_input(tmp_path, declaration):
    return refusal(tmp_path, f"{HEAD}        {declaration},\n{TAIL}")
