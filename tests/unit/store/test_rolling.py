"""A migration beneath running brokers: what only adds goes on, anything else waits until none runs.

Brokers of two releases that know the tables differently would each keep what the other does not
see: such as what excludes two calls on one order, which has one name in each of them.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import Script

from broker.core.errors import StoreUnavailable
from broker.store import DatabaseInUse, upgrade
from broker.store.postgres import DIALECT
from broker.store.rolling import ends_others
from broker.store.schema import MIGRATIONS
from broker.store.sql import Database
from tests.postgres import EMPTY, server
from tests.postgres_stores import mark, marks, open_at

BEFORE = "0014"
"""The last before one that renames what is there."""
CUT = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = 'callbroker' AND datname = current_database()"
)


@pytest.fixture
def name() -> Iterator[str]:
    with server().database(EMPTY) as database:
        yield database


def of_the_release_before(name: str) -> str:
    """The address of a database as an earlier release made it."""
    url = server().url(name)
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.set_main_option("path_separator", "os")
    with DIALECT.engine(url).connect() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, BEFORE)
    return url


def revision_of(name: str) -> object:
    return server().run("SELECT version_num FROM alembic_version", database=name)[0][0]


def test_what_does_more_than_add_waits_until_no_broker_runs(name: str):
    """Migrate as for a release that only adds, while brokers run that go on as they were."""
    url = of_the_release_before(name)
    engine = DIALECT.engine(url)
    runs = Database(engine.connect(), DIALECT)
    runs.claim("brokers/of-before", former=0)
    with pytest.raises(DatabaseInUse, match="stop every broker"):
        upgrade(url)
    assert revision_of(name) == BEFORE
    runs.close()
    upgrade(url)
    assert revision_of(name) != BEFORE


def test_what_is_migrated_already_stops_nobody(name: str):
    url = server().url(name)
    upgrade(url)
    runs = Database(DIALECT.engine(url).connect(), DIALECT)
    runs.claim("brokers/of-now", former=0)
    upgrade(url)
    runs.close()


async def test_a_broker_that_was_away_meanwhile_writes_nothing_more(name: str, tmp_path: Path):
    """Be cut off while no broker seems to run, and come back to tables of another release."""
    url = server().url(name)
    upgrade(url)
    store = await open_at(url, tmp_path)
    await store.commit(mark(0))
    revision = revision_of(name)
    server().run("UPDATE alembic_version SET version_num = '9999'", database=name)
    server().run("UPDATE schema_runs SET revision = '9999' || revision", database=name)
    server().run(CUT, database=name)
    with pytest.raises(StoreUnavailable):
        await store.commit(mark(1))
    server().run(f"UPDATE alembic_version SET version_num = '{revision}'", database=name)
    await store.commit(mark(2))
    await store.close()
    server().run("UPDATE schema_runs SET revision = substr(revision, 5)", database=name)
    assert await marks(url, tmp_path) == {"m0", "m2"}


async def test_one_that_only_adds_leaves_whoever_comes_back_writing(name: str, tmp_path: Path):
    url = server().url(name)
    upgrade(url)
    store = await open_at(url, tmp_path)
    await store.commit(mark(0))
    server().run("UPDATE alembic_version SET version_num = '9999'", database=name)
    server().run(CUT, database=name)
    await store.commit(mark(1))
    await store.close()
    assert await marks(url, tmp_path) == {"m0", "m1"}


def test_only_what_is_yet_to_come_is_asked_whether_it_adds():
    def script(revision: str, *, expands: bool) -> Script:
        module = SimpleNamespace(EXPANDS=expands)
        return cast("Script", SimpleNamespace(revision=revision, module=module))

    changes = script("2", expands=False)
    scripts = [script("4", expands=True), script("3", expands=True), changes]
    assert not ends_others(scripts, {"4"})
    assert not ends_others(scripts, {"2"})
    assert ends_others(scripts, {"1"})
    assert ends_others([changes], {"1"})
