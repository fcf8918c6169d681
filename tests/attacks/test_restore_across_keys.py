"""An insider uses that a backup is of before the log's keys were rotated.

They have the keys of before: that is why those were rotated. They hope that, with the backup, these
are worth something again, or that nobody can tell afterwards whose signature counts where.
"""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.config import Settings
from broker.core.audit import EntryKind
from broker.core.audit_lines import EntryLine, read_line
from broker.core.audit_verification import Report, verify
from broker.core.canonical import canonical_bytes
from broker.core.epochs import Epoch, sign_epoch
from broker.core.key_line import rotations_in
from broker.core.notes import MalformedNote, origin_of, parse_verifier_key, read, sign
from broker.rotating import rotate_audit_keys
from broker.store import Cadence, LogRefused, load_or_create, signature_holds
from broker.store.backing_up import check, take
from broker.store.heads import epochs_of, notes_of, rotations_of
from broker.store.keys import (
    MAC_FILE,
    PUBLIC_FILE,
    SIGNING_FILE,
    load,
    rotation_notes,
)
from broker.store.restoring import Restored, RestoreOrder, restore
from tests import store_values as v
from tests.stores import NOW, temporary_store, url_of

SELDOM = Cadence(entries_max=10_000, interval_s=3_600.0)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    path.mkdir()
    return path


def write(path: Path, count: int = 3, *, at: float = NOW) -> None:
    async def written() -> None:
        async with temporary_store(path, clock=lambda: at) as store:
            for number in range(count):
                await store.commit(v.unit(entries=(v.entry(body={"number": number}),)))

    asyncio.run(written())


def rotate(path: Path) -> None:
    settings = Settings(database=url_of(path), state=path / "state")
    rotate_audit_keys(settings, reason="Yearly.", clock=lambda: NOW)


def backed_up(path: Path, name: str = "backup.db") -> Path:
    made = path.parent / name
    take(path / "broker.db", made)
    return made


def put_back(path: Path, backup: Path) -> Restored:
    order = RestoreOrder(
        backup=backup, url=url_of(path), state=path / "state", actor="operator", reason="disk"
    )
    return restore(order, audit_keys=load_or_create(path / "state"), clock=lambda: NOW)


def pinned(path: Path) -> bytes:
    return parse_verifier_key((path / "state" / PUBLIC_FILE).read_text())


def heads_of(path: Path) -> bytes:
    return (path / "state" / "checkpoints" / "heads.jsonl").read_bytes()


def exported(path: Path, since: float = 0.0) -> list[bytes]:
    async def taken() -> bytes:
        async with temporary_store(path) as store:
            return b"".join(
                [part async for part in store.export(since=since, include_contents=True)]
            )

    return asyncio.run(taken()).splitlines()


def report(lines: list[bytes], key: bytes, heads: bytes = b"") -> Report:
    return verify(
        lines,
        key,
        signature_holds=signature_holds,
        checkpoints=notes_of(heads),
        epochs=epochs_of(heads),
        rotations=[*rotations_in(lines), *rotations_of(heads)],
    )


def require_good(path: Path, *keys: bytes, restores: list[int]) -> None:
    """The whole log verifies offline from any of the keys, with the heads outside or without."""
    lines = exported(path)
    for key in keys:
        for heads in (b"", heads_of(path)):
            found = report(lines, key, heads)
            assert found.ok, found.first_broken
            assert [epoch.number for epoch in found.restores] == restores


def test_a_backup_of_before_a_rotation_is_gone_on_with_by_the_new_keys(base: Path):
    """No attack: from whichever key an auditor has, the log verifies across all of it."""
    write(base)
    first, backup = pinned(base), backed_up(base)
    write(base, 2)
    rotate(base)
    write(base, 4)
    done = put_back(base, backup)
    assert (done.epoch.kept.size, done.epoch.abandoned.size) == (3, 10)
    write(base, 2)
    require_good(base, first, pinned(base), restores=[1])
    assert verify(exported(base), first, signature_holds=signature_holds).ok


def test_a_backup_is_checked_with_the_new_key_alone(base: Path):
    """No attack: `backup verify` has the notes of the state directory."""
    write(base)
    first, backup = pinned(base), backed_up(base)
    rotate(base)
    rotate(base)
    notes = rotation_notes(base / "state")
    for key in (first, pinned(base)):
        found = check(backup, key, rotations=notes)
        assert (found.ok, found.entries) == (True, 3), found.first_broken
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    assert not check(backup, stranger, rotations=notes).ok


def test_what_the_backup_has_not_signed_yet_is_kept_by_the_keys_of_then(base: Path):
    """Have what no head of the backup covers taken for forged, and the backup for worthless."""

    async def unsigned() -> Path:
        async with temporary_store(base, cadence=SELDOM) as store:
            for number in range(5):
                await store.commit(v.unit(entries=(v.entry(body={"number": number}),)))
            return backed_up(base)

    write(base)
    first = pinned(base)
    backup = asyncio.run(unsigned())
    rotate(base)
    write(base, 1)
    assert put_back(base, backup).epoch.kept.size == 3
    write(base, 2)
    require_good(base, first, pinned(base), restores=[1])
    kinds = [line.said["kind"] for line in told(exported(base))]
    assert kinds[8] == EntryKind.LOG_RESTORED


def told(lines: list[bytes]) -> list[EntryLine]:
    return [line for line in map(read_line, lines) if isinstance(line, EntryLine)]


