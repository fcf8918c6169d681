"""An insider with the database, or with an export on its way to the auditor, edits single entries.

The plan each time: make one thing look other than it was and leave everything else alone. The
export is checked with the public key, and the entry that was touched is named.
"""

import itertools
import random

import pytest

from tests.audit_logs import (
    check,
    entry_lines,
    entry_of,
    made_log,
    places,
    renumbered,
    with_entry,
)

LOGS = [
    made_log(60, every=7),
    made_log(60, every=7, instances=("a", "b", "c")),
    made_log(60, every=100),
]
MEMBERS = {
    "at_us": 1,
    "actor": "agents/b",
    "body": {"number": -1},
    "contents": "sha256:" + "0" * 64,
    "id": "id-x",
    "instance": "other",
    "invocation": "invocations/x",
    "kind": "call.ended",
    "previous": "0" * 64,
    "sequence": 1_000,
    "session": "sessions/x",
}


@pytest.mark.parametrize("log", LOGS, ids=["one", "three", "one-head"])
@pytest.mark.parametrize("member", MEMBERS)
def test_an_entry_with_one_member_changed_is_named(log, member):
    """Change who did it, when, what was decided, or where it stands."""
    for at in places(log.lines(), 20):
        lines = log.lines()
        read = entry_of(lines[at])
        lines[at] = with_entry(lines[at], **{member: MEMBERS[member]})
        broken = check(lines).first_broken
        assert broken is not None
        assert broken.leaf_index == read.leaf
        assert broken.entry == (MEMBERS["id"] if member == "id" else read.said["id"])


@pytest.mark.parametrize("log", LOGS, ids=["one", "three", "one-head"])
def test_an_entry_with_one_byte_flipped_is_named(log):
    """Flip a bit and hope that nobody reads that far."""
    source = random.Random(2)
    for at in places(log.lines(), 50):
        lines = log.lines()
        read = entry_of(lines[at])
        line = bytearray(lines[at])
        line[source.randrange(len(line))] ^= 1 << source.randrange(7)
        lines[at] = bytes(line)
        broken = check(lines).first_broken
        assert broken is not None
        assert broken.leaf_index == read.leaf


@pytest.mark.parametrize("log", LOGS, ids=["one", "three", "one-head"])
@pytest.mark.parametrize("tidy", [False, True], ids=["gap", "renumbered"])
def test_a_deleted_entry_leaves_a_gap_that_is_named(log, tidy):
    """Take the entry out, and count the rest anew so that no number is missing."""
    for at in places(log.lines(), 20):
        lines = log.lines()
        read = entry_of(lines.pop(at))
        broken = check(renumbered(lines) if tidy else lines).first_broken
        assert broken is not None
        following = next(
            e
            for e in map(entry_of, (lines[n] for n in entry_lines(lines)))
            if e.leaf > read.leaf and (not tidy or e.said["instance"] == read.said["instance"])
        )
        # The entry that is gone cannot be named: it is the one that stands in its place.
        if not tidy or len(log.instances) == 1:
            assert (broken.leaf_index, broken.entry) == (read.leaf, following.said["id"])
        else:
            # The next of its chain may come after a head, which then covers too few.
            assert read.leaf <= broken.leaf_index < following.leaf
            assert broken.entry in {"", following.said["id"]}


@pytest.mark.parametrize("log", LOGS, ids=["one", "three", "one-head"])
@pytest.mark.parametrize("tidy", [False, True], ids=["as-numbered", "renumbered"])
def test_swapped_entries_are_named(log, tidy):
    """Let the approval come before the request."""
    numbers = entry_lines(log.lines())
    for first, second in itertools.pairwise(numbers):
        lines = log.lines()
        one, two = entry_of(lines[first]), entry_of(lines[second])
        lines[first], lines[second] = lines[second], lines[first]
        broken = check(renumbered(lines) if tidy else lines).first_broken
        assert broken is not None
        if one.said["instance"] == two.said["instance"] or not tidy:
            assert (broken.leaf_index, broken.entry) == (one.leaf, two.said["id"])
        else:
            # Both chains are whole: only the signed order says that it was another.
            assert broken.leaf_index // log.every == one.leaf // log.every


@pytest.mark.parametrize("log", LOGS[::2], ids=["one", "one-head"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_inserted_entry_is_named(log, before):
    """Add an approval that nobody gave, linked to what comes before it, all leaves renumbered."""
    for at in places(log.lines(), 20):
        lines = log.lines()
        read = entry_of(lines[at])
        lines.insert(at if before else at + 1, with_entry(lines[at], id="id-forged", actor="lead"))
        broken = check(renumbered(lines)).first_broken
        assert broken is not None
        assert broken.entry == "id-forged"
        assert broken.leaf_index == read.leaf + (not before)


def test_contents_that_were_changed_are_named():
    """Leave the log alone and change what was asked: the amount, in the row that can be erased."""
    log = LOGS[0]
    for at in places(log.lines(), 30):
        lines = log.lines()
        read = entry_of(lines[at])
        if read.contents is None:
            continue
        number = str(read.leaf).encode()
        lines[at] = lines[at].replace(b'{"n":%b}' % number, b'{"n":9%b}' % number)
        broken = check(lines).first_broken
        assert broken is not None
        assert (broken.leaf_index, broken.entry) == (read.leaf, read.said["id"])
        assert "contents" in broken.why


def test_contents_of_another_entry_are_named():
    """Give an entry the contents and the salt of another one, both genuine."""
    log = LOGS[0]
    lines = log.lines()
    numbers = [n for n in entry_lines(lines) if entry_of(lines[n]).contents is not None]
    one, two = numbers[3], numbers[9]
    split = lines[two].split(b',"entry":')[0], lines[two].rsplit(b',"salt":', 1)[1]
    rest = lines[one].split(b',"entry":')[1].rsplit(b',"salt":', 1)[0]
    lines[one] = split[0] + b',"entry":' + rest + b',"salt":' + split[1]
    broken = check(lines).first_broken
    assert broken is not None
    assert broken.entry == entry_of(log.lines()[one]).said["id"]
