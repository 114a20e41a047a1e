"""One `easel api` in front of the server of the emoji model, for every client here."""

import asyncio
import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from easel.api.database import Database
from easel.api.new_prediction import new_id
from easel.api.tables import Prediction
from easel.api.telemetry import now
from easel.local.server import Server
from tests.clients.inputs import APPLE, ARCHIVE_TOKEN, ARCHIVED, pixel_chunk
from tests.server.calls import answer_to
from tests.support.api_process import TOKEN, Api, run_api, wait_for_version


@pytest.fixture(scope="session")
def cog(server: Server) -> Server:
    return server


@pytest.fixture(scope="session")
def api(cog: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("of-the-clients-api")
    asyncio.run(archive(folder))
    accounts = {"EASEL_API_TOKENS": f"{TOKEN},{ARCHIVE_TOKEN} archive", "DATABASE_URL": ""}
    with run_api(folder, [cog.url], accounts, rate_limit=0, allow_private_webhooks=True) as api:
        wait_for_version(api)
        yield api


@pytest.fixture(scope="session")
def version(api: Api) -> str:
    return wait_for_version(api)["id"]


@pytest.fixture(scope="session")
def picture(cog: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compressed pixels of the Cog server's own answer to APPLE: with the same seed, every client gets these."""
    (url,) = answer_to(cog, **APPLE)["output"]
    content = base64.b64decode(url.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.format == "WEBP"
    path = tmp_path_factory.mktemp("image") / "apple"
    path.write_bytes(pixel_chunk(content))
    return path


async def archive(folder: Path) -> None:
    """Predictions of some minutes ago, straight into the database: to make so many takes a while."""
    store = Database(f"sqlite:///{folder / 'easel.db'}")
    await store.open()
    start = now() - 2 * ARCHIVED
    rows = [
        Prediction(
            id=new_id(),
            account="archive",
            model="easel/emoji",
            version="0" * 64,
            created_at=round(start + number, 6),
            completed_at=round(start + number, 6),
            status="canceled",
            input={"prompt": str(number)},
        )
        for number in range(ARCHIVED)
    ]
    await store.save(*rows)
    await store.close()
