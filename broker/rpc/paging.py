"""A page token is a cursor into a keyset: where the last page ended, opaque to whoever holds it.

It names the listing that it is of, so that one listing's token is refused by another.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from broker.core.errors import MalformedRequest
from broker.core.limits import NAME_CHARACTERS_MAX, PAGE_SIZE, PAGE_SIZE_MAX

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[_T]):
    """One page, and the token of the next; empty on the last."""

    items: tuple[_T, ...]
    next_page_token: str


def page_size_of(asked: int) -> int:
    """How many are given: what was asked, within bounds (AIP-158).

    Raises:
        MalformedRequest: fewer than none.
    """
    if asked < 0:
        raise MalformedRequest("A page has a size.", metadata={"field": "page_size"})
    return min(asked or PAGE_SIZE, PAGE_SIZE_MAX)


def cursor_of(token: str, *, listing: str) -> str:
    """The cursor in a token; empty for the first page.

    Raises:
        MalformedRequest: it is not a token of this listing.
    """
    if not token:
        return ""
    try:
        text = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    kind, _, cursor = text.partition(" ")
    if kind != listing or not 0 < len(cursor) <= NAME_CHARACTERS_MAX:
        raise MalformedRequest(
            "This is no page token of this listing.", metadata={"field": "page_token"}
        )
    return cursor


def page_of(
    found: Sequence[_T], *, size: int, listing: str, cursor: Callable[[_T], str]
) -> Page[_T]:
    """Cut a page.

    Args:
        found: one more than `size`, where there is one more and the store gives so many.
        size: of the page.
        listing: what is listed.
        cursor: where an item stands in it.
    """
    items = tuple(found[:size])
    if len(found) <= size and len(found) < PAGE_SIZE_MAX:
        return Page(items=items, next_page_token="")
    return Page(items=items, next_page_token=token_of(listing, cursor(items[-1])))


def token_of(listing: str, cursor: str) -> str:
    """The token of the page that begins at a cursor."""
    return base64.urlsafe_b64encode(f"{listing} {cursor}".encode()).decode("ascii")
