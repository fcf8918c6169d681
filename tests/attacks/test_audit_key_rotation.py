"""An insider uses that keys are rotated: they bring one of their own in, or go on with an old one.

They can write the database and the files of heads, and have, later, a signing key that was rotated
away. What they want is a log of their own making that verifies from the key that auditors have.
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.config import Settings
from broker.core.audit import EntryKind
from broker.core.audit_lines import (
    EntryLine,
    HeaderLine,
    checkpoint_line,
    header_line,
    read_line,
)
from broker.core.audit_verification import Report, verify
from broker.core.epochs import Epoch, sign_epoch
from broker.core.errors import StoreUnavailable
from broker.core.key_line import (
    Rotation,
    line_of,
    read_rotation,
    rotations_in,
    sign_rotation,
)
from broker.core.merkle import Frontier, leaf_hash
from broker.core.notes import (
    Checkpoint,
    MalformedNote,
    origin_of,
    parse_verifier_key,
    read,
    sign,
    verifier_key,
)
from broker.rotating import RotationRefused, rotate_audit_keys
from broker.store import KeysRefused, LogRefused, SqlStore, signature_holds
from broker.store.backing_up import take
from broker.store.heads import Heads, epochs_of, notes_of, rotations_of
from broker.store.key_rotation import move_in, prepare
from broker.store.keys import (
    FORMER,
    MAC_FILE,
    NEXT,
    PUBLIC_FILE,
    SIGNING_FILE,
    Successor,
    load,
)
from broker.store.restoring import RestoreOrder, restore
from tests import store_values as v
from tests.stores import NOW, temporary_store, url_of

STRANGER = Ed25519PrivateKey.generate()


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def write(path: Path, count: int = 3) -> None:
    async def written() -> None:
        async with temporary_store(path) as store:
            for number in range(count):
                await store.commit(v.unit(entries=(v.entry(body={"number": number}),)))

    asyncio.run(written())


def rotate(path: Path) -> None:
    settings = Settings(database=url_of(path), state=path / "state")
    rotate_audit_keys(settings, reason="Yearly.", clock=lambda: NOW)


def pinned(path: Path) -> bytes:
    return parse_verifier_key((path / "state" / PUBLIC_FILE).read_text())


def exported(path: Path, since: float = 0.0) -> list[bytes]:
    async def taken() -> bytes:
        async with temporary_store(path) as store:
            return b"".join(
                [part async for part in store.export(since=since, include_contents=True)]
            )

    return asyncio.run(taken()).splitlines()


def heads_of(path: Path) -> bytes:
    return (path / "state" / "checkpoints" / "heads.jsonl").read_bytes()


def report(lines: list[bytes], key: bytes, *, heads: bytes = b"", epochs=()) -> Report:
    return verify(
        lines,
        key,
        signature_holds=signature_holds,
        checkpoints=notes_of(heads),
        epochs=epochs,
        rotations=[*rotations_in(lines), *rotations_of(heads)],
    )


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    path.mkdir()
    return path


@pytest.fixture
def rotated(base: Path) -> tuple[Path, list[bytes], Ed25519PrivateKey]:
    """A log whose keys were rotated twice; the keys that auditors had; the first, stolen later."""
    write(base)
    first = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex((base / "state" / SIGNING_FILE).read_text())
    )
    keys = [pinned(base)]
    for _ in range(2):
        rotate(base)
        keys.append(pinned(base))
        write(base)
    return base, keys, first


def test_from_any_of_the_keys_the_whole_log_verifies(rotated):
    """No attack: whoever pinned any one of the keys goes on checking."""
    path, keys, _ = rotated
    assert len(set(keys)) == 3
    lines, heads = exported(path), heads_of(path)
    for key in keys:
        found = report(lines, key, heads=heads)
        assert (found.ok, found.entries, found.signed) == (True, 11, 11), found
    assert not report(lines, public(STRANGER), heads=b"").ok
    told = [line for line in map(read_line, lines) if isinstance(line, EntryLine)]
    kinds = [line.said["kind"] for line in told]
    assert [leaf for leaf, kind in enumerate(kinds) if kind == EntryKind.AUDIT_KEYS_ROTATED] == [
        3,
        7,
    ]


def test_the_first_key_needs_nothing_but_the_export_read_once(rotated):
    """No attack: the line is followed forward as it is read."""
    path, keys, _ = rotated
    assert verify(exported(path), keys[0], signature_holds=signature_holds).ok


def test_an_export_that_starts_late_is_held_by_the_notes_from_outside(rotated):
    """No attack: what came before the export is not in it, and the heads' file has the notes."""
    path, keys, _ = rotated
    lines = exported(path, since=NOW + 1)
    for key in keys:
        assert report(lines, key, heads=heads_of(path)).ok


