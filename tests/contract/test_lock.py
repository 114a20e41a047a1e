"""requirements.lock: what Cog and the Dockerfile install, each file by its digest."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINS = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
LINES = [
    line
    for line in (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    if not line.startswith("#")
]


def plain(name):
    return re.sub(r"[-_]+", "-", name).lower()


def test_every_pin_is_locked_at_its_version():
    locked = {plain(name): version for name, version in (line.split()[0].split("==") for line in LINES)}
    assert {name: locked.get(plain(name)) for name in PINS} == PINS


def test_each_line_is_a_name_a_version_and_digests_alone():
    """Cog cuts a name at a dot and drops markers; addresses of an index would be somebody's own."""
    assert LINES
    for line in LINES:
        assert re.fullmatch(r"[\w-]+==[\w.+]+(\s+--hash=sha256:[0-9a-f]{64})+", line), line[:80]
