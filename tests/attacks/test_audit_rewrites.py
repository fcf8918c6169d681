"""An insider rewrites the log consistently, cuts it off, or puts an old copy back.

What they lack is the signing key, and the heads that lie outside of the database.
"""

import pytest

from broker.core.audit_lines import (
    CheckpointLine,
    HeaderLine,
    checkpoint_line,
    entry_line,
    header_line,
    read_line,
)
from broker.core.merkle import Frontier
from broker.core.notes import MalformedNote, parse_verifier_key, verifier_key
from tests.audit_logs import (
    OTHER,
    MadeLog,
    check,
    entry_lines,
    entry_of,
    made_log,
    places,
    relinked,
    with_entry,
)


def last_head_before(log: MadeLog, leaf: int) -> int:
    return max((size for size in log.notes if size <= leaf), default=0)


@pytest.mark.parametrize("every", [4, 100])
def test_a_rewrite_with_all_links_made_anew_is_named_from_the_last_good_head_on(every):
    """Change one entry and every link after it: the chain holds from end to end.

    The public key alone cannot tell which of the entries under the first bad head was changed; it
    names the first that no good head covers, and says so.
    """
    log = made_log(40, every=every)
    for at in places(log.lines(), 20):
        lines = log.lines()
        leaf = entry_of(lines[at]).leaf
        lines[at] = with_entry(lines[at], actor="somebody-else")
        broken = check(relinked(lines, at)).first_broken
        assert broken is not None
        assert broken.leaf_index == last_head_before(log, leaf)
        assert broken.entry == f"id-{broken.leaf_index}"
        assert "made or changed later" in broken.why


def test_a_rewrite_of_everything_is_named_at_its_first_entry():
    """Write a whole new history, well linked, and keep the old heads."""
    log = made_log(20)
    forged = MadeLog(instances=("brokers/2",)).add(20)
    lines = forged.lines()
    notes = iter(log.notes.values())
    lines = [checkpoint_line(next(notes)) if b'"checkpoint"' in line else line for line in lines]
    broken = check(lines).first_broken
    assert broken is not None
    assert broken.leaf_index == 0


def test_a_rewrite_signed_with_another_key_is_refused():
    """Write a whole new history and sign it, with a key of one's own, in one's own name or not."""
    forged = MadeLog(every=100).add(20).sign(OTHER)
    report = check(forged.lines())
    assert report.first_broken is not None
    assert report.signed == 0
    key = verifier_key(OTHER.public_key().public_bytes_raw())
    lines = forged.lines()
    lines[0] = header_line(HeaderLine(key=key, before=Frontier(), contents=True))
    report = check(lines)
    assert report.first_broken is not None
    assert "another key" in report.first_broken.why


@pytest.mark.parametrize("extra", [1, 3, 7])
def test_a_forged_tail_is_named(extra):
    """Append entries, well linked, after the newest head: no signature covers them."""
    log = made_log(20)
    log.every = 1_000
    log.add(extra)
    report = check(log.lines())
    assert report.first_broken is not None
    assert (report.first_broken.leaf_index, report.first_broken.entry) == (20, "id-20")
    assert report.signed == 20


def test_a_tail_that_is_cut_off_is_noticed_with_a_head_from_outside():
    """Cut off what one did today, with the heads that cover it."""
    log = made_log(40)
    newest = log.notes[40]
    for kept in (39, 38, 35, 20, 5, 0):
        lines = log.lines()
        lines = lines[: entry_lines(lines)[kept]]
        report = check(lines, newest)
        assert report.first_broken is not None
        # At a head the shorter log is whole in itself: only the newer head tells.
        assert report.first_broken.leaf_index == (kept if kept % 5 == 0 else kept - kept % 5)
        assert check(lines).ok == (kept % 5 == 0)


def test_a_copy_that_was_put_back_and_went_on_is_noticed_with_a_head_from_outside():
    """Put yesterday's database back, let the broker go on with it, and export that."""
    log = made_log(40)
    newest = log.notes[40]
    copy = made_log(20)
    copy.instances = ("brokers/1", "brokers/9")
    copy.add(30).sign()
    assert check(copy.lines()).ok
    report = check(copy.lines(), newest)
    assert report.first_broken is not None
    assert 0 <= report.first_broken.leaf_index < 40


def test_an_export_that_starts_late_cannot_hide_what_came_before():
    """Rewrite the early log and export from after it, with made-up subtrees before."""
    log = made_log(23)
    lines = log.lines(start=11)
    other = MadeLog(instances=("x",)).add(11)
    forged = header_line(
        HeaderLine(key=verifier_key(_key(lines[0])), before=other.tree, contents=True)
    )
    report = check([forged, *lines[1:]])
    assert report.first_broken is not None
    assert report.first_broken.leaf_index == 11


def test_a_head_that_was_changed_is_no_head():
    """Change the size or the root in a signed head."""
    log = made_log(20)
    for size, note in log.notes.items():
        text = note.replace(f"\n{size}\n", f"\n{size + 1}\n")
        lines = [
            checkpoint_line(text) if read_line(line) == CheckpointLine(note=note) else line
            for line in log.lines()
        ]
        assert not check(lines).ok
        with pytest.raises(MalformedNote):
            check(log.lines(), text)


def test_a_head_cannot_be_moved():
    """Leave the last heads out and repeat an early one at the end."""
    log = made_log(20)
    lines = [*log.lines()[:-1], checkpoint_line(log.notes[5])]
    report = check(lines)
    assert report.first_broken is not None
    assert report.signed == 15


def test_heads_left_out_in_the_middle_change_nothing_and_at_the_end_are_missed():
    log = made_log(20)
    lines = [line for line in log.lines() if b'"checkpoint"' not in line]
    report = check([*lines, checkpoint_line(log.notes[20])])
    assert (report.ok, report.signed) == (True, 20)
    report = check(lines)
    assert report.first_broken is not None
    assert report.first_broken.leaf_index == 0


def test_two_headers_or_none_are_no_export():
    lines = made_log(5).lines()
    assert not check([lines[0], *lines]).ok
    assert not check(lines[1:]).ok
    assert not check([]).ok


def test_an_entry_line_of_no_entry_is_named():
    lines = made_log(10, every=100).lines()
    lines[3] = entry_line(2, b'{"id":"id-2"}', None)
    broken = check(lines).first_broken
    assert broken is not None
    assert (broken.leaf_index, broken.entry) == (2, "id-2")


def _key(line: bytes) -> bytes:
    read = read_line(line)
    assert isinstance(read, HeaderLine)
    return parse_verifier_key(read.key)
