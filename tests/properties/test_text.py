"""Laws of the escaper."""

import json
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.text import visible, visible_value

# Every code point, surrogates included, and those that matter often.
ALL = st.characters() | st.characters(categories=["Cs"])
TRICKY = st.sampled_from(
    "\\ux20e\u202e\n\t\x1b\x00\ud800\u00e9e\u0301\u200b \u00a0\u2026(1)\U000e0041"
)
STRINGS = st.text(alphabet=ALL | TRICKY, max_size=12)
MANY = settings(max_examples=200, deadline=None)


def is_clear(shown: str) -> bool:
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return not any(unicodedata.category(character) in hidden for character in shown)


@MANY
@given(STRINGS)
def test_what_is_shown_neither_acts_nor_hides(text):
    assert is_clear(visible(text))
    assert is_clear(visible_value([text, {text: 1}]))


@MANY
@given(STRINGS, STRINGS)
def test_different_strings_are_shown_differently(one, other):
    assert (visible(one) == visible(other)) == (one == other)
    assert (visible_value(one) == visible_value(other)) == (one == other)


@MANY
@given(STRINGS)
def test_an_escape_can_be_read_back(text):
    shown = visible(text)
    read, rest = [], iter(shown)
    for character in rest:
        if character != "\\":
            read.append(character)
            continue
        kind = next(rest)
        width = {"u": 4, "U": 8}.get(kind, 0)
        number = "".join(next(rest) for _ in range(width))
        read.append(
            chr(int(number, 16)) if width else {"n": "\n", "r": "\r", "t": "\t"}.get(kind, kind)
        )
    assert "".join(read) == text


@MANY
@given(st.text(max_size=20))
def test_a_value_shown_is_still_json(text):
    assert json.loads(visible_value({"a": [text]})) == {"a": [text]}


@MANY
@given(STRINGS, st.integers(0, 30))
def test_a_cut_keeps_a_beginning_and_says_so(text, characters_max):
    whole = visible(text)
    shown = visible(text, characters_max=characters_max)
    mark = f" … ({len(text)} characters)"
    if shown.endswith(mark):
        kept = shown.removesuffix(mark)
        assert len(kept) <= characters_max < len(whole)
        assert whole.startswith(kept)
    else:
        assert shown == whole


@MANY
@given(STRINGS, STRINGS)
def test_canonically_equivalent_strings_are_drawn_differently(one, other):
    drawn = [unicodedata.normalize("NFC", visible(text)) for text in (one, other)]
    assert (drawn[0] == drawn[1]) == (one == other)
