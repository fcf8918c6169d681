"""Before any page: the request is ours, came from our own pages, and what is answered stays here.

A browser that is made to send a request elsewhere's page wants is told apart by Origin and fetch
metadata (W3C Fetch Metadata; no token is needed), a name that points here for an attack by Host, a
program with a token of the broker by its Authorization header. What is answered may run no script
but ours, be framed by nobody, and be kept nowhere.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.web.parts import Address, WebParts

BODY_BYTES_MAX: Final = 64 * 1024
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Guard:
    """Refuses what is not from our own pages, and seals what is answered."""

    def __init__(self, app: ASGIApp, *, parts: WebParts) -> None:
        self._app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        address = self._parts.address()
        why = refusal(scope["method"], Headers(scope=scope), address)
        sealed = _sealed(send, is_secure=address.is_secure, path=scope["path"])
        if why:
            await PlainTextResponse(f"{why}\n", status_code=403)(scope, receive, sealed)
            return
        await self._app(scope, receive, sealed)


def refusal(method: str, headers: Headers, address: Address) -> str:
    """Why a request is refused before anything looks at it; empty where it is not."""
    if headers.get("host", "").lower() not in address.hosts:
        return "This is not the name of this page."
    if "authorization" in headers:
        return "The review page takes no token: sign in with a browser."
    return "" if method in SAFE_METHODS else _refusal_to_act(method, headers, address)


def _refusal_to_act(method: str, headers: Headers, address: Address) -> str:
    if method != "POST":
        return "There is nothing here for this method."
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return "It does not say which page this came from."
    if site not in {None, "same-origin"} or origin not in {None, address.origin}:
        return "This came from another page."
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        return "This is too long, or does not say how long it is."
    return ""


def origin_of(url: str) -> str:
    """The origin of an address, as browsers write it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _sealed(send: Send, *, is_secure: bool, path: str) -> Send:
    async def sealed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if is_secure:
                headers["strict-transport-security"] = "max-age=31536000"
            if not path.startswith("/static/"):
                headers["cache-control"] = "no-store"
        await send(message)

    return sealed
