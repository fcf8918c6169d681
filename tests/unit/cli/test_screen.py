from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from broker.cli.screen import beside, columns, fold, ours, shown_before, theirs
from broker.core.text import visible


@given(st.text(), st.integers(min_value=2, max_value=40))
def test_folding_leaves_nothing_out_and_fits(text: str, cells: int) -> None:
    pieces = fold(theirs(text), cells)
    assert "".join(piece.plain for piece in pieces) == visible(text)
    assert all(cell_len(piece.plain) <= cells for piece in pieces)


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
