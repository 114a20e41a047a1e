"""Which target a text names, who gets which token, and what is sent there."""

import pytest

from easel.errors import InputError
from easel.platforms.find_target import Place, headers_for, parse_name
from easel.platforms.inputs import given_inputs, inputs_maker, shown_inputs
from tests.support.known_target import SCHEMA


def test_tokens_go_where_they_belong():
    environ = {"REPLICATE_API_TOKEN": "r8_x", "MODAL_KEY": "wk", "MODAL_SECRET": "ws"}
    base = "https://api.replicate.com"
    assert headers_for(Place(base), base, environ) == {"Authorization": "Bearer r8_x"}
    assert headers_for(Place("http://127.0.0.1:5001"), base, environ) == {"Authorization": "Bearer r8_x"}
    assert headers_for(Place("https://elsewhere.example"), base, environ) == {}
    modal = "https://a--b.modal.run"
    assert headers_for(Place(modal), base, environ) == {"Modal-Key": "wk", "Modal-Secret": "ws"}
    assert headers_for(Place(modal), f"{modal}/v1", environ)["Authorization"] == "Bearer r8_x"


def test_names_and_what_is_none():
    assert parse_name("a/b", "https://x/v1/") == Place("https://x", "a/b")
    assert parse_name("deployments/a/b", "https://x") == Place("https://x", "a/b", deployment=True)
    for text in ("http://127.0.0.1:5000", "127.0.0.1:5000", "a", "a/b/c", "deployments/a/b:1", "a/../b"):
        assert parse_name(text, "https://x") is None
    assert Place("http://127.0.0.1:1").bills is False
    assert Place("https://a--b.modal.run").bills is Place("http://127.1:5000").bills is True


def test_inputs_are_checked_numbered_and_shown_without_secrets():
    assert given_inputs(None, None, SCHEMA) == {"prompt": "a red apple {n}"}
    assert given_inputs(["token=hush"], None, SCHEMA) == {"prompt": "a red apple {n}", "token": "hush"}
    given = given_inputs(["prompt=x {n}", "token=hush"], None, SCHEMA)
    assert inputs_maker(given, SCHEMA, 3)(2) == {"prompt": "x 2", "token": "hush", "seed": 5}
    assert inputs_maker({"seed": 2**32 - 1}, SCHEMA, 0)(1) == {"seed": 0}
    shown = shown_inputs(given | {"image": "data:" + "x" * 500}, SCHEMA)
    assert shown["token"] == "[REDACTED]"
    assert shown["image"].endswith("... (505 characters)")
    with pytest.raises(InputError, match="There is no input 'colour'"):
        given_inputs(["colour=red"], None, SCHEMA)
    with pytest.raises(InputError, match="by --json"):
        given_inputs(["prompt=x"], None, None)
    broken = {"components": {"schemas": {"Input": {"properties": {"prompt": {"$ref": "#/nowhere"}}}}}}
    with pytest.raises(InputError, match="cannot be read"):
        given_inputs(["prompt=x"], None, broken)
