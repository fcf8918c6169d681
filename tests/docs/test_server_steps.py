"""What an operator types to back up and restore a server is run as it stands, with its tools."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.store import LogRefused, upgrade
from tests.docs.pages import ROOT, shell_steps
from tests.postgres import programs, server
from tests.postgres_stores import mark, open_at

OPERATE = ROOT / "docs" / "operate.md"
DATABASES = ("callbroker", "callbroker_before")
COMMAND_S = 60


@pytest.fixture
def url() -> Iterator[str]:
    """Of a database by the name that the page says."""
    server().run(f"CREATE DATABASE {DATABASES[0]} TEMPLATE template0")
    made = server().url(DATABASES[0])
    upgrade(made)
    try:
        yield made
    finally:
        for name in DATABASES:
            server().run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def marked(url: str, path: Path, *numbers: int) -> set[str]:
    """Write some marks; all that are there then."""
    store = await open_at(url, path)
    try:
        for number in numbers:
            await store.commit(mark(number))
        return {digest for digest, _ in await store.documents("mark")}
    finally:
        await store.close()


def run(steps: str, url: str, path: Path) -> str:
    found = os.pathsep.join((str(Path(sys.executable).parent), str(programs()), os.defpath))
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("CALLBROKER_")}
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", steps],
        cwd=path,
        env={
            **inherited,
            "PATH": found,
            "PGHOST": str(server().directory),
            "PGUSER": "callbroker",
            "CALLBROKER_DATABASE": url,
            "CALLBROKER_STATE": str(path / "state"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_servers_dump_is_taken_put_back_and_gone_on_with(url: str, tmp_path: Path):
    async def taken() -> None:
        store = await open_at(url, tmp_path)
        await store.commit_signed(mark(1))
        await asyncio.to_thread(run, shell_steps(OPERATE, "Backing up"), url, tmp_path)
        await store.commit(mark(2))
        await store.close()

    asyncio.run(taken())
    *put_back, restored = shell_steps(OPERATE, "Restoring").strip().splitlines()
    run("\n".join(put_back), url, tmp_path)
    with pytest.raises(LogRefused, match="older"):
        asyncio.run(marked(url, tmp_path))
    said = run(restored, url, tmp_path)
    assert "Restored to" in said
    assert "callbroker unfreeze" in said
    assert asyncio.run(marked(url, tmp_path, 3)) == {"m1", "m3"}
