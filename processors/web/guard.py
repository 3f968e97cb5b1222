"""What every answer says to a browser, and whom the page answers at all."""

from collections.abc import Callable, Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy, without exceptions: no script at all, and nothing from elsewhere."""

HEADERS: Final = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Guard:
    """Lets requests through that name this machine, and from no page of somebody else's; marks all answers.

    A page elsewhere could otherwise have a browser on this machine ask for it: under a name that leads to 127.0.0.1, or
    by a form of its own. `hosts` are the names that may be asked for, without ports; None where any may.

    No error comes through: the server would log it with all that it says, which may be about a person. `told` gives
    what may be said of it.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, told: Callable[[Exception], str]) -> None:
        self._app = app
        self._hosts = hosts
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        has_begun = False

        async def marked(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        try:
            await (self._app if refusal is None else refusal)(scope, receive, marked)
        except Exception as error:
            words = self._told(error)
            # Of a half answer the server breaks off the rest by itself.
            if not has_begun:
                await PlainTextResponse(f"{words}\n", 500)(scope, receive, marked)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._hosts is not None and name.lower() not in self._hosts:
            return PlainTextResponse(
                "Expected a request for this machine (Host: 127.0.0.1), as docs/page.md has web servers send it.\n", 421
            )
        if method == "POST" and headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("Expected the page's own form, found one from elsewhere.\n", 403)
        return None
