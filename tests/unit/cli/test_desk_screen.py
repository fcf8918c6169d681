"""The first screen of the support desk, as wide as it is meant to be and in a narrow terminal."""

import pytest

from broker.sdk import BrokerError
from examples.support_desk.agents import Answered, Step
from examples.support_desk.screen import line

ABOUT = "Close the account of customers/c-204 and forget its addresses at O-1001"


def _answered(reason: str) -> Answered:
    step = Step(tool="delete_customer", arguments={})
    return Answered(step=step, outcome=BrokerError("No.", reason=reason), took_s=0.012)


@pytest.mark.parametrize("width", range(60, 111))
def test_a_narrow_screen_cuts_nothing(width: int) -> None:
    drawn = line(_answered("SOME_REASON_THAT_IS_LONG"), ABOUT, width=width)
    lines = drawn.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].endswith("   12 ms")
    words = drawn.replace("12 ms", "").split()
    assert words == ["error", "delete_customer", *ABOUT.split(), "SOME_REASON_THAT_IS_LONG"]


def test_a_code_stands_beneath_what_it_is_of() -> None:
    assert line(_answered("X_Y"), "Read order O-1001", width=80).splitlines() == [
        "  error  delete_customer   Read order O-1001                               12 ms",
        " " * 27 + "X_Y",
    ]


def test_a_wide_screen_has_a_line_for_each_call() -> None:
    assert "\n" not in line(_answered("X_Y"), ABOUT, width=111)
