"""What the Dockerfile, script/container and docs/deploy.md say of a container's rights and health, as text."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from easel.local.server import Server, run_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCRIPT = (ROOT / "script/container").read_text()
PAGE = (ROOT / "docs/deploy.md").read_text()
RIGHTS = (
    "--init",
    "--read-only",
    "--tmpfs /tmp:rw,exec,nosuid,nodev,size=2g",
    "--cap-drop ALL",
    "--security-opt no-new-privileges",
    "--pids-limit 4096",
)


@pytest.mark.parametrize("right", RIGHTS)
def test_the_script_and_the_page_take_the_same_rights_away(right):
    assert right in SCRIPT
    assert right in PAGE


def test_memory_is_limited():
    assert '--memory "$memory"' in SCRIPT
    assert "--memory 32g" in PAGE
    assert re.search(r"\n\[\[ \$model == emoji \]\] \|\| memory=32g\n", SCRIPT)


def test_the_running_user_owns_nothing_but_the_cache():
    assert "--chown" not in DOCKERFILE
    assert re.findall(r"chown (\S+) (.*)", DOCKERFILE) == [("easel:easel", "/cache")]
    instructions = re.findall(r"^(?:FROM|RUN|COPY|USER|CMD)\b.*", DOCKERFILE, re.MULTILINE)
    assert instructions[-2:] == ["USER easel", 'CMD ["python", "-m", "cog.server.http"]']  # all else is root's work


def test_the_source_is_readable_and_not_writable_for_others_whatever_the_umask_was(tmp_path):
    for mode in (0o600, 0o644, 0o666, 0o755, 0o700):
        (tmp_path / f"{mode:o}").touch()
        (tmp_path / f"{mode:o}").chmod(mode)
    (tmp_path / "folder").mkdir(0o700)
    (command,) = re.findall(r"^RUN (find .*)$", DOCKERFILE, re.MULTILINE)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=60)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"600": 0o644, "644": 0o644, "666": 0o644, "755": 0o755, "700": 0o755, "folder": 0o755}


def test_the_base_image_can_be_pinned_by_digest():
    assert "ARG BASE_DIGEST\nFROM ${BASE}${BASE_DIGEST:+@${BASE_DIGEST}}\n" in DOCKERFILE
    assert "for name in BASE_DIGEST " in SCRIPT


RUNNER = '''
from pathlib import Path

from cog import BaseRunner, Input


class Runner(BaseRunner):
    def healthcheck(self) -> bool:
        return not Path("sick").exists()

    def run(self, prompt: str = Input(description="Any.")) -> str:
        """Repeat it."""
        return prompt
'''


def healthcheck(server: Server) -> int:
    """The exit code of the image's command; here the server has a loopback address of its own, not all of them."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    (command,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", DOCKERFILE, re.MULTILINE)
    _, *arguments = json.loads(command.replace("127.0.0.1", host))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PORT": port}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, timeout=60).returncode


def test_the_healthcheck_tells_the_well_from_the_sick_and_the_dead(tmp_path):
    (tmp_path / "predict.py").write_text(RUNNER)
    with run_server(tmp_path, timeout=60) as server:
        assert healthcheck(server) == 0
        (tmp_path / "sick").touch()
        assert healthcheck(server) == 1
        (tmp_path / "sick").unlink()
        assert healthcheck(server) == 0
    assert healthcheck(server) == 1


def test_the_notice_names_the_licence_of_the_encoder_as_it_is():
    assert "x265 (GPLv2 or later)" in (ROOT / "NOTICE").read_text()
