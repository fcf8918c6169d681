"""The first operator token comes from whoever can open the database, and from nobody else.

Everything else is asked of a running broker. These few acts open the database themselves, so they
take its lock: none of them happens beneath a broker.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from broker.administration.changes import ControlChanges
from broker.administration.credentials import CredentialAdministration, CredentialOrder
from broker.config import Settings
from broker.control_room import ControlRoom
from broker.core.calls import Person
from broker.core.credentials import Credential, CredentialClass
from broker.events import Events
from broker.identity import LOCAL_ISSUER
from broker.ids import UuidFactory
from broker.ports import Clock
from broker.store import SqlStore, load_or_create, upgrade
from broker.store.addresses import is_file
from broker.store.backing_up import BackupRefused
from broker.store.keys import PUBLIC_FILE, KeysRefused
from broker.store.restoring import Restored, RestoreOrder, restore
from broker.token_files import save_token, token_path

__all__ = [
    "FIRST_OPERATOR",
    "operator_token",
    "prepare",
    "restore_backup",
    "save_token",
    "token_path",
]

FIRST_OPERATOR: Final = "operator"

_real_clock: Clock = time.time  # noqa: TID251 - as in the composition root


def prepare(settings: Settings) -> None:
    """Make the state directory, its keys and the database, or bring that to this release.

    Raises:
        DatabaseInUse: a broker is running on it.
        SchemaRefused: it is of a newer release.
        KeysRefused: the keys are damaged or open to others.
        ValueError: the address is not of a database that this release knows.
    """
    load_or_create(settings.state)
    upgrade(settings.database)


def restore_backup(
    settings: Settings, backup: Path | None, *, reason: str, clock: Clock = _real_clock
) -> Restored:
    """Go on from a backup, as `store.restoring` does.

    Args:
        settings: of the broker, which must not be running, nor any other on the same database.
        backup: the file to put in the database's place; None where that was put back already.
        reason: for the log.
        clock: POSIX seconds.

    Raises:
        DatabaseInUse: a broker is running on it.
        BackupRefused: a file for a database on a server, no reason, or no backup.
        KeysRefused: the log's keys are not there: they are put back first.
        LogRefused, SchemaRefused: the backup is not of this log, or of a newer release.
    """
    if backup is not None and not is_file(settings.database):
        raise BackupRefused(
            "The database is on a server: put the dump back with pg_restore, and then say "
            "`callbroker restore --in-place`."
        )
    if not reason.strip():
        raise BackupRefused("A restore needs a reason.")
    if not (settings.state / PUBLIC_FILE).exists():
        raise KeysRefused(
            f"There are no keys in {settings.state}: put the copy of that directory back first."
        )
    order = RestoreOrder(
        backup=backup,
        url=settings.database,
        state=settings.state,
        actor=f"uid-{os.getuid()}",
        reason=reason.strip(),
    )
    return restore(order, audit_keys=load_or_create(settings.state), clock=clock)


def operator_token(
    settings: Settings,
    *,
    subject: str = FIRST_OPERATOR,
    person: str = "",
    life_s: float | None = None,
    clock: Clock = _real_clock,
) -> str:
    """Make an operator credential directly in the database, which is made where there is none.

    Args:
        settings: of the broker, which must not be running.
        subject: who will hold it.
        person: the Person behind it; the subject where left out.
        life_s: seconds; `limits.CREDENTIAL_LIFE_S` where left out.
        clock: POSIX seconds.

    Returns:
        The token, which is nowhere else.

    Raises:
        DatabaseInUse: a broker is running on it.
        MalformedRequest: subject, person or life mean nothing, or the subject has another Person.
        BrokerError, SchemaRefused, KeysRefused, LogRefused: the database cannot be used.
    """
    prepare(settings)
    order = CredentialOrder(
        credential_class=CredentialClass.OPERATOR,
        subject=subject,
        person=person or subject,
        life_s=life_s,
    )
    return asyncio.run(_create(settings, order, clock))


async def _create(settings: Settings, order: CredentialOrder, clock: Clock) -> str:
    ids = UuidFactory(clock)
    store = await SqlStore.open(
        settings.database,
        state=settings.state,
        instance=f"brokers/{ids()}",
        audit_keys=load_or_create(settings.state),
        clock=clock,
    )
    try:
        room = await ControlRoom.open(store=store, events=Events())
        changes = ControlChanges(store=store, room=room, clock=clock, ids=ids)
        administration = CredentialAdministration(changes=changes)
        _, token = await administration.create(_owner_of_the_machine(clock()), order)
    finally:
        await store.close()
    return token


def _owner_of_the_machine(now: float) -> Credential:
    """Who the log names: there is no credential yet, only the right to open the file."""
    return Credential(
        name="",
        credential_class=CredentialClass.OPERATOR,
        subject="bootstrap",
        person=Person(issuer=LOCAL_ISSUER, subject=f"uid-{os.getuid()}"),
        digest=b"",
        created_at=now,
        expires_at=now,
    )
