"""Cases that another program runs, since the client has another version or another language."""

import os
import re
from pathlib import Path

from tests.clients.inputs import ARCHIVE_TOKEN, POLL_S
from tests.server.calls import REPOSITORY
from tests.support.api_process import Api

HERE = Path(__file__).parent
REPLICATE_2 = REPOSITORY / ".venv/replicate-2"
NODE_MODULES = HERE / "node_modules"
TIMEOUT_S = 120


def cases(file: str) -> list[str]:
    """The functions of the file that check something, in its order."""
    return re.findall(r"^(?:export )?(?:async )?(?:def|function) (\w+)\(\)", (HERE / file).read_text(), re.MULTILINE)


def environment(api: Api, base: str, **more: object) -> dict[str, str]:
    """What a user of a client sets, with `base` as its REPLICATE_BASE_URL."""
    own = {"REPLICATE_BASE_URL": base, "REPLICATE_API_TOKEN": api.token, "REPLICATE_POLL_INTERVAL": str(POLL_S)}
    return os.environ | own | {"NO_PROXY": "127.0.0.1"} | {name: str(value) for name, value in more.items()}


def case_environment(api: Api, version: str, picture: Path, **more: object) -> dict[str, str]:
    return environment(api, f"{api.url}/v1", ARCHIVE_TOKEN=ARCHIVE_TOKEN, VERSION=version, PICTURE=picture, **more)
