"""An API in the test's own process, for what no flag says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from easel.api.app import create_app
from easel.api.service import Api
from easel.api.settings import Settings

TOKENS = {"token-of-a": "a", "token-of-b": "b"}


@asynccontextmanager
async def open_api(
    folder: Path, own_servers: Any = (), training_server: Any = None, **settings: Any
) -> AsyncIterator[tuple[Api, httpx2.AsyncClient]]:
    """The API, and a client of account a; `settings` as Settings has them."""
    url = "http://127.0.0.1:1"
    given = {"public_url": url, "callback_url": url, "data": folder, "tokens": TOKENS} | settings
    api = Api(Settings(database_url=f"sqlite:///{folder / 'easel.db'}", **given), own_servers, training_server)
    transport = httpx2.ASGITransport(app=create_app(api))
    headers = {"Authorization": "Bearer token-of-a"}
    async with api.running(), httpx2.AsyncClient(transport=transport, base_url=url, headers=headers) as client:
        yield api, client
