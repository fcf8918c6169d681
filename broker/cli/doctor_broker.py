"""What `callbroker doctor` finds of a broker: its state, its database, and what it leaves undone.

It only looks, but for what is safe to mend and was asked for: modes of what is the broker's own,
and folders that are missing. What a broker that does not answer would say is not guessed.
"""

import shutil
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from broker.cli.connection import looking
from broker.cli.failures import CommandFailed
from broker.cli.names import short
from broker.cli.times import epoch, length
from broker.config import Settings
from broker.core.limits import CREDENTIAL_EXPIRING_S
from broker.store import schema
from broker.store.addresses import dialect_of, is_file, shown
from broker.store.sqlite import path_of
from broker.v1.admin_pb2 import (
    Credential,
    Freeze,
    GetStatusRequest,
    GetStatusResponse,
    ListCredentialsRequest,
    ListFreezesRequest,
)
from sandboxes.doctor import Finding, Level

FOLDERS: Final = ("", "tokens", "checkpoints")
PRIVATE: Final = ("audit*.key", "audit-keys/*", "tokens/*", "review-link")
DISK_FREE_MIN: Final = 0.1
DISK_FREE_BYTES_MIN: Final = 256 * 1024 * 1024
CLOCK_SKEW_S_MAX: Final = 5.0
FREEZE_LONG_S: Final = 86_400.0
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def broker_findings(settings: Settings, *, now: float, mend: bool) -> tuple[Finding, ...]:
    """All that is found of a broker with these settings.

    Args:
        settings: the broker's.
        now: POSIX seconds.
        mend: whether to set modes, and to make folders that are missing.
    """
    return (
        *state_findings(settings.state, mend=mend),
        *database_findings(settings, now=now),
        *_running(now),
    )


def state_findings(state: Path, *, mend: bool) -> Iterator[Finding]:
    """Whether the state directory is the broker's alone, and has room."""
    if not state.is_dir() and not mend:
        yield _ill(Level.WARNING, "state", f"{state} is not there", "callbroker migrate")
        return
    ill = list(_modes(state, mend=mend))
    yield from ill or [_well("state", f"{state} is for its user alone")]
    usage = shutil.disk_usage(state)
    free = f"{usage.free / 1024**3:.1f} GiB free of {usage.total / 1024**3:.1f}"
    if usage.free < max(DISK_FREE_BYTES_MIN, DISK_FREE_MIN * usage.total):
        told = "make room: docs/runbooks/disk-nearly-full.md"
        yield _ill(Level.WARNING, "disk", f"{free} at {state}", told)
    else:
        yield _well("disk", free)


def _modes(state: Path, *, mend: bool) -> Iterator[Finding]:
    for name in FOLDERS:
        folder = state / name
        if not folder.is_dir() and mend:
            folder.mkdir(mode=0o700, parents=True)
            yield _well("state", f"{folder} was made")
    folders = [state / name for name in (*FOLDERS, "audit-keys") if (state / name).is_dir()]
    files = [path for pattern in PRIVATE for path in state.glob(pattern) if path.is_file()]
    for path in (*folders, *files):
        # What a link leads to is somebody else's, and not ours to change.
        if path.is_symlink() or not path.stat().st_mode & _OTHERS:
            continue
        if mend:
            path.chmod(path.stat().st_mode & ~_OTHERS & 0o777)
            yield _well("state", f"{path} was open to others, and is not any more")
        else:
            told = "callbroker doctor --mend"
            yield _ill(Level.REFUSED, "state", f"{path} is open to others", told)


def database_findings(settings: Settings, *, now: float) -> Iterator[Finding]:
    """Whether its tables are this release's, and its server's clock is ours."""
    url = settings.database
    try:
        if is_file(url) and not path_of(url).is_file():
            said = f"{shown(url)} is not there"
            yield _ill(Level.WARNING, "database", said, "callbroker migrate")
            return
        with _engine(url).connect() as connection:
            schema.refuse_other(connection)
            yield _well("database", f"{shown(url)} has this release's tables")
            if not is_file(url):
                yield _clock(connection, now)
    except schema.SchemaRefused as refused:
        yield _ill(Level.REFUSED, "database", str(refused), "callbroker migrate")
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError, ValueError) as error:
        told = "docs/runbooks/store-cannot-commit.md"
        yield _ill(Level.REFUSED, "database", f"{shown(url)}: {schema.reason(error)}", told)


