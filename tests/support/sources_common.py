"""What the tests of references share."""

import pytest

from easel.errors import InputError
from easel.lora.references import (
    parse_source,
)

VERSION = "8496fec1" * 8


def refusal(text, **options):
    with pytest.raises(InputError) as caught:
        parse_source(text, **options)
    return str(caught.value)
