"""An insider turns time back: they put a backup in the database's place, and what it lacks is gone.

They can write every file of the broker's machine but the keys, and have a backup from before the
deed. What they want is that limits are free again, that a call runs twice, or that the log does not
tell of what they did. Only `restore` puts a backup back, and it says so to everybody, for ever.
"""

import base64
import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.core.audit_lines import checkpoint_line, epoch_line
from broker.core.audit_verification import Report, verify
from broker.core.calls import Session, Usage
from broker.core.control import ToolCache
from broker.core.control_rows import control_of
from broker.core.epochs import Epoch, read_epoch, sign_epoch
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.notes import Checkpoint, MalformedNote, origin_of, sign
from broker.core.restored import filled
from broker.core.unit import AddHold, AddInvocation, AddMandate, DropControl
from broker.store import LogRefused, SqlStore, load_or_create, schema, signature_holds
from broker.store.backing_up import BackupRefused, check, take
from broker.store.heads import epochs_of, notes_of
from broker.store.restoring import Restored, RestoreOrder, restore
from tests import store_values as v
from tests.stores import NOW, temporary_store, url_of
from tests.world import FakeClock, build, world

DAY_S = 86_400


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    path.mkdir()
    return path


async def written(path: Path, count: int) -> None:
    async with temporary_store(path) as store:
        for number in range(count):
            await store.commit(v.unit(entries=(v.entry(body={"number": number}),)))


def heads_of(path: Path) -> bytes:
    return (path / "state" / "checkpoints" / "heads.jsonl").read_bytes()


def put_back(path: Path, backup: Path, *, at: float = NOW) -> Restored:
    order = RestoreOrder(
        backup=backup, url=url_of(path), state=path / "state", actor="operator-1", reason="disk"
    )
    return restore(order, audit_keys=load_or_create(path / "state"), clock=lambda: at)


def names_in(path: Path) -> list[str]:
    return [found.name for found in path.iterdir()]


async def backed_up(path: Path, count: int) -> Path:
    """A backup of so many entries, and five more in the broker that it does not have."""
    await written(path, count)
    backup = path.parent / f"{path.name}-{count}.db"
    take(path / "broker.db", backup)
    await written(path, 5)
    return backup


async def exported(path: Path) -> list[bytes]:
    async with temporary_store(path) as store:
        lines = [chunk async for chunk in store.export(since=0.0, include_contents=True)]
    return b"".join(lines).splitlines()


async def report_of(path: Path, heads: bytes | None = None) -> Report:
    lines = await exported(path)
    return reported(path, lines, heads_of(path) if heads is None else heads)


def reported(path: Path, lines: list[bytes], outside: bytes) -> Report:
    return verify(
        lines,
        load_or_create(path / "state").public_key,
        signature_holds=signature_holds,
        checkpoints=notes_of(outside),
        epochs=epochs_of(outside),
    )


async def test_a_backup_that_is_copied_back_in_silence_is_refused(base: Path):
    backup = await backed_up(base, 10)
    shutil.copyfile(backup, base / "broker.db")
    with pytest.raises(LogRefused, match=r"older than the log.*callbroker restore"):
        async with temporary_store(base):
            pass


async def test_a_restore_is_told_to_every_verifier_for_ever(base: Path):
    """Restore openly, let the log grow past where it was, and hope that the gap is forgotten."""
    backup = await backed_up(base, 10)
    before = heads_of(base)
    done = put_back(base, backup)
    assert (done.epoch.number, done.epoch.kept.size, done.epoch.abandoned.size) == (1, 10, 15)
    await written(base, 30)
    report = await report_of(base)
    assert report.ok, report.first_broken
    assert [epoch.number for epoch in report.restores] == [1]
    assert any("Restore 1" in warning for warning in report.warnings)
    # Whoever kept only heads of before hears of it from the log itself.
    old = await report_of(base, before)
    assert old.ok
    assert old.restores == report.restores


