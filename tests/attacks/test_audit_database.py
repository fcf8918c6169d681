"""An insider edits the broker's database while it is stopped, or puts an older copy of it back.

They can write every table, but have neither the keys nor the heads outside of the database. The
broker does not start on what it did not write; an export made on the side does not verify.
"""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from broker.core.audit import ChainHead, following
from broker.core.audit_verification import Report, verify
from broker.store import AuditKeys, LogRefused, load_or_create, signature_holds
from broker.store.heads import notes_of
from tests.store_values import entry, unit
from tests.stores import temporary_store

ENTRIES = 25


async def written(path: Path, count: int = ENTRIES) -> None:
    async with temporary_store(path) as store:
        for number in range(count):
            body = {"number": number}
            await store.commit(unit(entries=(entry(body=body, contents={"n": number}),)))


def edit(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path / "broker.db")
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


async def refuses(path: Path) -> str:
    with pytest.raises(LogRefused) as caught:
        async with temporary_store(path):
            pass
    return str(caught.value)


def copied(path: Path, name: str) -> Path:
    return Path(shutil.copytree(path, path.parent / name))


async def exported(path: Path, *, since: float = 0.0) -> Report:
    async with temporary_store(path) as store:
        lines = [chunk async for chunk in store.export(since=since, include_contents=True)]
    return verify(
        b"".join(lines).splitlines(),
        load_or_create(path / "state").public_key,
        signature_holds=signature_holds,
        checkpoints=notes_of((path / "state" / "checkpoints" / "heads.jsonl").read_bytes()),
    )


EDITS = {
    "a number": "UPDATE audit_entries SET entry = CAST(replace(CAST(entry AS TEXT),"
    " '\"number\":', '\"number\":1') AS BLOB) WHERE sequence = {n}",
    "a mac": "UPDATE audit_entries SET mac = zeroblob(32) WHERE sequence = {n}",
    "a deletion": "DELETE FROM audit_entries WHERE sequence = {n}",
    "a place": "UPDATE audit_entries SET leaf_index = leaf_index + 1000 WHERE sequence = {n}",
    "an instance": "UPDATE audit_entries SET instance = 'brokers/2' WHERE sequence = {n}",
    "a leaf unsigned": "UPDATE audit_entries SET leaf_index = NULL WHERE sequence = {n}",
}


@pytest.mark.parametrize("what", EDITS)
async def test_the_broker_does_not_start_on_an_edited_log(tmp_path: Path, what: str):
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    for number in (ENTRIES, *random.Random(5).sample(range(1, ENTRIES), 5)):
        path = copied(base, f"copy-{number}")
        edit(path, EDITS[what].format(n=number))
        await refuses(path)


async def test_the_broker_does_not_start_on_a_chain_that_begins_with_anothers_entry(
    tmp_path: Path,
):
    """Give the first entry of a chain, which hangs on none before, to an instance of one's own."""
    await written(tmp_path, 3)
    edit(
        tmp_path,
        "INSERT INTO audit_entries SELECT 'brokers/0', 1, 'x', '', entry, mac, NULL "
        "FROM audit_entries WHERE sequence = 1",
    )
    assert "brokers/0" in await refuses(tmp_path)


async def test_the_broker_does_not_start_on_an_older_copy(tmp_path: Path):
    """Keep Monday's database, do the deed on Tuesday, put Monday's back."""
    base = tmp_path / "base"
    base.mkdir()
    await written(base, 10)
    monday = (base / "broker.db").read_bytes()
    await written(base, 5)
    (base / "broker.db").write_bytes(monday)
    assert "older" in await refuses(base)


async def test_the_broker_does_not_start_on_a_copy_that_went_another_way(tmp_path: Path):
    """Let a copy of the whole broker go on elsewhere, past the original, and bring it back."""
    base = tmp_path / "base"
    base.mkdir()
    await written(base, 10)
    other = copied(base, "other")
    await written(other, 9)
    await written(base, 5)
    (base / "broker.db").write_bytes((other / "broker.db").read_bytes())
    assert "not the one whose head was signed" in await refuses(base)