def test_restores_and_rotations_in_any_order_stay_one_log(base: Path):
    """Rotate and restore to and fro, until nobody can say which key signed what."""
    write(base)
    keys, early = [pinned(base)], backed_up(base, "early.db")
    write(base, 2)
    rotate(base)
    keys.append(pinned(base))
    write(base, 5)
    late = backed_up(base, "late.db")
    put_back(base, early)  # before the first rotation
    write(base, 4)
    rotate(base)
    keys.append(pinned(base))
    write(base, 1)
    require_good(base, *keys, restores=[1])
    put_back(base, late)  # of after the first rotation; knows nothing of the first restore
    write(base, 2)
    require_good(base, *keys, restores=[2])
    rotate(base)
    keys.append(pinned(base))
    rotate(base)
    keys.append(pinned(base))
    put_back(base, early)  # of before all four
    write(base, 3)
    require_good(base, *keys, restores=[3])
    again = backed_up(base, "again.db")
    write(base, 1)
    put_back(base, again)
    write(base, 1)
    require_good(base, *keys, restores=[3, 4])
    late_start = exported(base, since=NOW + 1)
    assert all(report(late_start, key, heads_of(base)).ok for key in keys)


def test_an_export_that_starts_after_such_a_restore_needs_no_note_of_it(base: Path):
    """No attack: what was told before the export begins is not missing in it."""
    write(base)
    first, backup = pinned(base), backed_up(base)
    write(base, 9)
    rotate(base)
    put_back(base, backup)
    write(base, 20, at=NOW + 100)
    lines, notes = exported(base, since=NOW + 50), rotations_of(heads_of(base))
    assert 3 < len(told(lines)) < 23
    for key in (first, pinned(base)):
        found = verify(lines, key, signature_holds=signature_holds, rotations=notes)
        assert found.ok, found.first_broken


def crossed(path: Path) -> tuple[bytes, str, str]:
    """A log restored from before a rotation; the first public key, and both secret ones of then."""
    write(path)
    first, backup = pinned(path), backed_up(path)
    signing = (path / "state" / SIGNING_FILE).read_text()
    mac = (path / "state" / MAC_FILE).read_text()
    write(path, 2)
    rotate(path)
    write(path, 1)
    put_back(path, backup)
    write(path, 2)
    return first, signing, mac


def test_the_old_key_of_the_keyed_hashes_links_nothing_after_the_restore(base: Path):
    """I kept the key that links what was put back, and go on from there in the database with it."""
    _, _, mac = crossed(base)
    current = base / "state" / MAC_FILE
    kept = current.read_text()
    current.write_text(mac)
    with pytest.raises(LogRefused, match="not written by a broker with this key"):
        write(base, 1)
    current.write_text(kept)
    write(base, 1)


def test_a_broker_with_the_keys_of_before_does_not_go_on_from_the_restore(base: Path):
    """I keep the old state directory, for which the backup was made, and start a broker with it."""
    write(base)
    backup = backed_up(base)
    shutil.copytree(base / "state", base.parent / "old")
    write(base, 2)
    rotate(base)
    put_back(base, backup)
    shutil.rmtree(base / "state")
    shutil.copytree(base.parent / "old", base / "state")
    with pytest.raises(LogRefused, match="keys were rotated"):
        write(base, 1)


def test_a_log_without_its_rotation_is_refused_even_where_the_heads_were_cut_too(base: Path):
    """I put the backup back and cut the heads' file, and go on with the keyed hashes' old key."""
    write(base)
    backup, heads = backed_up(base), heads_of(base)
    rotate(base)
    shutil.copyfile(backup, base / "broker.db")
    (base / "state" / "checkpoints" / "heads.jsonl").write_bytes(heads)
    with pytest.raises(LogRefused, match="nothing of the last rotation"):
        write(base, 1)


def edited(lines: list[bytes], change: Callable[[dict[str, Any]], None]) -> list[bytes]:
    """The export with the body of the restore's entry changed."""
    made = []
    for line in lines:
        if b'"kind":"log.restored"' in line:
            said = json.loads(line)
            change(said["entry"]["body"])
            line = canonical_bytes(said)  # noqa: PLW2901
        made.append(line)
    return made


def test_a_restore_that_does_not_tell_of_the_rotation_again_is_told(base: Path):
    """I take the note out of the entry, so that the new key comes from nowhere."""
    first, _, _ = crossed(base)
    lines = edited(exported(base), lambda body: body.pop("rotations"))
    for key in (first, pinned(base)):
        assert not report(lines, key, heads_of(base)).ok
        assert not report(lines, key).ok


def test_a_rotation_that_no_restore_gave_up_is_not_told_again(base: Path):
    """I have the broker's own restore tell of a rotation that is in the log, to hide that one."""
    write(base)
    first = pinned(base)
    rotate(base)
    backup = backed_up(base)
    write(base, 2)
    put_back(base, backup)
    lines = exported(base)
    assert report(lines, first).ok
    note = rotations_in(lines)[0]
    lines = edited(lines, lambda body: body.update(rotations=[note]))
    found = report(lines, first)
    assert found.first_broken is not None
    assert "does not give up" in found.first_broken.why


def test_a_head_by_the_old_key_is_worth_nothing_after_the_restore(base: Path):
    """I sign a head of the new epoch with the key that the backup was signed with."""
    first, signing, _ = crossed(base)
    stolen = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(signing))
    line = load(base / "state").line
    newest = line.read(notes_of(heads_of(base))[-1])
    for epoch in (1, 2):
        mine = replace(newest, origin=origin_of(first), epoch=epoch, size=newest.size + 1)
        note = sign(mine, first, stolen.sign)
        assert read(note, first, signature_holds) == mine
        with pytest.raises(MalformedNote, match="in force"):
            line.read(note)
    gone = Epoch(number=2, kept=newest, abandoned=newest)
    with pytest.raises(MalformedNote, match="in force"):
        line.read_epoch(sign_epoch(gone, first, stolen.sign))
