"""Replicate's JavaScript client: each function of cases.mjs, in a process of its own."""

import json
import shutil

import pytest

from tests.clients.cases import NODE_MODULES, cases, run_case
from tests.clients.inputs import APPLE, ARCHIVED, BROKEN, FROM_SKETCH, LONG, MODEL, SKETCH, STEPS, WHY

pytestmark = [
    pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed (Debian: nodejs)"),
    pytest.mark.skipif(
        not NODE_MODULES.is_dir(), reason="replicate for JavaScript is not installed: script/setup does it with npm"
    ),
]


@pytest.mark.parametrize("case", cases("cases.mjs"))
def test_javascript(api, version, picture, case):
    inputs = json.dumps([APPLE, FROM_SKETCH, STEPS, LONG, BROKEN])
    given = {"MODEL": MODEL, "INPUTS": inputs, "SKETCH": SKETCH, "WHY": WHY, "ARCHIVED": ARCHIVED}
    run_case(["node", "-e", f"import('./cases.mjs').then((all) => all.{case}())"], api, version, picture, **given)
