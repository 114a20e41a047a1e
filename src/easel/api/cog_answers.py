"""A Cog server's answers, read with limits: it may be another program, lie, drip, or never end."""

import asyncio
from typing import Any

import httpx2

from easel.api.request_body import Body
from easel.api.strict_json import MOST_ANSWER_VALUES, clean_texts, read_json

MOST_BYTES = 4_000_000  # of an answer; a schema has tens of kB
HAND_OVER_S = 120.0  # 100 MB of files at 1 MB/s


async def ask(
    client: httpx2.AsyncClient, method: str, url: str, seconds: float, body: Any = None, **headers: str
) -> tuple[int, Any]:
    """Return the status and the JSON of the answer, {"error": text} where it is no JSON.

    Raises httpx2.HTTPError: ConnectError or ConnectTimeout if the server was never reached. `seconds` are for each
    part, twice as many for all of it.
    """
    content = Body(body) if body is not None else None
    headers |= {"Accept-Encoding": "identity"}
    if content:
        headers |= {"Content-Type": "application/json", "Content-Length": str(content.length)}
    longest = 2 * seconds + (HAND_OVER_S if content and content.length > 1_000_000 else 0)
    try:
        async with asyncio.timeout(longest):
            stream = client.stream(method, url, content=content, headers=headers, timeout=seconds)
            async with stream as answer:
                data = bytearray()
                async for chunk in answer.aiter_raw():
                    data += chunk
                    if len(data) > MOST_BYTES:
                        raise httpx2.ReadError(f"The answer is longer than {MOST_BYTES} bytes.")
    except TimeoutError:
        raise httpx2.ReadTimeout(f"No whole answer within {longest:g} s.") from None
    try:
        return answer.status_code, clean_texts(read_json(bytes(data), MOST_ANSWER_VALUES))
    except ValueError:
        return answer.status_code, {"error": data[:2000].decode(errors="replace")}


def members(value: Any) -> dict[str, Any]:
    """Return it if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}
