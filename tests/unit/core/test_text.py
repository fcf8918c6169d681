"""What the one escaper shows."""

import json
import sys
import unicodedata

import pytest

from broker.core.text import visible, visible_value

# Planes 0, 1 and 14, and the ends of those that are all alike.
POINTS = [*range(0x20000), 0x20000, *range(0xE0000, 0xE1000), 0xF0000, sys.maxunicode]
EVERY_CHARACTER = [chr(point) for point in POINTS]
# Unicode 14, DerivedCoreProperties.txt and PropList.txt
DEFAULT_IGNORABLE = [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0]
DEFAULT_IGNORABLE += [*range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F)]
DEFAULT_IGNORABLE += [*range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9)]
DEFAULT_IGNORABLE += [*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)]
BIDI_CONTROL = [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("O-1001", "O-1001"),
        ("", ""),
        ("a\\nb", "a\\\\nb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[2J\x9b1m\x07\x00\x7f", "\\u001b[2J\\u009b1m\\u0007\\u0000\\u007f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb\ufeff\u00a0\u3000", "a\\u200bb\\ufeff\\u00a0\\u3000"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800", "\\ud800"),
        ("\ue000\U0010ffff\U000e0041", "\\ue000\\U0010ffff\\U000e0041"),
        (
            "Gr\u00f6\u00dfe \u2014 \u65e5\u672c \U0001f600",
            "Gr\u00f6\u00dfe \u2014 \u65e5\u672c \U0001f600",
        ),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),  # Hindi
    ],
)
def test_text_is_shown_so_that_nothing_hides(text, shown):
    assert visible(text) == shown


def test_no_character_that_acts_or_hides_is_shown_as_it_is():
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    for character in EVERY_CHARACTER:
        if unicodedata.category(character) in hidden:
            assert visible(character).startswith("\\"), hex(ord(character))
            assert visible(character).isascii()


@pytest.mark.parametrize("points", [DEFAULT_IGNORABLE, BIDI_CONTROL], ids=["ignorable", "bidi"])
def test_every_invisible_character_is_escaped(points):
    for point in points:
        assert visible(chr(point)).startswith("\\"), hex(point)
        assert "\\u" in visible_value(chr(point)), hex(point)


def test_every_character_has_a_rendering_of_its_own():
    assert len({visible(character) for character in EVERY_CHARACTER}) == len(EVERY_CHARACTER)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u00e9", "e\u0301"),  # composed, and a letter with a mark
        ("\u212b", "\u00c5"),  # Angstrom, A with ring
        ("\uac00", "\u1100\u1161"),  # a Hangul syllable, and its letters
        ("a\u0323\u0307", "a\u0307\u0323"),  # marks in either order
    ],
)
def test_what_normalises_to_the_same_text_is_told_apart(one, other):
    assert visible(one) != visible(other)
    drawn = [unicodedata.normalize("NFC", visible(text)) for text in (one, other)]
    assert drawn[0] != drawn[1]


def test_long_text_is_cut_with_a_mark_that_says_how_long_it_was():
    assert visible("abcdef", characters_max=4) == "abcd … (6 characters)"
    assert visible("abcd", characters_max=4) == "abcd"
    assert visible("x" * 1_000_000, characters_max=1) == "x … (1000000 characters)"


def test_an_escape_is_never_cut_in_two():
    assert visible("abc\u202ed", characters_max=5) == "abc … (5 characters)"
    assert visible("\x1b\x1b", characters_max=6) == "\\u001b … (2 characters)"
    assert visible("\n", characters_max=0) == " … (1 characters)"


def test_nobody_else_writes_the_mark_of_a_cut():
    assert visible("abcd … (6 characters)") == "abcd \\u2026 (6 characters)"
    assert visible("wait … and see") == "wait … and see"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"b": 1.0, "a": "x"}, '{"a":"x","b":1}'),
        ("a\nb\\", '"a\\nb\\\\"'),
        ("\x1b\u202e\x7f", '"\\u001b\\u202e\\u007f"'),
        ("\U000e0041", '"\\udb40\\udc41"'),
        ({"\u200b": None}, '{"\\u200b":null}'),
        ("e\u0301", '"e\\u0301"'),
    ],
)
def test_a_value_is_shown_as_json_that_still_means_it(value, shown):
    assert visible_value(value) == shown
    assert json.loads(shown) == value


def test_a_value_without_canonical_form_is_shown_all_the_same():
    assert visible_value(["\ud800", 2**60]) == '["\\ud800",1152921504606846976]'
    assert visible_value(float("inf")) == "Infinity"


def test_a_long_value_is_cut_with_a_mark():
    assert visible_value(["abc", "\x00"], characters_max=6) == '["abc" … (16 characters)'
    assert visible_value(["\u200b"], characters_max=3) == '[" … (5 characters)'
