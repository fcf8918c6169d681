"""The first signed head is outside before anything is signed in the database."""

from pathlib import Path

from broker.core.audit import EntryDraft, EntryKind
from broker.core.unit import Unit
from broker.store.heads import Heads, notes_of
from tests.stores import NOW, temporary_store


async def test_a_crash_before_the_very_first_head_is_outside_does_not_keep_it_from_starting(
    tmp_path: Path,
):
    """Found by killing brokers at random: the log looked as if its heads had been taken away."""
    entry = EntryDraft(kind=EntryKind.BROKER_STARTED, at=NOW, actor="broker")
    async with temporary_store(tmp_path) as store:
        await store.commit(Unit(changes=(), entries=(entry,)))
    heads = Heads(tmp_path / "state" / "checkpoints")
    assert sizes(heads) == [0, 1]
    heads.path.write_bytes(heads.path.read_bytes().splitlines(keepends=True)[0])
    async with temporary_store(tmp_path):
        assert sizes(heads) == [0, 1]


def sizes(heads: Heads) -> list[int]:
    return [int(note.split("\n")[1]) for note in notes_of(heads.path.read_bytes())]