async def test_an_abandoned_head_does_not_excuse_a_later_one(base: Path):
    """Cut the log short after a restore: heads of the new epoch are not taken for the lost ones."""
    backup = await backed_up(base, 10)
    put_back(base, backup)
    early = (base / "broker.db").read_bytes()
    await written(base, 2)
    (base / "broker.db").write_bytes(early)
    with pytest.raises(LogRefused, match="older"):
        async with temporary_store(base):
            pass


async def test_a_tail_that_is_cut_off_after_a_restore_is_noticed(base: Path):
    """Hand out an export without its end, and say that the restore explains the heads beyond it."""
    backup = await backed_up(base, 10)
    put_back(base, backup)
    short = await exported(base)
    await written(base, 2)
    report = reported(base, short, heads_of(base))
    assert report.first_broken is not None
    assert "the rest is missing" in report.first_broken.why


async def test_what_was_there_before_a_restore_is_no_way_back(base: Path):
    backup = await backed_up(base, 10)
    done = put_back(base, backup)
    assert done.replaced is not None
    shutil.copyfile(done.replaced, base / "broker.db")
    with pytest.raises(LogRefused, match="not the one whose head"):
        async with temporary_store(base):
            pass


async def test_a_second_restore_goes_on_from_the_first(base: Path):
    backup = await backed_up(base, 10)
    put_back(base, backup)
    await written(base, 4)
    done = put_back(base, backup)
    assert done.epoch.number == 2
    assert done.epoch.abandoned.epoch == 1
    await written(base, 9)
    report = await report_of(base)
    assert report.ok, report.first_broken
    assert [epoch.number for epoch in report.restores] == [2]


def forgeries(path: Path) -> Iterator[tuple[str, bytes]]:
    """What somebody without the key can write beside the heads."""
    own = Ed25519PrivateKey.generate()
    public = load_or_create(path / "state").public_key
    size = 10
    root = base64.b64decode(notes_of(heads_of(path))[0].split("\n")[2])
    head = Checkpoint(origin=origin_of(public), size=size, root=root)
    epoch = Epoch(number=1, kept=head, abandoned=head)
    yield "an epoch", epoch_line(sign_epoch(epoch, public, own.sign))
    later = Checkpoint(origin=origin_of(public), size=size, root=root, epoch=1)
    yield "a head", checkpoint_line(sign(later, public, own.sign))


async def test_an_epoch_without_the_key_is_refused(base: Path):
    """Write the note of a restore, or a head of a new epoch, with a key of one's own."""
    await backed_up(base, 10)
    keys = load_or_create(base / "state")
    for what, line in forgeries(base):
        heads = heads_of(base) + line + b"\n"
        with pytest.raises(MalformedNote):
            verify(
                [],
                keys.public_key,
                signature_holds=signature_holds,
                checkpoints=notes_of(heads),
                epochs=epochs_of(heads),
            )
        forged = base.parent / what.replace(" ", "-")
        shutil.copytree(base, forged)
        (forged / "state" / "checkpoints" / "heads.jsonl").write_bytes(heads)
        if what == "a head":
            with pytest.raises(LogRefused, match="not signed with this key"):
                async with temporary_store(forged):
                    pass


def test_a_note_of_a_restore_says_one_thing_in_one_way():
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    head = Checkpoint(origin=origin_of(public), size=3, root=bytes(32))
    note = sign_epoch(Epoch(number=1, kept=head, abandoned=head), public, key.sign)
    assert read_epoch(note, public, signature_holds).number == 1
    text = note.split("\n\n")[0] + "\n"
    for other in (
        text.replace("\n1\n", "\n01\n"),
        text.replace("\n1\n", "\n0\n"),
        text.replace(" restored", ""),
        text + "more\n",
        text.replace("0 3 ", "1 3 "),
    ):
        signed = note.replace(text, other)
        with pytest.raises(MalformedNote):
            read_epoch(signed, public, signature_holds)