async def test_the_broker_does_not_start_on_a_log_in_another_order(tmp_path: Path):
    """Exchange the places of entries of two instances: each one's chain is still whole."""
    base = tmp_path / "base"
    base.mkdir()
    await written(base, 3)
    async with temporary_store(base, instance="brokers/2") as store:
        await store.commit(unit(entries=(entry(),)))
    edit(
        base,
        "UPDATE audit_entries SET leaf_index = -1 WHERE leaf_index = 2",
        "UPDATE audit_entries SET leaf_index = 2 WHERE leaf_index = 3",
        "UPDATE audit_entries SET leaf_index = 3 WHERE leaf_index = -1",
    )
    assert "not the one whose head was signed" in await refuses(base)


async def test_the_broker_does_not_start_on_a_log_that_was_cut_short(tmp_path: Path):
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    edit(base, "DELETE FROM audit_entries WHERE sequence > 20")
    edit(base, "DELETE FROM audit_checkpoints WHERE size > 20")
    assert "older" in await refuses(base)


async def test_the_broker_does_not_start_on_an_empty_log_that_once_had_entries(tmp_path: Path):
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    edit(base, "DELETE FROM audit_entries", "DELETE FROM audit_checkpoints")
    await refuses(base)


async def test_forged_entries_at_the_end_are_never_signed(tmp_path: Path):
    """Append an approval, well linked, and let the broker sign it with the next head."""
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    database = sqlite3.connect(base / "broker.db")
    (text, mac) = database.execute(
        "SELECT entry, mac FROM audit_entries ORDER BY sequence DESC LIMIT 1",
    ).fetchone()
    forged = text.replace(b'"sequence":25', b'"sequence":26')
    guessed = following(ChainHead(sequence=25, mac=mac), forged, key=b"a guess").mac
    with database:
        database.execute(
            "INSERT INTO audit_entries (instance, sequence, id, invocation, entry, mac)"
            " VALUES ('brokers/1', 26, 'id-forged', '', ?, ?)",
            (forged, guessed),
        )
    database.close()
    assert "id-forged" in await refuses(base)


async def test_heads_and_keys_must_be_those_of_the_log(tmp_path: Path):
    """Take the outside away: lose the heads, or bring keys of one's own."""
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    headless = copied(base, "headless")
    (headless / "state" / "checkpoints" / "heads.jsonl").unlink()
    assert "no head is left" in await refuses(headless)
    rekeyed = copied(base, "rekeyed")
    for name in ("audit-mac.key", "audit-signing.key", "audit.pub"):
        (rekeyed / "state" / name).unlink()
    assert "not signed with this key" in await refuses(rekeyed)


async def test_contents_that_were_changed_in_the_database_do_not_verify(tmp_path: Path):
    """Change what was asked, where it can be erased: the log commits to it all the same."""
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    edit(base, "UPDATE audit_contents SET body = CAST('{\"n\":1000}' AS BLOB) WHERE rowid = 7")
    report = await exported(base)
    assert report.first_broken is not None
    assert report.first_broken.leaf_index == 6


async def test_erasing_contents_leaves_a_log_that_holds(tmp_path: Path):
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    edit(base, "DELETE FROM audit_contents WHERE rowid IN (3, 4)")
    report = await exported(base)
    assert report.ok
    assert report.erased == 2


async def test_heads_that_were_changed_in_the_database_do_not_verify(tmp_path: Path):
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    edit(base, "UPDATE audit_checkpoints SET note = replace(note, '\n25\n', '\n24\n')")
    assert not (await exported(base)).ok


async def test_keys_are_not_in_the_database(tmp_path: Path):
    base = tmp_path / "base"
    base.mkdir()
    await written(base)
    keys: AuditKeys = load_or_create(base / "state")
    for path in base.glob("broker.db*"):
        text = path.read_bytes()
        for key in (keys.mac_key, keys.signing_key.private_bytes_raw()):
            assert key not in text
            assert key.hex().encode() not in text
    assert keys.mac_key.hex() not in repr(keys)
