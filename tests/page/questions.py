"""Questions to the Planner, and how to ask them without a browser."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

TIMES = {
    "card": "l40s",
    "run_seconds": {"median": 2.4, "p95": 2.8},
    "first_run_seconds": {"median": 4, "p95": 8},
    "setup_seconds": {"median": 15, "p95": 30},
    "weights_bytes": 20877175229,
    "p95_seconds": 10,
}
FLAT = {"week": [1] * 168, "requests_per_day": 100}
FEW = TIMES | {"trace": [10.0, 4000.0, 4001.5]}


def call(address: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """The status and the JSON of an answer, to a request as the page itself makes it."""
    host = urlsplit(address).netloc
    connection = http.client.HTTPConnection(host, timeout=120)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": host, "Origin": address, **named})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content