async def opened_and_open(store: SqlStore) -> tuple[Session, str, str, str]:
    """A session with a call that waits and one under way, and a mandate that nobody has yet."""
    session = await v.opened(store)
    waiting = v.invocation(session, InvocationState.HELD, call=v.call("waits"))
    hold = v.hold(waiting)
    running = v.invocation(session, InvocationState.RUNNING, call=v.call("runs"))
    other = v.mandate(v.session())
    await store.commit(
        v.unit(AddInvocation(invocation=waiting), AddHold(hold=hold), AddMandate(mandate=other))
    )
    said = v.entry(body={"number": 1})
    await store.commit(v.unit(AddInvocation(invocation=running), entries=(said,)))
    return session, waiting.name, hold.name, running.name


async def test_nothing_that_the_backup_believes_open_stays_open(base: Path):
    """Have a hold of before approved again, and the same money paid twice."""
    async with temporary_store(base) as store:
        session, waiting, hold, running = await opened_and_open(store)
        await store.checkpoint_now()
        take(base / "broker.db", base.parent / "backup.db")
    done = put_back(base, base.parent / "backup.db")
    assert (done.holds_expired, done.calls_unknown) == (1, 1)
    assert (done.sessions_revoked, done.mandates_revoked) == (1, 1)
    async with temporary_store(base) as store:
        found = await store.find_hold(hold)
        assert found is not None
        assert found[0].state is HoldState.EXPIRED
        ended = await store.find_invocation(waiting)
        unknown = await store.find_invocation(running)
        over = await store.find_session(session.name)
        assert ended is not None
        assert unknown is not None
        assert over is not None
        assert (ended.state, ended.code) == (InvocationState.EXPIRED, "RESTORED")
        assert (unknown.state, unknown.code) == (InvocationState.UNKNOWN, "RESTORED")
        assert over.state == "REVOKED"
        told = [entry["kind"] for entry in await store.entries(running)]
        assert told == ["call.ended"]
        control, _ = control_of(await store.control(), ToolCache())
    assert [freeze.kind for freeze in control.freezes] == ["all"]


async def test_limits_are_full_until_their_windows_have_gone_by(base: Path):
    """Spend the day's limit, put the morning's backup back, and spend it again."""
    backup = await backed_up(base, 3)
    put_back(base, backup, at=NOW + 60)
    async with temporary_store(base) as store:
        control, _ = control_of(await store.control(), ToolCache())
    day = {"day": Usage(used=0, limit=500, window_s=DAY_S, key="k", version=0)}

    def used(at: float) -> int:
        return filled(day, control.restored, now=at)["day"].used

    assert [used(NOW + 61), used(NOW + 60 + DAY_S - 1)] == [500, 500]
    assert used(NOW) == 500, "a clock that goes back frees nothing"
    assert used(NOW + 60 + DAY_S) == 0


async def test_a_limit_that_was_spent_stays_spent_over_a_restore(base: Path):
    """Spend the limit after the backup was taken, have that put back, and spend it once more."""
    clock = FakeClock()
    async with world(base, clock=clock) as w:
        await w.put_tool(limits={"refunds": {"per": "principal", "window_s": DAY_S, "calls": 3}})
        caller = await w.caller()
        await w.refund(caller, 1, order_id="O-1001")
        await w.store.checkpoint_now()
        take(base / "broker.db", base.parent / "backup.db")
        for order in ("O-1001", "O-1002"):
            assert (await w.refund(caller, 1, order_id=order)).state is InvocationState.SUCCEEDED
    put_back(base, base.parent / "backup.db", at=clock())
    async with temporary_store(base, clock=clock) as store:
        w = await build(store, clock, owner="brokers/2")
        frozen = await w.refund(await w.caller(), 1)
        assert (frozen.state, frozen.code) == (InvocationState.DENIED, "FROZEN")
        (freeze,) = w.room.current().freezes
        await w.put(DropControl(kind="freeze", key=freeze.name))
        full = await w.refund(await w.caller(), 1)
        assert (full.state, full.code) == (InvocationState.DENIED, "LIMIT_EXCEEDED")
        clock.advance(DAY_S + 1)
        assert (await w.refund(await w.caller(), 1)).state is InvocationState.SUCCEEDED
        await w.own.drain(within_s=5.0)


