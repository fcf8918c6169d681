"""A source comes into force whole, in place of what it said before, and is in the log."""

import json

import pytest

from broker.administration.directory import require_room, selected
from broker.core.directory import Directory, Source
from broker.core.errors import LimitExceeded, MalformedRequest, NotFound
from tests.unit.administration.office import OPERATOR


def people(*names: str, source: str = "CRM"):
    return {"source": source, "entries": [{"kind": "person", "value": name} for name in names]}


def known(directory: Directory) -> set[str]:
    return {entry.value for entry in selected(directory)}


async def test_a_source_replaces_what_it_said_and_leaves_the_others(office):
    await office.admin.directory.put(OPERATOR, people("Ada", "Ben"))
    await office.admin.directory.put(OPERATOR, people("Cy", source="HR"))
    put = await office.admin.directory.put(OPERATOR, people("Ben", "Dee", "Eve"), reason="new")
    assert (put.source.count, put.added, put.removed) == (3, 2, 1)
    assert known(office.room.current().directory) == {"Ben", "Cy", "Dee", "Eve"}
    (*_, entry) = [e for e in await office.said() if e.get("kind") == "directory.put"]
    assert entry["actor"] == OPERATOR.subject
    assert {k: entry["body"][k] for k in ("source", "entries", "added", "removed", "reason")} == {
        "source": "CRM",
        "entries": 3,
        "added": 2,
        "removed": 1,
        "reason": "new",
    }
    assert "Dee" not in json.dumps(entry)
    assert b"Dee" in await office.store.document(entry["body"]["digest"])
    assert b"Ada" in await office.store.document(entry["body"]["before"])


async def test_the_same_again_is_as_new_as_it_was_looked_at(office):
    first = await office.admin.directory.put(OPERATOR, people("Ada"))
    office.clock.now += 60
    again = await office.admin.directory.put(OPERATOR, people("Ada"))
    assert (again.added, again.removed) == (0, 0)
    assert again.source.digest == first.source.digest
    (source,) = (await office.admin.overview.status()).directory
    assert source.put_at == office.clock.now


async def test_one_wrong_entry_takes_none(office):
    await office.admin.directory.put(OPERATOR, people("Ada"))
    with pytest.raises(MalformedRequest, match="/entries/1/value: is empty"):
        await office.admin.directory.put(OPERATOR, people("Ben", ""))
    assert known(office.room.current().directory) == {"Ada"}


async def test_checking_alone_changes_nothing(office):
    put = await office.admin.directory.put(OPERATOR, people("Ada"), validate_only=True)
    assert (put.source.count, put.added) == (1, 1)
    assert office.room.current().directory.sources == ()
    assert "directory.put" not in await office.kinds()


def source(name: str, **changes) -> Source:
    given = {"digest": "", "count": 1, "size": 1, "put_at": 0.0, "put_by": "op", **changes}
    return Source(name=name, **given)


@pytest.mark.parametrize(
    ("others", "more"),
    [
        ([source("HR", count=99_999)], source("CRM", count=2)),
        ([source("HR", size=4 * 1024 * 1024)], source("CRM", size=1)),
        ([source(f"s{n}") for n in range(100)], source("CRM")),
    ],
)
def test_all_sources_together_have_a_bound(others, more):
    with pytest.raises(LimitExceeded, match="it has room for"):
        require_room(Directory(sources=tuple(others)), more)


def test_what_a_source_said_before_takes_no_room():
    full = source("CRM", count=100_000, size=4 * 1024 * 1024)
    require_room(Directory(sources=(full,)), full)


async def test_a_source_that_is_removed_is_out_and_needs_a_reason_and_to_be_there(office):
    await office.admin.directory.put(OPERATOR, people("Ada"))
    with pytest.raises(MalformedRequest):
        await office.admin.directory.delete(OPERATOR, "CRM", reason="")
    await office.admin.directory.delete(OPERATOR, "CRM", reason="retired")
    with pytest.raises(NotFound):
        await office.admin.directory.delete(OPERATOR, "CRM", reason="again")
    assert office.room.current().directory.sources == ()
    assert (await office.kinds()).count("directory.deleted") == 1
