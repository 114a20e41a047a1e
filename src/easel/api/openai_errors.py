"""Errors as OpenAI answers them, on its routes and for its clients."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easel.api.problems import Problem

# The official ones begin so: OpenAI/Python, AsyncOpenAI/Python, AzureOpenAI/JS and so on, with a version.
CLIENTS = re.compile(r"(Async)?(Azure)?OpenAI/", re.IGNORECASE)
CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}
NAMES = {"num_outputs": "n", "output_quality": "output_compression", "width": "size", "height": "size"}  # OpenAI's


def wants_openai(request: Request) -> bool:
    """Return whether a request is to be answered in OpenAI's form: by its path, its client, or `?format=openai`."""
    return (
        request.scope["path"].startswith("/v1/images/")
        or request.query_params.get("format") == "openai"
        or bool(CLIENTS.match(request.headers.get("user-agent", "")))
    )


def problem_response(request: Request, problem: Problem) -> Response:
    """Return the answer to whoever asks, in Replicate's form or in OpenAI's."""
    answer = problem.response()
    if not wants_openai(request):
        return answer
    headers = {name: value for name, value in answer.headers.items() if name == "retry-after"}
    status = 400 if problem.status == 422 else problem.status  # OpenAI's for input that is wrong
    return JSONResponse({"error": error_document(problem)}, status, headers)


def refused(param: str, sentence: str) -> Problem:
    """Return the answer (400) to a parameter that cannot be honoured."""
    return Problem(400, sentence, param=param, code="invalid_value")


def error_document(problem: Problem) -> dict[str, Any]:
    """Return `message`, `type`, `param` and `code`."""
    fields = problem.extra.get("invalid_fields") or []
    names = [field_name(one) for one in fields]
    texts = [describe(one, name) for one, name in zip(fields, names, strict=True)]
    kind = "requests" if problem.status == 429 else "server_error" if problem.status >= 500 else "invalid_request_error"
    return {
        "message": "; ".join(texts) or problem.detail.strip(),
        "type": problem.extra.get("kind", kind),
        "param": problem.extra.get("param") or next((name for name in names if name not in ("input", "body")), None),
        "code": problem.extra.get("code") or CODES.get(problem.status),
    }


def field_name(field: dict[str, Any]) -> str:
    name = str(field["field"]).removeprefix("input.")
    if field["type"] == "required" and name == "input":
        return str(field["description"]).partition(" ")[0]
    return NAMES.get(name, name)


def describe(field: dict[str, Any], name: str) -> str:
    text = str(field["description"])
    return text if field["type"] == "required" else f"{name} {text}" if text.startswith("must") else f"{name}: {text}"