async def test_a_backup_of_another_log_is_refused_and_nothing_is_touched(base: Path):
    await backed_up(base, 10)
    other = base.parent / "other"
    other.mkdir()
    strange = await backed_up(other, 10)
    before = (base / "broker.db").read_bytes(), heads_of(base)
    with pytest.raises(LogRefused):
        put_back(base, strange)
    assert ((base / "broker.db").read_bytes(), heads_of(base)) == before
    assert not [name for name in names_in(base) if ".restoring" in name]


async def test_a_backup_of_a_twin_that_went_another_way_is_refused(base: Path):
    """Let a copy of the whole broker, keys and all, write another history, and restore that."""
    await written(base, 10)
    twin = base.parent / "twin"
    shutil.copytree(base, twin)
    await written(twin, 4)
    take(twin / "broker.db", base.parent / "twin.db")
    async with temporary_store(base) as store:
        for number in range(4):
            await store.commit(v.unit(entries=(v.entry(body={"another": number}),)))
    with pytest.raises(LogRefused, match="not of this log"):
        put_back(base, base.parent / "twin.db")


async def test_a_backup_that_was_edited_is_refused(base: Path):
    """Edit the backup where nobody looks, and have it restored."""
    backup = await backed_up(base, 10)
    whole = backup.read_bytes()
    assert whole.count(b'"number":7') == 1
    backup.write_bytes(whole.replace(b'"number":7', b'"number":8'))
    with pytest.raises(LogRefused):
        put_back(base, backup)
    report = check(backup, load_or_create(base / "state").public_key, checkpoints=[], epochs=[])
    assert not report.ok
    for damaged in (b"", b"no database", whole[: len(whole) // 2]):
        backup.write_bytes(damaged)
        with pytest.raises((BackupRefused, LogRefused)):
            put_back(base, backup)


async def test_what_is_no_backup_of_a_broker_is_refused(base: Path):
    """Have an operator restore another program's database, or a broker's that never signed."""
    await written(base, 10)
    before = (base / "broker.db").read_bytes()
    strange, unsigned = base.parent / "strange.db", base.parent / "unsigned.db"
    with contextlib.closing(sqlite3.connect(strange)) as another:
        another.execute("CREATE TABLE sessions (name TEXT)")
    schema.upgrade(f"sqlite:///{unsigned}")
    for backup, said in ((strange, "not a backup of a broker"), (unsigned, "no signed head")):
        with pytest.raises((BackupRefused, LogRefused), match=said):
            put_back(base, backup)
    assert (base / "broker.db").read_bytes() == before


async def test_a_restore_that_is_killed_is_refused_or_done_and_can_be_had_again(base: Path):
    """Cut the power between the copy's taking the place and the heads' hearing of it."""
    backup = await backed_up(base, 10)
    unheard = heads_of(base)
    put_back(base, backup)
    (base / "state" / "checkpoints" / "heads.jsonl").write_bytes(unheard)
    with pytest.raises(LogRefused, match="older"):
        async with temporary_store(base):
            pass
    put_back(base, backup)
    await written(base, 3)
    assert (await report_of(base)).ok
    assert [name for name in names_in(base) if ".replaced-" in name]


async def test_a_restore_that_is_killed_late_is_refused_though_the_log_has_grown(base: Path):
    """The same, with a copy that has become as long as what it replaced."""
    await written(base, 10)
    take(base / "broker.db", base.parent / "backup.db")
    unheard = heads_of(base)
    put_back(base, base.parent / "backup.db")
    (base / "state" / "checkpoints" / "heads.jsonl").write_bytes(unheard)
    with pytest.raises(LogRefused, match="restoring it did not end"):
        async with temporary_store(base):
            pass