def _engine(url: str) -> sa.Engine:
    """That only reads, where a file could be changed by being opened."""
    if not is_file(url):
        return dialect_of(url).engine(url)
    address = f"{path_of(url).resolve().as_uri()}?mode=ro"
    return sa.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=sa.NullPool
    )


def _clock(connection: sa.Connection, now: float) -> Finding:
    theirs = connection.exec_driver_sql(
        "SELECT extract(epoch FROM clock_timestamp())::float8"
    ).scalar()
    apart_s = abs(float(theirs or 0.0) - now)
    said = f"{apart_s:.1f} s apart from the database's server"
    if apart_s > CLOCK_SKEW_S_MAX:
        return _ill(Level.WARNING, "clock", said, "have both set by NTP")
    return _well("clock", said)


def _running(now: float) -> Sequence[Finding]:
    """What a broker that answers leaves undone."""
    try:
        with looking() as line:
            told = line.ask(line.stub.GetStatus, GetStatusRequest())
            freezes = line.ask(line.stub.ListFreezes, ListFreezesRequest()).freezes
            known = line.ask(line.stub.ListCredentials, ListCredentialsRequest()).credentials
    except CommandFailed as silent:
        return (silent_finding(silent),)
    return tuple(running_findings(told, list(freezes), list(known), now=now))


def silent_finding(silent: CommandFailed) -> Finding:
    """Of a broker that did not say how it is: one that runs need not be started again."""
    told = "; ".join(silent.findings) or "callbroker serve, or an operator's token"
    return _ill(Level.WARNING, "broker", f"nobody was asked: {silent}", told)


def running_findings(
    told: GetStatusResponse,
    freezes: Sequence[Freeze],
    credentials: Sequence[Credential],
    *,
    now: float,
) -> Iterator[Finding]:
    """Of what a broker says of itself."""
    ill = [*_undone(told), *_old(freezes, credentials, now)]
    yield from ill or [_well("broker", f"{short(told.broker)} leaves nothing undone")]


def _undone(told: GetStatusResponse) -> Iterator[Finding]:
    book = "docs/runbooks"
    if not told.policy_ready:
        said = "the policy in force does not answer: nothing is allowed"
        yield _ill(Level.REFUSED, "policy", said, f"{book}/policy-engine-away.md")
    if told.invocations_unknown:
        said = f"{told.invocations_unknown} calls have an end that nobody knows"
        yield _ill(Level.WARNING, "calls", said, "callbroker invocations list --state unknown")
    for node in told.sandbox_nodes:
        if not node.ready:
            said = f"{node.address} is away: {node.problem}"
            yield _ill(Level.WARNING, "sandboxes", said, "docs/sandboxes.md")
    for worker in told.workers:
        if worker.tools_without_preview:
            said = (
                f"{short(worker.name)} has no preview of {', '.join(worker.tools_without_preview)}"
            )
            mend = "give the worker the preview that the manifest names: docs/manifest.md"
            yield _ill(Level.WARNING, "previews", said, mend)
    for channel in told.channels:
        if channel.given_up or channel.problem:
            said = f"{channel.name}: {channel.given_up} given up, last: {channel.problem or 'well'}"
            yield _ill(Level.WARNING, "notify", said, f"{book}/notices-given-up.md")


def _old(
    freezes: Sequence[Freeze], credentials: Sequence[Credential], now: float
) -> Iterator[Finding]:
    for freeze in freezes:
        age_s = now - epoch(freeze.create_time)
        if age_s > FREEZE_LONG_S:
            name = short(freeze.name)
            said = f"{name} has been in force for {length(age_s)}: {freeze.reason}"
            yield _ill(Level.WARNING, "freezes", said, f'callbroker unfreeze {name} --reason "..."')
    for one in credentials:
        left_s = epoch(one.expire_time) - now
        if one.revoked or left_s <= 0 or left_s > CREDENTIAL_EXPIRING_S:
            continue
        name = short(one.name)
        said = f"{name} of {one.subject} ends in {length(left_s)}"
        mend = f'callbroker token rotate {name} --overlap 1h --reason "..."'
        yield _ill(Level.WARNING, "credentials", said, mend)


def _well(part: str, said: str) -> Finding:
    return Finding(level=Level.OK, part=part, said=said)


def _ill(level: Level, part: str, said: str, mend: str) -> Finding:
    return Finding(level=level, part=part, said=said, mend=mend)
