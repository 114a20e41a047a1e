"""What the Planner refuses: each in words, and none of it simulated."""

import json

import pytest

from easel.page.planner import MAX_BODY_BYTES
from easel.page.question import MAX_ARRIVALS
from tests.page.questions import FEW, FLAT, TIMES, call


def deep(text):
    return b'{"trace": ' + text + b"}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "must be JSON"),
        (b"NaN", "must be JSON"),
        (b"[]", "must be a JSON object"),
        (deep(b"[" * 1_000_000), "recursion limit"),
        (deep(b"[" * 150 + b"]" * 150), "trace.0"),
        (deep(b"[" + b"[]," * 900_000 + b"[]]"), "trace.0"),
        (deep(b"[" + b"1," * 1_400_000 + b"1]"), f"at most {MAX_ARRIVALS}"),
        (deep(b"9" * 3_000_000), "out of range"),
        (deep(b"[NaN]"), "must be JSON"),
        (b"{" + b",".join(b'"a%d":1' % k for k in range(200_000)) + b"}", "200,000 members"),
        (b'{"' + b"a" * 3_000_000 + b'": 1}', "card: Field required"),
        (TIMES, "either drawn or trace"),
        (FEW | {"drawn": FLAT}, "either drawn or trace"),
        (FEW | {"trace": []}, "either drawn or trace"),
        (FEW | {"trace": [1e308]}, "trace.0"),
        (FEW | {"trace": [-1.0]}, "trace.0"),
        (FEW | {"trace": [1.0, 1e9]}, "trace.1"),
        (FEW | {"trace": ["1"]}, "valid number"),
        (FEW | {"trace": [True]}, "valid number"),
        (FEW | {"trace": {"0": 1.0}}, "valid list"),
        (FEW | {"card": "abacus"}, "abacus"),
        (FEW | {"card": 3}, "card"),
        (FEW | {"colour": 3}, "colour"),
        (FEW | {"run_seconds": {"median": 1.0, "p95": 0.5}}, "p95 must be"),
        (FEW | {"run_seconds": {"median": 1.0, "p95": 500.0}}, "p95 must be"),
        (FEW | {"run_seconds": {"median": 0.0, "p95": 1.0}}, "run_seconds.median"),
        (FEW | {"setup_seconds": {"median": 1e308, "p95": 1e308}}, "setup_seconds.median"),
        (FEW | {"weights_bytes": -1}, "weights_bytes"),
        (FEW | {"platforms": {"moon": {}}}, "no platform 'moon'"),
        (FEW | {"platforms": {"modal": {"price": 0}}}, "price"),
        (FEW | {"platforms": {"modal": {"idle_seconds": 1e9}}}, "idle_seconds"),
        (FEW | {"p95_seconds": None}, "p95_seconds"),
        (TIMES | {"drawn": FLAT | {"week": [0] * 168}}, "weight above 0"),
        (TIMES | {"drawn": FLAT | {"week": [5e-324] * 168}}, "weight above 0"),
        (TIMES | {"drawn": FLAT | {"week": [1e308] * 168}}, "drawn.week.0"),
        (TIMES | {"drawn": FLAT | {"week": [1] * 167}}, "drawn.week"),
        (TIMES | {"drawn": FLAT | {"requests_per_day": 1_000_000}}, "easel simulate"),
        (TIMES | {"drawn": FLAT | {"requests_per_day": 0}}, "requests_per_day"),
        (TIMES | {"drawn": FLAT | {"bursts": {"per_day": 999, "factor": 9999, "minutes": 1440}}}, "easel simulate"),
        (TIMES | {"drawn": FLAT | {"variation": 1e9}}, "variation"),
    ],
    ids=range(40),
)
def test_a_hostile_question_is_refused_in_words(lone_page, body, words):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, refusal = call(lone_page, "POST", "/page/planner", content)
    assert status == 422
    assert words in refusal["detail"]
    assert len(refusal["detail"]) <= 1000


def test_too_large_a_body_is_not_read(lone_page):
    status, refusal = call(lone_page, "POST", "/page/planner", b" " * (MAX_BODY_BYTES + 1))
    assert (status, refusal["title"]) == (413, "Payload too large")
    assert call(lone_page, "POST", "/page/planner", iter([b"{}"]), Transfer_Encoding="chunked")[0] == 413


def test_other_sites_cannot_use_it(lone_page):
    body = json.dumps(FEW).encode()
    assert call(lone_page, "POST", "/page/planner", body, Origin="https://elsewhere.example")[0] == 403
    assert call(lone_page, "GET", "/page/planner.json", Sec_Fetch_Site="cross-site")[0] == 403
