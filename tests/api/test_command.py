"""`easel api` as a command: what it prints, what it refuses, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.api.conftest import RUNNER

EXTRA = ("starlette", "uvicorn", "httpx2", "pydantic", "jsonschema", "sqlalchemy", "prometheus_client", "structlog")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "easel.cli", "api", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


def test_alone_it_starts_a_model_shows_a_token_and_stops_on_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "easel.cli", "api", "--root", str(RUNNER), "--port", "0", "--data", str(tmp_path)]
    environment = os.environ | {"EASEL_API_TOKENS": ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        url = process.stdout.readline().strip()
        shown = ""
        while "export" not in shown:
            shown = process.stderr.readline()
        base, token = re.fullmatch(r"export REPLICATE_BASE_URL=(\S+) REPLICATE_API_TOKEN=(\S+)\n", shown).groups()
        assert base == url
        request = urllib.request.Request(f"{url}/v1/models/easel/emoji", headers={"Authorization": f"Bearer {token}"})
        assert urllib.request.urlopen(request).status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        rest = process.stderr.read()
        assert "Stopping." in rest
        assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--server", "not a url"], {}, "is not a URL"),
        (["--server", "a/b/c=http://127.0.0.1:1"], {}, "OWNER/NAME="),
        (["--tokens", "/nothing"], {}, "cannot be read"),
        ([], {"EASEL_API_TOKENS": "short"}, "at least 8 characters"),
        (["--data", "/dev/null/x"], {}, "Choose another folder"),
        (["--port", "99999"], {}, "--port"),
        (["--server", "http://127.0.0.1:1"], {"DATABASE_URL": "mysql://x/y"}, "mysql is not supported"),
        (["--server", "http://127.0.0.1:1"], {"DATABASE_URL": "nonsense"}, "not an address"),
        (
            ["--server", "http://127.0.0.1:1"],
            {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"},
            "The database cannot be opened",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words_with_exit_code_2(tmp_path, arguments, environment, words):
    data = [] if "--data" in arguments else ["--data", str(tmp_path)]
    port = [] if "--port" in arguments else ["--port", "0"]
    done = run(*arguments, *data, *port, **environment)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--port", str(taken.getsockname()[1]), "--data", str(tmp_path))
    assert (done.returncode, "0 takes a free one" in done.stderr) == (2, True)


def test_without_the_extra_all_other_commands_work_and_this_one_says_what_is_missing():
    missing = f"import sys; sys.modules.update(dict.fromkeys({EXTRA}))"
    program = f"{missing}; from easel.cli import main; sys.exit(main.main())"
    for arguments, code, words in (
        (["--help"], 0, "predict"),
        (["schema", "--check"], 0, ""),
        (["api"], 2, "pip install 'easel[api]'"),
    ):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert (done.returncode, words in done.stdout + done.stderr) == (code, True), done.stderr


def test_a_file_of_tokens_says_who_is_who(tmp_path):
    from easel.api.settings import read_tokens

    path = tmp_path / "tokens"
    path.write_text("# of the team\ntoken-one anna\n\ntoken-two   # nobody in particular\n")
    assert read_tokens(path) == {"token-one": "anna", "token-two": "easel"}
