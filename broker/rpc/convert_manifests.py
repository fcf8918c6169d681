"""Tools in force for the wire, as many as one message takes: the others are on the next page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from broker.core.canonical import canonical_bytes
from broker.core.manifest import ToolManifest
from broker.rpc.paging import Page, token_of
from broker.v1 import admin_pb2

MANIFESTS: Final = "manifests"
PAGE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of manifests in one answer; warnings have a quarter of that, all below what a message may be."""
WARNINGS_BYTES_MAX: Final = 512 * 1024
BESIDE_BYTES: Final = 16
"""More than framing, and a count of workers, take of one manifest or text."""

_T = TypeVar("_T")


def manifests_page(
    manifests: Sequence[ToolManifest], workers: Mapping[str, int]
) -> Page[admin_pb2.Manifest]:
    """As many as one message takes, one at least.

    Args:
        manifests: in name order.
        workers: how many implement each tool.
    """
    out = (_manifest_out(m, workers=workers.get(m.name, 0)) for m in manifests)
    items = within_bytes(out, size=admin_pb2.Manifest.ByteSize, bytes_max=PAGE_BYTES_MAX)
    more = len(items) < len(manifests)
    token = token_of(MANIFESTS, items[-1].name) if more else ""
    return Page(items=items, next_page_token=token)


def warnings_out(warnings: Iterable[str]) -> tuple[str, ...]:
    """As many as one message takes beside a page of manifests."""
    return within_bytes(
        warnings, size=lambda text: len(text.encode()), bytes_max=WARNINGS_BYTES_MAX
    )


def within_bytes(
    items: Iterable[_T], *, size: Callable[[_T], int], bytes_max: int
) -> tuple[_T, ...]:
    """The first of them, until there are so many bytes; one at least, where there is one."""
    found: list[_T] = []
    left = bytes_max
    for item in items:
        left -= size(item) + BESIDE_BYTES
        if left < 0 and found:
            break
        found.append(item)
    return tuple(found)


def _manifest_out(manifest: ToolManifest, *, workers: int) -> admin_pb2.Manifest:
    return admin_pb2.Manifest(
        name=manifest.name,
        revision=manifest.revision,
        document_json=canonical_bytes(dict(manifest.document)),
        workers=workers,
    )
