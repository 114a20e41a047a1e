"""Which requests the page's server answers at all, and the headers of every answer.

Any web site that the same browser has open can send requests to this machine's ports. It must not spend the user's
token, so a request has to name this server as its host (else a site could give its own name our address) and to come
from this server's own page.
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The addresses that are the page itself, which holds nothing: what it shows it asks for. No other first part is a name.
NAME = r"\w(?:[\w-]|\.(?!\.))*"
PAGES = re.compile(
    rf"/|/models|/planner|/p/{NAME}|/(?!(?:v1|page|static|p)/){NAME}/{NAME}(?:/versions/{NAME})?(?:/train)?"
)

# blob: is a chosen file's preview, https: one that the user names by its address.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: https:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if reason := self._refusal(scope):
            document = {"title": "Forbidden", "detail": reason, "status": 403}
            refusal = JSONResponse(document, 403, media_type="application/problem+json")
            await refusal(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return "This server answers only to the address that it printed."
        if scope["method"] in ("GET", "HEAD") and PAGES.fullmatch(scope["path"]):
            return None  # A link to the page is welcome from anywhere.
        own = f"http://{host}"
        # Browsers name the origin of every POST, and of what scripts of other origins ask for.
        if headers.get("origin", "" if scope["method"] == "POST" else own) != own:
            return "Only this server's own page may use it."
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "Only this server's own page may use it."
        return None
