"""Somebody's rights were taken away, and they wait until a backup of before that is restored.

Everything is frozen then, until an operator has looked at who may do what. But whoever was an
operator may lift that freeze, and is faster than whoever would revoke them again.
"""

import asyncio
from pathlib import Path

import pytest

from broker.administration.changes import ControlChanges
from broker.administration.credentials import CredentialAdministration, CredentialOrder
from broker.bootstrap import operator_token, restore_backup
from broker.config import Settings
from broker.control_room import ControlRoom
from broker.core.audit import EntryKind
from broker.core.credentials import CredentialClass
from broker.core.errors import Unauthenticated
from broker.events import Events
from broker.identity import Identity
from broker.ids import UuidFactory
from broker.store import SqlStore
from broker.store.backing_up import take
from tests.offices import operator
from tests.stores import NOW, temporary_store, url_of

OPERATORS = {CredentialClass.OPERATOR}
WORKERS = {CredentialClass.WORKER}


class Office:
    """Credentials of a broker, made and looked at."""

    def __init__(self, store: SqlStore, room: ControlRoom) -> None:
        changes = ControlChanges(
            store=store, room=room, clock=lambda: NOW, ids=UuidFactory(lambda: NOW)
        )
        self.credentials = CredentialAdministration(changes=changes)
        self.identity = Identity(control=room.current, clock=lambda: NOW)


async def office(store: SqlStore) -> Office:
    return Office(store, await ControlRoom.open(store=store, events=Events()))


def settings_of(path: Path) -> Settings:
    return Settings(database=url_of(path), state=path / "state")


def order(kind: CredentialClass, subject: str, **more: str | tuple[str, ...]) -> CredentialOrder:
    return CredentialOrder(credential_class=kind, subject=subject, **more)


async def test_an_operator_who_was_revoked_since_is_none_after_a_restore(tmp_path: Path):
    """I was an operator until Tuesday. Monday's backup is restored, and I lift the freeze."""
    async with temporary_store(tmp_path) as store:
        desk = await office(store)
        mine = order(CredentialClass.OPERATOR, "mallory", person="mallory")
        credential, token = await desk.credentials.create(operator(), mine)
        other = order(CredentialClass.WORKER, "workers/shop", tools=("refund",))
        _, workers = await desk.credentials.create(operator(), other)
        await store.checkpoint_now()
        take(tmp_path / "broker.db", tmp_path / "monday.db")
        desk.identity.authenticate(f"Bearer {token}", OPERATORS)
        await desk.credentials.revoke(operator(), credential.name, reason="left")
    done = restore_backup(
        settings_of(tmp_path), tmp_path / "monday.db", reason="disk", clock=lambda: NOW
    )
    assert done.operators_revoked == 1
    async with temporary_store(tmp_path) as store:
        desk = await office(store)
        with pytest.raises(Unauthenticated):
            desk.identity.authenticate(f"Bearer {token}", OPERATORS)
        desk.identity.authenticate(f"Bearer {workers}", WORKERS)
        said = await store.log_entries(before=None, page_size=9)
        (revoked,) = [one for one in said if one["kind"] == EntryKind.CREDENTIAL_REVOKED]
        assert revoked["body"]["subject"] == "mallory"


async def test_whoever_restores_makes_the_first_operator_anew(tmp_path: Path):
    """No attack: the same command as for the first one, before the broker starts."""
    settings = settings_of(tmp_path)
    before = await asyncio.to_thread(operator_token, settings, clock=lambda: NOW)
    take(tmp_path / "broker.db", tmp_path / "monday.db")
    for _ in range(2):
        restore_backup(settings, tmp_path / "monday.db", reason="disk", clock=lambda: NOW)
    token = await asyncio.to_thread(operator_token, settings, clock=lambda: NOW)
    async with temporary_store(tmp_path) as store:
        desk = await office(store)
        desk.identity.authenticate(f"Bearer {token}", OPERATORS)
        with pytest.raises(Unauthenticated):
            desk.identity.authenticate(f"Bearer {before}", OPERATORS)
