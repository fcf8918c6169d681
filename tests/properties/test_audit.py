"""No single change to an export goes unnoticed, wherever it is and whatever it is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.audit_lines import HeaderLine, MalformedLine, read_line
from broker.core.merkle import Frontier, leaf_hash
from tests.audit_logs import check, entry_of, made_log

LOGS = [made_log(17, every=4, instances=("a", "b")), made_log(9, every=3), made_log(6, every=50)]


@st.composite
def changed_exports(draw):
    """An export with one byte changed, added or taken away."""
    lines = draw(st.sampled_from(LOGS)).lines(start=draw(st.sampled_from([0, 2])))
    at = draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    place = draw(st.integers(0, len(line) - 1))
    byte = bytes([draw(st.integers(0, 255))])
    kind = draw(st.sampled_from(["change", "add", "drop"]))
    after = line[:place] + (b"" if kind == "drop" else byte) + line[place + (kind != "add") :]
    return lines, at, after


@settings(max_examples=1_500, deadline=None)
@given(changed_exports())
def test_a_changed_byte_is_noticed(changed):
    lines, at, after = changed
    before = lines[at]
    assert check(lines).ok
    # A line may end with a line feed: that is the form of a file, and says nothing.
    if after in (before, before + b"\n"):
        return
    report = check([*lines[:at], after, *lines[at + 1 :]])
    assert not report.ok
    assert report.first_broken is not None


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(LOGS), st.data())
def test_entries_that_are_dropped_doubled_or_moved_are_noticed(log, data):
    lines = log.lines()
    entries = [n for n, line in enumerate(lines) if b'"entry":' in line]
    one = data.draw(st.sampled_from(entries))
    other = data.draw(st.integers(1, len(lines)))
    kind = data.draw(st.sampled_from(["drop", "double", "move"]))
    after = [line for n, line in enumerate(lines) if n != one or kind == "double"]
    if kind != "drop":
        after.insert(min(other, len(after)), lines[one])
    if after == lines:
        return
    report = check(after)
    assert not report.ok
    assert report.first_broken is not None
    assert report.first_broken.leaf_index <= entry_of(lines[one]).leaf + len(entries)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=8), max_size=70), st.integers(0, 70))
def test_a_tree_taken_up_in_the_middle_ends_the_same(leaves, cut):
    whole, first = Frontier(), Frontier()
    for leaf in leaves:
        whole.add(leaf_hash(leaf))
    for leaf in leaves[:cut]:
        first.add(leaf_hash(leaf))
    rest = Frontier(size=first.size, roots=list(first.roots))
    for leaf in leaves[cut:]:
        rest.add(leaf_hash(leaf))
    assert rest == whole


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_no_line(text):
    try:
        read_line(text)
    except MalformedLine:
        return


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_lines_give_a_report(lines):
    assert not check(lines).ok
    assert isinstance(read_line(LOGS[0].lines()[0]), HeaderLine)
    assert not check([LOGS[0].lines()[0], *lines, b"{}"]).ok