def test_the_old_signing_key_is_gone_and_the_old_macs_key_cannot_be_written(rotated):
    """I look for the old key in the state directory, to sign with it what was never said."""
    path, _, first = rotated
    state = path / "state"
    secret = first.private_bytes_raw().hex()
    assert all(secret not in f.read_text() for f in state.rglob("*") if f.is_file())
    for number in ("0001", "0002"):
        assert (state / FORMER / f"{number}.mac").stat().st_mode & 0o777 == 0o400
    assert not (state / NEXT).exists()


def test_a_rotation_that_the_old_key_has_not_signed_leads_nowhere(rotated):
    """I name a key of mine as the next one, and sign that with it."""
    _, keys, _ = rotated
    rotation = Rotation(old=keys[-1], new=public(STRANGER), size=11)
    forged = sign_rotation(rotation, by_old=STRANGER.sign, by_new=STRANGER.sign)
    with pytest.raises(MalformedNote, match="not signed by this key"):
        read_rotation(forged, signature_holds)
    with pytest.raises(MalformedNote):
        line_of(keys[0], [forged], signature_holds)


def test_a_forged_entry_of_a_rotation_does_not_verify(rotated):
    """I put the entry into an export of mine, and sign what follows with my key."""
    path, keys, _ = rotated
    lines = exported(path)
    rotation = Rotation(old=public(STRANGER), new=public(STRANGER), size=3)
    forged = json.loads(lines[5])
    forged["entry"]["body"]["note"] = sign_rotation(
        rotation, by_old=STRANGER.sign, by_new=STRANGER.sign
    )
    for place, line in enumerate(lines):
        if b"audit.keys_rotated" in line:
            said = json.loads(line)
            said["entry"]["body"]["note"] = forged["entry"]["body"]["note"]
            edited = [*lines]
            edited[place] = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
            found = verify(edited, keys[0], signature_holds=signature_holds)
            assert not found.ok


def test_a_rotation_without_the_new_key_names_nobodys_key(base):
    """I stole the old key while it was in force, and name an auditor's own key as the next."""
    write(base)
    old = Ed25519PrivateKey.generate()
    rotation = Rotation(old=public(old), new=public(STRANGER), size=3)
    with pytest.raises(MalformedNote):
        read_rotation(sign_rotation(rotation, by_old=old.sign, by_new=old.sign), signature_holds)


def test_two_successors_of_one_key_are_told_and_not_chosen_from(rotated):
    """With the stolen first key I name a successor of my own, as if it had been the true one."""
    path, keys, first = rotated
    mine = sign_rotation(
        Rotation(old=keys[0], new=public(STRANGER), size=2),
        by_old=first.sign,
        by_new=STRANGER.sign,
    )
    lines = exported(path)
    with pytest.raises(MalformedNote, match="contradict"):
        line_of(keys[0], [mine, *rotations_in(lines)], signature_holds)
    assert report(lines, keys[1], heads=heads_of(path)).ok


@pytest.mark.parametrize("number", [0, 1])
def test_a_head_by_a_key_that_was_rotated_away_is_worth_nothing(rotated, number):
    """I sign a longer log with the stolen key, and hand its head in as the newest one."""
    path, keys, first = rotated
    line = line_of(keys[number], rotations_in(exported(path)), signature_holds)
    for size in (4, 5, 11, 50):
        head = Checkpoint(origin=origin_of(keys[0]), size=size, root=bytes(32))
        note = sign(head, keys[0], first.sign)
        assert read(note, keys[0], signature_holds) == head
        with pytest.raises(MalformedNote, match="in force"):
            line.read(note)


def test_a_restore_by_a_key_that_was_rotated_away_gives_nothing_up(rotated):
    """I have the stolen key tell of a restore, to give up the heads over what I cut off an export.

    It starts late, so that no entry in it need tell of that.
    """
    path, keys, first = rotated
    lines, heads = exported(path), heads_of(path)
    entries = [line for line in lines if isinstance(read_line(line), EntryLine)]
    before = Frontier()
    for text in entries[:4]:
        before.add(leaf_hash(read_line(text).entry))
    header = HeaderLine(key=verifier_key(keys[-1]), before=before, contents=True)
    cut = [header_line(header), *entries[4:7]]
    line = line_of(keys[0], rotations_of(heads), signature_holds)
    _, kept, *_, newest = map(line.read, notes_of(heads))
    note = sign_epoch(Epoch(number=1, kept=kept, abandoned=newest), keys[0], first.sign)
    for key in keys:
        assert not report(cut, key, heads=heads).ok
        with pytest.raises(MalformedNote, match="in force"):
            report(cut, key, heads=heads, epochs=[note])


def test_a_broker_does_not_start_on_a_head_by_the_old_key(rotated):
    """I put a head by the stolen key outside, over a database that I have made to fit."""
    path, keys, first = rotated
    head = Checkpoint(origin=origin_of(keys[0]), size=12, root=bytes(32))
    with (path / "state" / "checkpoints" / "heads.jsonl").open("ab") as file:
        file.write(checkpoint_line(sign(head, keys[0], first.sign)) + b"\n")
    with pytest.raises(LogRefused, match="not signed with this key"):
        write(path, 1)


