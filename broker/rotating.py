"""The audit keys are rotated by whoever can open the database, while no broker runs on it.

The old key says who comes after it in an entry, and the head of that entry is signed by both; from
then on the log is linked and signed with the new ones alone. A crash leaves the keys of before in
force, or a rotation that the same command ends; no broker starts in between.
"""

import asyncio
import os
import time
from dataclasses import dataclass

from broker.config import Settings
from broker.core.audit import EntryDraft, EntryKind
from broker.core.key_line import read_rotation
from broker.core.notes import verifier_key
from broker.core.unit import Unit
from broker.ids import UuidFactory
from broker.ports import Clock
from broker.store import SqlStore, upgrade
from broker.store.alone import require_no_broker
from broker.store.heads import Heads
from broker.store.key_rotation import (
    discard,
    is_told,
    move_in,
    note_of,
    prepare,
    prepared,
)
from broker.store.keys import AuditKeys, Successor, load, signature_holds

_real_clock: Clock = time.time  # noqa: TID251 - as in the composition root


class RotationRefused(Exception):
    """The keys were not rotated; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedKeys:
    """What has come of it.

    Attributes:
        key, replaced: the new public key and the old one, in text form.
        size: entries that the old one alone has signed.
    """

    key: str
    replaced: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    settings: Settings
    reason: str
    clock: Clock


def rotate_audit_keys(
    settings: Settings, *, reason: str, clock: Clock = _real_clock
) -> RotatedKeys:
    """Put new keys in the place of the log's.

    Args:
        settings: of the broker, which must not be running, nor any other on the same database.
        reason: for the log.
        clock: POSIX seconds.

    Raises:
        DatabaseInUse: a broker runs on it.
        RotationRefused: others wrote to it meanwhile.
        BrokerError, SchemaRefused, KeysRefused, LogRefused: the database cannot be used.
    """
    upgrade(settings.database)
    require_no_broker(settings.database)
    state = settings.state
    if not is_told(state):
        order = _Order(settings=settings, reason=reason, clock=clock)
        asyncio.run(_have_told(order, prepared(state)))
    note = note_of(state)
    Heads(state / "checkpoints").add_rotation(note)
    move_in(state)
    rotation = read_rotation(note, signature_holds)
    return RotatedKeys(
        key=verifier_key(rotation.new), replaced=verifier_key(rotation.old), size=rotation.size
    )


async def _have_told(order: _Order, successor: Successor | None) -> None:
    """Have the log tell of what takes over, which is made first where nothing whole is there."""
    state = order.settings.state
    keys = load(state, successor=successor)
    store = await _open(order, keys)
    try:
        counts = await store.counts()
        if successor is None:
            newest = Heads(state / "checkpoints").newest()
            epoch = keys.line.read(newest).epoch if newest else 0
            successor = prepare(state, keys, size=counts.audit_entries_signed, epoch=epoch)
            store.sign_with(load(state, successor=successor))
        if counts.audit_entries == successor.size:
            # Signed at exactly its place or not at all (`Log.sign`).
            await store.commit_signed(Unit(changes=(), entries=(_entry(order, successor),)))
            return
        is_told = await _is_last(store, successor)
    finally:
        await store.close()
    if not is_told:
        discard(state)
        raise RotationRefused(
            "Somebody else wrote to the log meanwhile; its keys are those of before. Stop every "
            "broker, and ask again."
        )


async def _is_last(store: SqlStore, successor: Successor) -> bool:
    """Whether the entry that tells of it is the last one, at its place, and signed."""
    counts = await store.counts()
    if counts.audit_entries != counts.audit_entries_signed:
        return False
    (last,) = await store.log_entries(before=None, page_size=1) or ({},)
    body = last.get("body")
    return (
        counts.audit_entries == successor.size + 1
        and last.get("kind") == EntryKind.AUDIT_KEYS_ROTATED
        and isinstance(body, dict)
        and body.get("note") == successor.note
    )


async def _open(order: _Order, keys: AuditKeys) -> SqlStore:
    return await SqlStore.open(
        order.settings.database,
        state=order.settings.state,
        instance=f"brokers/{UuidFactory(order.clock)()}",
        audit_keys=keys,
        clock=order.clock,
    )


def _entry(order: _Order, successor: Successor) -> EntryDraft:
    return EntryDraft(
        kind=EntryKind.AUDIT_KEYS_ROTATED,
        at=order.clock(),
        actor="bootstrap",
        body={
            "note": successor.note,
            "person": f"local#uid-{os.getuid()}",
            "reason": order.reason,
        },
    )
