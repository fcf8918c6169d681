import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from broker.cli.screen import beside, columns, fold, ours, shown_before, table, theirs
from broker.core.text import visible

WORDY = st.text() | st.text(alphabet="ab_./- ")


@given(WORDY, st.integers(min_value=2, max_value=40))
def test_folding_leaves_out_a_blank_where_a_line_ends_at_most_and_fits(
    text: str, cells: int
) -> None:
    whole, pieces = visible(text), [piece.plain for piece in fold(theirs(text), cells)]
    assert all(cell_len(piece) <= cells for piece in pieces)
    joined = "".join(pieces)
    assert joined.replace(" ", "") == whole.replace(" ", "")
    assert len(whole) - len(joined) <= len(pieces)


@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=80)), min_size=1, max_size=5))
def test_columns_never_pass_the_width(rows: list[tuple[str, str]]) -> None:
    lines = columns([[theirs(a), theirs(b)] for a, b in rows], width=50)
    assert all(cell_len(line.plain) <= 50 for line in lines)


@given(st.text())
def test_what_was_shown_before_is_not_escaped_twice(text: str) -> None:
    once = visible(text)
    assert shown_before(once).plain == once


def test_markup_is_only_text() -> None:
    text = theirs("[red]x[/red]")
    assert text.plain == "[red]x[/red]"
    assert text.spans == []


def test_two_texts_that_do_not_fit_one_line_stand_below_each_other() -> None:
    lines = beside(ours("a" * 30), ours("b" * 30), width=40)
    assert [line.plain for line in lines] == ["a" * 30, "  " + "b" * 30]


def test_a_name_is_broken_only_where_no_text_beside_it_can_be_folded() -> None:
    row = [ours("Refund EUR 55.00 of order O-1001"), ours("REFUND_NEEDS_PERSON")]
    first, *_ = columns([row], width=45)
    assert first.plain.endswith("  REFUND_NEEDS_PERSON")
    narrow = [line.plain for line in columns([row], width=25)]
    assert all(len(line) <= 25 for line in narrow)


def test_a_code_longer_than_its_column_is_broken_where_its_words_meet() -> None:
    pieces = [piece.plain for piece in fold(ours("ARTICLE_NOT_READABLE"), 15)]
    assert pieces == ["ARTICLE_NOT_", "READABLE"]


def test_a_column_that_says_nothing_takes_no_room() -> None:
    lines = columns([[ours("a" * 10), ours(""), ours("b" * 8)]], width=20)
    assert [line.plain for line in lines] == ["a" * 10 + "  " + "b" * 8]


@pytest.mark.parametrize(
    ("text", "cells", "pieces"),
    [
        ("writes, destructive, idempotent", 12, ["writes,", "destructive,", "idempotent"]),
        ("refund.preview", 11, ["refund.", "preview"]),
        ("support-assistant", 12, ["support-", "assistant"]),
        ("input.tool.behaviour.read_only", 26, ["input.tool.behaviour.read_", "only"]),
        ("local#operator", 11, ["local#", "operator"]),
        ("of EUR 55.00", 11, ["of EUR", "55.00"]),
        ("EUR1000.00", 9, ["EUR1000.0", "0"]),
    ],
)
def test_a_line_ends_behind_a_word_or_where_a_name_has_a_joint(
    text: str, cells: int, pieces: list[str]
) -> None:
    assert [piece.plain for piece in fold(ours(text), cells)] == pieces


def test_names_are_broken_at_their_joints_before_any_is_broken_within_a_word() -> None:
    row = [ours("refund.preview"), ours("support-assistant"), ours("local#operator")]
    lines = [line.plain for line in columns([row], width=44)]
    assert lines == ["refund.        support-       local#operator", "preview        assistant"]


HEADERS = ("Name", "Amount", "What", "Why")
ROWS = [
    [ours("a-1"), ours(""), ours("x " * 30 + "y"), ours("NEEDS_PERSON")],
    [ours("a-2"), ours(""), ours("short"), ours("")],
    [ours("a-3"), ours(""), ours(""), ours("")],
]


def test_a_narrow_table_has_its_longest_column_below_and_none_that_is_empty() -> None:
    lines = [line.plain for line in table(HEADERS, ROWS, width=40, below=2)]
    assert lines == [
        "Name  Why",
        "  What",
        "a-1   NEEDS_PERSON",
        "  " + "x " * 18 + "x",
        "  " + "x " * 11 + "y",
        "a-2",
        "  short",
        "a-3",
    ]


def test_a_wide_table_has_a_line_for_each_row_and_every_column() -> None:
    lines = [line.plain for line in table(HEADERS, ROWS, width=100, below=2)]
    assert lines[0].split() == list(HEADERS)
    assert len(lines) == 1 + len(ROWS)


def test_a_narrow_table_without_rows_or_without_anything_below_still_has_its_headers() -> None:
    (empty,) = table(HEADERS[:2], [], width=40)
    assert empty.plain == "Name  Amount"
    lines = table(HEADERS, [[ours("a"), ours("b"), ours(""), ours("c")]], width=40, below=2)
    assert [line.plain for line in lines] == ["Name  Amount  Why", "a     b       c"]
