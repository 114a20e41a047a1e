"""NVIDIA's aiperf, unmodified, measures `easel api`. It needs 850 MB, so EASEL_AIPERF names one that is installed."""

import json
import os
import re
import shlex
import subprocess

import pytest

from tests.clients.cases import environment
from tests.clients.openai_inputs import image_of
from tests.server.calls import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("EASEL_AIPERF"), reason="EASEL_AIPERF names no program of NVIDIA's aiperf"),
]
TIMEOUT_S = 300
DOCUMENT = REPOSITORY / "docs/openai.md"


def test_the_documents_command_measures_and_each_answer_is_an_image(api, version, tmp_path):
    (command,) = re.findall(r"^```sh\n(aiperf .*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    command = command.replace("http://127.0.0.1:5001", api.url).replace("weights/", f"{REPOSITORY}/weights/")
    words = shlex.split(command.replace("\\\n", " ").replace("$OPENAI_API_KEY", api.token))
    program = [os.environ["EASEL_AIPERF"], *words[1:], "--export-level", "raw"]
    given = environment(api, "", HOME=tmp_path, HF_HUB_OFFLINE="")  # set, it looks for a folder's tokenizer at the Hub
    done = subprocess.run(program, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (summary,) = tmp_path.glob("artifacts/*/profile_export_aiperf.json")
    figures = json.loads(summary.read_text())
    assert figures["request_count"]["avg"] == 20
    assert not figures.get("error_summary")
    (raw,) = tmp_path.glob("artifacts/*/profile_export_raw.jsonl")
    answers = [json.loads(line)["responses"] for line in raw.read_text().splitlines()]
    assert len(answers) == 20
    for (answer,) in answers:
        (made,) = json.loads(answer["text"])["data"]
        image = image_of(made["b64_json"])
        assert (image.format, image.size) == ("PNG", (128, 128))