def test_a_broker_with_the_keys_of_before_does_not_start(base):
    """I keep the old state directory and start a broker with it after the rotation."""
    write(base)
    old = base.parent / "old"
    shutil.copytree(base / "state", old)
    rotate(base)
    shutil.rmtree(base / "state")
    shutil.copytree(old, base / "state")
    with pytest.raises(LogRefused, match="rotated"):
        write(base, 1)


def test_entries_linked_with_the_old_key_after_the_rotation_are_refused(rotated):
    """I kept the old key of the keyed hashes and continue the log with it in the database."""
    path, _, _ = rotated
    former = path / "state" / FORMER
    current = path / "state" / MAC_FILE
    kept = current.read_text()
    current.chmod(0o600)
    current.write_text((former / "0002.mac").read_text())
    with pytest.raises(LogRefused, match="not written by a broker with this key"):
        write(path, 1)
    current.write_text(kept)
    write(path, 1)


POINTS = ("prepared", "told", "outside", "half kept", "kept", "mac", "signing")


@pytest.mark.parametrize("point", POINTS)
def test_a_rotation_that_crashed_is_ended_by_the_same_command(base, point):
    """I pull the plug in the middle of it, and hope for a log that nobody can go on with."""
    write(base)
    key = pinned(base)
    crash(base, point)
    with pytest.raises(KeysRefused, match="rotate-keys"):
        write(base, 1)
    rotate(base)
    write(base, 2)
    lines = exported(base)
    assert report(lines, key, heads=heads_of(base)).ok
    assert report(lines, pinned(base), heads=heads_of(base)).ok
    assert len(rotations_in(lines)) == 1
    assert not (base / "state" / NEXT).exists()


def crash(path: Path, point: str) -> None:
    """Leave what a rotation that ended at this step leaves."""
    state, before = path / "state", path.parent / "before"
    successor = prepare(state, load(state), size=3)
    if point == "prepared":
        return
    shutil.copytree(state, before)
    asyncio.run(told(path, successor))
    if point == "told":
        shutil.copyfile(
            before / "checkpoints" / "heads.jsonl", state / "checkpoints" / "heads.jsonl"
        )
    if point in {"told", "outside"}:
        return
    Heads(state / "checkpoints").add_rotation(successor.note)
    move_in(state)
    shutil.copytree(before / NEXT, state / NEXT)
    shutil.copyfile(before / PUBLIC_FILE, state / PUBLIC_FILE)
    if point == "half kept":
        (state / FORMER / "0001.note").unlink()
    moved = {"mac": ("mac",), "signing": ("mac", "signing")}.get(point, ())
    for name, file in (("mac", MAC_FILE), ("signing", SIGNING_FILE)):
        if name in moved:
            (state / NEXT / name).unlink()
        else:
            shutil.copy2(before / file, state / file)


async def told(path: Path, successor: Successor) -> None:
    store = await SqlStore.open(
        url_of(path),
        state=path / "state",
        instance="brokers/2",
        audit_keys=load(path / "state", successor=successor),
        clock=lambda: NOW,
    )
    try:
        entry = v.entry(kind=EntryKind.AUDIT_KEYS_ROTATED, body={"note": successor.note})
        await store.commit_signed(v.unit(entries=(entry,)))
    finally:
        await store.close()


def test_nothing_else_is_written_while_the_keys_are_rotated(base):
    """I have another broker write in between, so that the old key would have signed too little."""
    write(base)
    successor = prepare(base / "state", load(base / "state"), size=2)
    with pytest.raises(StoreUnavailable):
        asyncio.run(told(base, successor))
    with pytest.raises(RotationRefused, match="meanwhile"):
        rotate(base)
    write(base, 1)
    assert report(exported(base), pinned(base), heads=heads_of(base)).ok


def test_a_log_that_was_restored_and_rotated_verifies_from_either_key(base):
    """I use that keys were rotated after a restore, so that one of the two cannot be checked."""
    write(base)
    backup = base.parent / "backup.db"
    take(base / "broker.db", backup)
    write(base, 2)
    order = RestoreOrder(
        backup=backup, url=url_of(base), state=base / "state", actor="operator", reason="disk"
    )
    restore(order, audit_keys=load(base / "state"), clock=lambda: NOW)
    key, heads = pinned(base), heads_of(base)
    rotate(base)
    write(base, 1)
    lines = exported(base)
    for trusted in (key, pinned(base)):
        for outside in (heads, heads_of(base)):
            found = verify(
                lines,
                trusted,
                signature_holds=signature_holds,
                checkpoints=notes_of(outside),
                epochs=epochs_of(outside),
                rotations=rotations_in(lines),
            )
            assert found.ok, found.first_broken
            assert len(found.restores) == 1
