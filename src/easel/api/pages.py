"""Lists, a page at a time."""

import asyncio
import json
from collections.abc import Callable
from inspect import isawaitable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from easel.api.service import Api


async def page(
    api: Api, request: Request, table: Any, key: Any, *conditions: Any, document: Callable[[Any], Any], **order: Any
) -> Response:
    """Return the page that `cursor` names, newest first; `document` makes of a row what is shown, or awaits it.

    `order` is for the store: by another time, or the oldest first.
    """
    query = dict(request.query_params)
    rows, older, newer = await api.database.page(table, key, *conditions, cursor=query.get("cursor"), **order)
    documents = [await one if isawaitable(one) else one for one in map(document, rows)]
    keys = [{key.key: getattr(row, key.key)} for row in rows]
    results = await asyncio.to_thread(lambda: ", ".join(map(written, documents, keys)))

    def address(cursor: str | None) -> str | None:
        url = f"{api.settings.public_url}{request.scope['path']}"
        return f"{url}?{urlencode(query | {'cursor': cursor})}" if cursor else None

    head = json.dumps({"previous": address(newer), "next": address(older)}).removesuffix("}")
    return Response(f'{head}, "results": [{results}]}}', media_type="application/json")


def written(document: dict[str, Any], key: dict[str, Any]) -> str:
    """Return it as JSON; `key` alone with a sentence if it cannot be shown, so that the others can."""
    try:
        return json.dumps(document, allow_nan=False)
    except (ValueError, RecursionError):
        return json.dumps(key | {"error": "This cannot be shown: an earlier version of the API kept it."})
