"""A page token is of one listing, opaque, and says where the next page starts."""

import base64

import pytest

from broker.core.errors import MalformedRequest
from broker.core.limits import PAGE_SIZE, PAGE_SIZE_MAX
from broker.rpc.paging import cursor_of, page_of, page_size_of

NAMES = [f"holds/{number:03}" for number in range(700)]


def pages(size: int) -> list[tuple[str, ...]]:
    """Walk through all names as a client does, over a store that gives at most PAGE_SIZE_MAX."""
    token, found = "", []
    while True:
        after = cursor_of(token, listing="holds")
        rows = [n for n in NAMES if n > after][: min(size + 1, PAGE_SIZE_MAX)]
        page = page_of(rows, size=size, listing="holds", cursor=str)
        found.append(page.items)
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.parametrize("size", [1, 7, 50, 350, 499, 500])
def test_pages_give_everything_once_and_in_order(size):
    found = pages(size)
    assert [name for page in found for name in page] == NAMES
    assert all(len(page) <= size for page in found)


def test_a_size_is_bounded_and_never_negative():
    assert (page_size_of(0), page_size_of(7), page_size_of(10**6)) == (PAGE_SIZE, 7, PAGE_SIZE_MAX)
    with pytest.raises(MalformedRequest):
        page_size_of(-1)


def test_a_token_of_another_listing_or_none_at_all_is_malformed():
    token = page_of(NAMES[:3], size=2, listing="holds", cursor=str).next_page_token
    assert cursor_of(token, listing="holds") == "holds/001"
    for wrong in (
        "x",
        "é",
        token[:-3],
        "a" * 10_000,
        base64.urlsafe_b64encode(b"holds ").decode(),
        base64.urlsafe_b64encode(b"holds " + b"a" * 500).decode(),
        base64.urlsafe_b64encode(b"holds \xff\xff").decode(),
    ):
        with pytest.raises(MalformedRequest):
            cursor_of(wrong, listing="holds")
    with pytest.raises(MalformedRequest):
        cursor_of(token, listing="invocations")
