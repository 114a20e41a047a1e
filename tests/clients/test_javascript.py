"""Replicate's JavaScript client: each function of cases.mjs, in a process of its own."""

import json
import shutil
import subprocess

import pytest

from tests.clients.cases import HERE, NODE_MODULES, TIMEOUT_S, case_environment, cases
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
    done = subprocess.run(
        ["node", "-e", f"import('./cases.mjs').then((all) => all.{case}())"],
        cwd=HERE,
        env=case_environment(api, version, picture, **given),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout
