"""One broker's store at an address, and marks by which a test knows what was written."""

from pathlib import Path

from broker.core.unit import AddDocument, Unit
from broker.store import (
    SqlStore,
    load_or_create,
)
from tests.store_values import NOW, entry, unit


async def open_at(url: str, path: Path, instance: str = "brokers/1") -> SqlStore:
    return await SqlStore.open(
        url,
        state=path / "state",
        instance=instance,
        audit_keys=load_or_create(path / "state"),
        clock=lambda: NOW,
    )


def mark(number: int) -> Unit:
    return unit(
        AddDocument(digest=f"m{number}", kind="mark", at=NOW, body=b"1"), entries=(entry(),)
    )


async def marks(url: str, path: Path) -> set[str]:
    """What a store that is opened anew finds; opening checks the whole log."""
    store = await open_at(url, path)
    found = {digest for digest, _ in await store.documents("mark")}
    await store.close()
    return found
