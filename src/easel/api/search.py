"""Search for models, by the method QUERY and by GET /v1/search."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.api.models import document
from easel.api.problems import Problem
from easel.api.service import Api
from easel.api.tables import ModelRow

MOST_FOUND = 50  # Replicate's


async def search_models(api: Api, request: Request) -> Response:
    """Answer QUERY with the words as text, or GET /v1/search?query=words: all must occur in name or text."""
    text = await search_text(request)
    limit = request.query_params.get("limit", str(MOST_FOUND) if request.method == "QUERY" else "20")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST_FOUND):
        raise Problem(400, f"limit must be a number from 1 to {MOST_FOUND}, not {limit[:40]!r}.")
    words = text.lower().split()
    found = []
    for model in await api.database.find(ModelRow, order=ModelRow.key):
        described = f"{model.key} {model.description or ''}".lower()
        if api.sees(model, request.state.account) and all(word in described for word in words):
            found.append(await document(api, model))
        if len(found) == int(limit):
            break
    if request.method == "QUERY":
        return JSONResponse({"next": None, "previous": None, "results": found})
    results = [{"model": one, "metadata": {}} for one in found]
    return JSONResponse({"query": text, "models": results, "collections": [], "pages": []})


async def search_text(request: Request) -> str:
    text = request.query_params.get("query")
    if text is None and request.method == "GET":
        raise Problem(400, "A search needs ?query=words.")
    text = text or (await request.body()).decode(errors="replace")
    if text.startswith('"') and text.endswith('"'):  # one client writes its text as JSON
        text = text.strip('"')
    if len(text) > 1000:
        raise Problem(400, "A search has at most 1000 characters.")
    return text
