"""Migrations and tables say the same, and a broker starts on nothing else."""

import asyncio
import contextlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script

from broker.core.canonical import digest
from broker.core.errors import StoreUnavailable
from broker.store import (
    DatabaseInUse,
    SchemaRefused,
    SqlStore,
    load_or_create,
    sqlite,
    upgrade,
)
from broker.store.rolling import still_running
from broker.store.schema import MIGRATIONS
from broker.store.tables import metadata
from tests.stores import NOW, open_store, temporary_store, url_of


async def opened(path: Path, url: str = "") -> SqlStore:
    return await SqlStore.open(
        url or url_of(path),
        state=path / "state",
        instance="brokers/1",
        audit_keys=load_or_create(path / "state"),
        clock=lambda: NOW,
    )


def execute(path: Path, statement: str) -> None:
    database = sqlite3.connect(path / "broker.db")
    with database:
        database.execute(statement)
    database.close()


def version_of(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path / "broker.db")) as database:
        ((version,),) = database.execute("SELECT version_num FROM alembic_version")
        return str(version)


def to_revision(path: Path, revision: str) -> None:
    """The database as an earlier release made it."""
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.set_main_option("path_separator", "os")
    with sqlite.engine(url_of(path)).connect() as connection:
        configuration.attributes["connection"] = connection
        connection.exec_driver_sql(sqlite.BEGIN_WRITE)
        command.upgrade(configuration, revision)
        connection.exec_driver_sql("COMMIT")


def described(url: str) -> list[tuple[str, list[str]]]:
    with sqlite.engine(url).connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
            " AND name <> 'alembic_version' ORDER BY name",
        )
        # Constraints may be written in another order; a column that came later has no line.
        return [
            (n, sorted(p.strip(" \t") for p in re.split(r"[,\n]+", sql) if p.strip()))
            for n, sql in rows
        ]


def test_migrations_make_the_tables_that_the_code_names(tmp_path: Path):
    upgrade(url_of(tmp_path))
    with sqlite.engine(url_of(tmp_path)).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    plain = f"sqlite:///{tmp_path / 'plain.db'}"
    with sqlite.engine(plain).connect() as connection:
        metadata.create_all(connection)
    # Checks and partial indexes too, which the comparison does not look at.
    assert described(url_of(tmp_path)) == described(plain)


def test_migrating_twice_changes_nothing(tmp_path: Path):
    upgrade(url_of(tmp_path))
    before = described(url_of(tmp_path))
    upgrade(url_of(tmp_path))
    assert described(url_of(tmp_path)) == before


async def test_a_database_that_is_not_there_is_not_made(tmp_path: Path):
    with pytest.raises(SchemaRefused, match="callbroker migrate"):
        await opened(tmp_path)
    assert not (tmp_path / "broker.db").exists()


async def test_a_database_that_is_not_migrated_is_refused(tmp_path: Path):
    (tmp_path / "broker.db").touch()
    with pytest.raises(SchemaRefused, match="callbroker migrate"):
        await opened(tmp_path)


async def test_a_database_of_a_newer_release_is_refused(tmp_path: Path):
    """Its migration changed what was there: only newer brokers may run."""
    upgrade(url_of(tmp_path))
    execute(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    execute(tmp_path, "UPDATE schema_runs SET revision = '9999' || revision")
    with pytest.raises(SchemaRefused, match="newer"):
        await opened(tmp_path)
    with pytest.raises(SchemaRefused, match="newer"):
        upgrade(url_of(tmp_path))


async def test_a_newer_release_that_only_adds_leaves_this_one_running(tmp_path: Path):
    """Version N starts on the database that N+1 has migrated; it does not migrate it back."""
    upgrade(url_of(tmp_path))
    execute(tmp_path, "CREATE TABLE of_tomorrow (name TEXT)")
    execute(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    await (await opened(tmp_path)).close()
    with pytest.raises(SchemaRefused, match="newer"):
        upgrade(url_of(tmp_path))


async def test_a_newer_release_starts_on_no_database_that_it_has_not_migrated(tmp_path: Path):
    """Version N+1 needs what its migration adds; version N runs on beside that."""
    upgrade(url_of(tmp_path))
    execute(tmp_path, "UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(SchemaRefused, match="callbroker migrate"):
        await opened(tmp_path)


def test_those_may_run_since_whom_migrations_only_added():
    def script(revision: str, **said: bool) -> Script:
        return cast("Script", SimpleNamespace(revision=revision, module=SimpleNamespace(**said)))

    added = [script("4", EXPANDS=True), script("3", EXPANDS=True)]
    changed, before = script("2", EXPANDS=False), script("1", EXPANDS=True)
    assert still_running([*added, changed, before]) == ("4", "3", "2")
    assert still_running([changed, before]) == ("2",)
    assert still_running([script("1")]) == ("1",)


async def test_what_is_no_database_is_unavailable(tmp_path: Path):
    (tmp_path / "broker.db").write_bytes(b"This is no database at all. " * 100)
    with pytest.raises(StoreUnavailable):
        await opened(tmp_path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://h/db"])
async def test_only_what_is_known_is_a_database(tmp_path: Path, url: str):
    with pytest.raises(ValueError, match="sqlite:///"):
        await opened(tmp_path, url)


async def test_a_database_has_one_broker(tmp_path: Path):
    async with temporary_store(tmp_path):
        with pytest.raises(DatabaseInUse, match="serves one at a time"):
            await opened(tmp_path)
        with pytest.raises(DatabaseInUse):
            upgrade(url_of(tmp_path))
    store = await open_store(tmp_path)
    await store.close()


async def test_another_process_is_refused_and_told_why(tmp_path: Path):
    script = f"from broker.store import upgrade; upgrade({url_of(tmp_path)!r})"
    async with temporary_store(tmp_path):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert b"Another broker has the database" in done.stderr


async def test_a_refusal_gives_the_database_up_again(tmp_path: Path):
    upgrade(url_of(tmp_path))
    newest = version_of(tmp_path)
    execute(tmp_path, "UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(SchemaRefused):
        await opened(tmp_path)
    execute(tmp_path, f"UPDATE alembic_version SET version_num = '{newest}'")
    store = await opened(tmp_path)
    await store.close()


async def test_an_older_database_goes_forward_with_all_that_is_in_it(tmp_path: Path):
    to_revision(tmp_path, "0001")
    execute(tmp_path, "INSERT INTO documents VALUES ('sha256:x', 'tool', 1.0, x'7b7d')")
    with pytest.raises(SchemaRefused, match="older release: run `callbroker migrate`"):
        await opened(tmp_path)
    upgrade(url_of(tmp_path))
    store = await opened(tmp_path)
    assert await store.document("sha256:x") == b"{}"
    await store.close()


async def test_a_key_that_a_call_has_is_still_its_own_by_its_new_name(tmp_path: Path):
    """What is UNKNOWN over an upgrade goes on to keep others from its order."""
    to_revision(tmp_path, "0014")
    long = f"note=sha256:{'1' * 64}"
    before = ['order="O=1001"', 'a=b="c=d"', "n=7", long]
    for number, key in enumerate(before):
        execute(tmp_path, f"INSERT INTO keys VALUES ('{key}', {number}, 'invocations/{number}')")
    upgrade(url_of(tmp_path))
    store = await opened(tmp_path)
    names = [f"order={digest('O=1001')}", f"a=b={digest('c=d')}", f"n={digest(7)}", long]
    found = await store.keys(names)
    assert [(found[name].version, found[name].invocation) for name in names] == [
        (number, f"invocations/{number}") for number in range(len(before))
    ]
    await store.close()
