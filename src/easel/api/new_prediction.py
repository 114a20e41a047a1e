"""What a request asks for, a prediction or a training: read, checked against a schema, and made a row."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from easel.api.active import WARNING
from easel.api.bodies import NewPrediction, read_body
from easel.api.input_files import Size, as_text, keep_files
from easel.api.input_urls import check_uris
from easel.api.schemas import secret_names
from easel.api.service import Api
from easel.api.tables import Prediction, Version
from easel.api.telemetry import now
from easel.api.validation import check_input, invalid, redacted, use_integers
from easel.api.webhooks import check_webhook

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, which Replicate's ids use


def new_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(26))


@dataclass
class New:
    """What is asked for. The files of its input are in the folder of its id already."""

    id: str
    body: NewPrediction
    size: Size
    accepted: bool = False


@asynccontextmanager
async def read_new(api: Api, request: Request, kind: type[NewPrediction] = NewPrediction) -> AsyncIterator[New]:
    """Read what is asked for; its files go again if it is not accepted. Raises Problem."""
    identity, size = new_id(), Size()

    def keep(body: NewPrediction) -> None:
        nonlocal size
        body.input, size = keep_files(api.outputs, identity, body.input)

    new = None
    try:
        api.check_disk()
        new = New(identity, await read_body(request, kind, keep), size)
        new.size = size
        yield new
    finally:
        if not new or not new.accepted:
            await asyncio.to_thread(api.outputs.remove, identity)


async def make_row(
    api: Api, account: str, new: New, version: Version, schema: dict[str, Any], **columns: Any
) -> Prediction:
    """Return the row of what is asked for, after every check of it; `columns` are those beside its input.

    `schema` is the document whose Input is meant. Raises Problem.
    """
    body = new.body

    def check() -> list[str]:
        use_integers(body.input, schema)
        given = as_text(body.input)
        unknown = check_input(given, schema)
        check_uris(given, schema, api.own_files.is_own)
        return unknown

    unknown = await asyncio.to_thread(check)
    if large := [name for name in secret_names(schema) if isinstance(body.input.get(name), dict)]:
        raise invalid([("maxLength", f"input.{name}", "is a secret, which is no file of over 64 kB") for name in large])
    await api.own_files.check(body.input, account, api.database)
    events: list[str] = list(body.webhook_events_filter or [])
    if not body.webhook and body.webhook_completed:
        body.webhook, events = body.webhook_completed, ["completed"]
    if body.webhook:
        check_webhook(body.webhook, api.settings.allow_private_webhooks)
    hidden = redacted(body.input, schema)
    return Prediction(
        id=new.id,
        account=account,
        model=version.model,
        version=version.id,
        status="starting",
        input=hidden,
        given=body.input if hidden != body.input else None,
        logs="".join(f"{WARNING}there is no input {name!r}, so it was ignored.\n" for name in unknown),
        metrics={},
        created_at=now(),
        source="api",
        data_removed=False,
        webhook=body.webhook,
        webhook_events_filter=events,
        webhook_pending=False,
        **columns,
    )
