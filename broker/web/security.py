"""Before any page: the request is ours, came from our own pages, and what is answered stays here.

A browser that is made to send a request that another page wants is told apart by Origin and fetch
metadata (W3C Fetch Metadata; no token is needed), a name that points here for an attack by Host, a
program with a token of the broker by where it puts it. A body is read whole before anything looks
at it: it is short, and has a deadline. What is answered may run no script but ours, be framed by
nobody, and be kept nowhere.
"""

import asyncio
import math
import re
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.core.credentials import CredentialClass
from broker.web.parts import Address, WebParts

BODY_BYTES_MAX: Final = 64 * 1024
BODY_S: Final = 10.0
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
RATED: Final = "/sign-in/"
_LENGTH: Final = re.compile("[0-9]{1,9}", re.ASCII)
_TOKEN: Final = re.compile(rf"cb_(?:{'|'.join(CredentialClass)})_[A-Za-z0-9_-]{{16}}", re.ASCII)
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

    def __init__(self, app: ASGIApp, *, parts: WebParts, body_s: float = BODY_S) -> None:
        """Stand before `app`; a body has `body_s` seconds to be there."""
        self._app = app
        self._parts = parts
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        address = self._parts.address()
        sealed = _sealed(send, is_secure=address.is_secure, path=scope["path"])
        refused = self._refused(scope, address)
        if refused is None and scope["method"] not in SAFE_METHODS:
            body = await _body(receive, within_s=self._body_s)
            if body is None:
                refused = _no("This was too long in coming.", 408)
            else:
                receive = _again(body, receive)
        await (refused or self._app)(scope, receive, sealed)

    def _refused(self, scope: Scope, address: Address) -> Response | None:
        why = refusal(scope["method"], Headers(scope=scope), address, query=scope["query_string"])
        if why:
            return _no(why, 403)
        if not scope["path"].startswith(RATED):
            return None
        peer, _ = scope.get("client") or ("", 0)
        wait_s = self._parts.rates.wait_s(peer, now=self._parts.clock())
        return _no("Too many tries; wait a little.", 429, wait_s=wait_s) if wait_s else None


def refusal(method: str, headers: Headers, address: Address, *, query: bytes = b"") -> str:
    """Why a request is refused before anything looks at it; empty where it is not."""
    if [host.lower() for host in headers.getlist("host")] not in [[own] for own in address.hosts]:
        return "This is not the name of this page."
    if "authorization" in headers or _has_token(query, headers):
        return "The review page takes no token: sign in with a browser."
    return (
        _refusal_to_show(headers)
        if method in SAFE_METHODS
        else _refusal_to_act(method, headers, address)
    )


def _refusal_to_show(headers: Headers) -> str:
    """A link elsewhere may open a page; no other page may load one into itself."""
    if headers.get("sec-fetch-site") not in {"cross-site", "same-site"}:
        return ""
    opens = headers.get("sec-fetch-mode") == "navigate"
    if opens and headers.get("sec-fetch-dest", "document") == "document":
        return ""
    return "This came from another page."


def _refusal_to_act(method: str, headers: Headers, address: Address) -> str:
    if method != "POST":
        return "There is nothing here for this method."
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if not sites and not origins:
        return "It does not say which page this came from."
    if set(sites) - {"same-origin"} or set(origins) - {address.origin}:
        return "This came from another page."
    length = headers.get("content-length", "")
    if not _LENGTH.fullmatch(length) or int(length) > BODY_BYTES_MAX:
        return "This is too long, or does not say how long it is."
    return ""


def _has_token(query: bytes, headers: Headers) -> bool:
    """Whether a token of the broker is in the address or in a cookie: it is nobody's sign-in."""
    places = (unquote_plus(query.decode("latin-1")), *headers.getlist("cookie"))
    return any(_TOKEN.search(place) for place in places)


def origin_of(url: str) -> str:
    """The origin of an address, as browsers write it."""
    parts = urlsplit(url.lower())
    usual = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc.removesuffix(usual)}"


def _no(why: str, status: int, *, wait_s: float = 0.0) -> Response:
    headers = {"retry-after": str(math.ceil(wait_s))} if wait_s else {}
    if status == 408:  # noqa: PLR2004 - what comes yet is no request
        headers["connection"] = "close"
    return PlainTextResponse(f"{why}\n", status, headers)


async def _body(receive: Receive, *, within_s: float) -> bytes | None:
    """A request's whole body; None where it is not there in time, or is longer than it said."""
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                body += message.get("body", b"")
                if len(body) > BODY_BYTES_MAX:
                    return None
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return None


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read, to be read once more; then whatever else there is to hear."""
    read = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return read.pop() if read else await receive()

    return received


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
