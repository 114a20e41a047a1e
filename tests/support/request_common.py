"""What the tests of a request share."""

import pytest

from easel.errors import InputError
from easel.request import Request, check_request
from tests.support.tiny import MODEL


def request(**changes):
    return Request(**{"prompt": "a red apple", **changes})


def refusal(**changes):
    with pytest.raises(InputError) as caught:
        check_request(request(**changes), MODEL)
    return str(caught.value)
