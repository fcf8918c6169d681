"""How printed output is compared with what a page says."""

import pytest

from tests.docs.console import Names, steps
from tests.docs.pages import ROOT, Block


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("a  b", "a     b\n"),
        ("took 3 ms", "took 812 ms"),
        ("expires 06:16 (3 h 58 min)", "expires 22 Nov 00:10 (4 h)"),
        ("02:28:56  hold.opened", "23:59:59  hold.opened"),
        ("Binds  call fda36e13", "Binds  call 00000000"),
        ("one\n…\nfour", "one\ntwo\nthree\nfour"),
        ("one\n…\ntwo", "one\ntwo"),
        ("to claims@…  5 ms", "to claims@example.org, c-204@example.com  17 ms"),
        ("h-4db6a5f2 and h-4db6a5f2", "h-00000000 and h-00000000"),
    ],
)
def test_what_differs_from_run_to_run_does_not_count(expected: str, printed: str):
    assert Names().match(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("EUR 55.00", "EUR 55.01"),
        ("5 wait for a person.", "4 wait for a person."),
        ("one\nthree", "one\ntwo\nthree"),
        ("one", "one\ntwo"),
        ("HOLD  refund", "ALLOW  refund"),
        ("h-4db6a5f2 and h-4db6a5f2", "h-00000000 and h-00000001"),
        ("h-4db6a5f2", "i-4db6a5f2"),
    ],
)
def test_everything_else_does(expected: str, printed: str):
    assert not Names().match(expected, printed)


def test_a_name_stands_for_the_same_thing_in_later_commands():
    names = Names()
    assert names.match("h-4db6a5f2  PENDING", "h-11111111  PENDING")
    assert names.translate("callbroker holds show h-4db6a5f2") == "callbroker holds show h-11111111"
    assert not names.match("h-4db6a5f2  CLAIMED", "h-22222222  CLAIMED")


def test_a_block_is_commands_with_what_they_print():
    block = Block(
        page=ROOT / "page.md",
        line=10,
        kind="console",
        text="$ first \\\n    --all\none\n\n$ second   (exit code 1)\ntwo\n",
    )
    first, second = steps(block)
    assert (first.command, first.expected.strip(), first.exit_code) == ("first --all", "one", 0)
    assert (second.command, second.expected, second.exit_code) == ("second", "two", 1)
    assert (first.line, second.line) == (11, 15)
