"""Templates become pages: everything is escaped, and what an eye would miss is made visible.

Whatever an agent, a tool or a stranger wrote goes through `shown` (core.text) on its way to the
template, which escapes it again for HTML. No template marks anything as safe.
"""

import asyncio
import functools
import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from broker.core.sign_ins import SignIn
from broker.core.text import visible, visible_value
from broker.ports import Clock
from broker.web.marking import marked

TEMPLATES: Final = Path(__file__).parent / "templates"
STATIC: Final = Path(__file__).parent / "static"
PIECE_CHARACTERS: Final = 32_768
"""More than a screen of rows."""


class Pages:
    """Renders templates."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.tests["plain"] = is_plain
        self._environment.filters.update(
            shown=visible,
            shown_value=visible_value,
            short=short,
            digest=digest,
            instant=instant,
            time_of_day=time_of_day,
            marked=marked,
            asset=asset,
            lasting=lasting,
        )

    def page(
        self,
        request: Request,
        template: str,
        *,
        sign_in: SignIn | None = None,
        status: int = 200,
        **given: Any,
    ) -> HTMLResponse:
        """A page of this template."""
        text = self._environment.get_template(template).render(
            **self._always(request, sign_in), **given
        )
        return HTMLResponse(text, status_code=status)

    def long_page(
        self, request: Request, template: str, *, sign_in: SignIn, **given: Any
    ) -> StreamingResponse:
        """A page that may be very long: its beginning is on the screen while the rest is made.

        Calls are decided between two pieces of it.
        """
        parts = self._environment.get_template(template).generate(
            **self._always(request, sign_in), **given
        )
        return StreamingResponse(_pieces(parts), media_type="text/html")

    def _always(self, request: Request, sign_in: SignIn | None) -> dict[str, Any]:
        return {
            "path": request.url.path,
            "me": sign_in.reviewer if sign_in else None,
            "now": self._clock(),
        }

    def problem(
        self, request: Request, message: str, *, status: int, sign_in: SignIn | None = None
    ) -> HTMLResponse:
        """What went wrong, and where to go on."""
        return self.page(request, "problem.html", sign_in=sign_in, status=status, message=message)


async def _pieces(parts: Iterable[str]) -> AsyncIterator[str]:
    kept: list[str] = []
    length = 0
    for part in parts:
        kept.append(part)
        length += len(part)
        if length >= PIECE_CHARACTERS:
            yield "".join(kept)
            kept, length = [], 0
            await asyncio.sleep(0)
    yield "".join(kept)


class Assets(StaticFiles):
    """Scripts and style sheets; one that is asked for by its digest never changes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, which a browser may keep where its address names what is in it."""
        response = await super().get_response(path, scope)
        digest = scope["query_string"].decode("latin-1").removeprefix("v=")
        if digest and asset(path).endswith(f"?v={digest}"):
            response.headers["cache-control"] = "private, max-age=31536000, immutable"
        return response


@functools.cache
def asset(name: str) -> str:
    """The address of a file of ours, with the first digits of its digest; none where it is none."""
    path = STATIC / name
    if not path.is_file():
        return f"/static/{name}"
    return f"/static/{name}?v={hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def is_plain(text: str) -> bool:
    """Whether a text can be shown as it is, so that there is nothing in it to make visible."""
    return text.isascii() and text.isprintable() and "\\" not in text


def short(name: str) -> str:
    """`h-0f3a9c2d` of `holds/…`: the end of a UUIDv7 is what tells names apart."""
    kind, _, rest = name.partition("/")
    return f"{kind[:1]}-{rest[-8:]}" if rest else name


def digest(text: str) -> str:
    """The first digits of a digest."""
    return text.removeprefix("sha256:")[:8]


def instant(at: float) -> str:
    """UTC, to the second (RFC 3339)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of_day(at: float) -> str:
    """The time of day, UTC, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M UTC")


def lasting(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = max(int(seconds), 0)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"  # noqa: PLR2004 - a minute
