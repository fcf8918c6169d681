"""A call is let in while there is room and time for it, and is else told when to ask again."""

import dataclasses
from typing import Any

import pytest

from broker.core.calls import Caller
from broker.core.errors import LimitExceeded
from broker.core.fairness import FAIR, Fairness, Share
from broker.core.limits import SAVED_UP_S
from broker.fairness.admission import Admission
from tests.store_values import NOW, session


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


WIDE = Share(calls_max=100, calls_per_s=1_000.0, bytes_per_s=1_000_000.0)
NARROW = Share(calls_max=2, calls_per_s=1.0, bytes_per_s=100.0)


def bounds(**narrow: Share) -> Fairness:
    return dataclasses.replace(
        FAIR, **{"agent": WIDE, "principal": WIDE, "session": WIDE, **narrow}
    )


def caller(name: str = "1") -> Caller:
    return Caller(session=dataclasses.replace(session(), name=f"sessions/{name}"), credential="c")


def admission(**narrow: Share) -> tuple[Admission, Clock]:
    clock = Clock()
    return Admission(fairness=bounds(**narrow), clock=clock), clock


@pytest.mark.parametrize("who", ["agent", "principal", "session"])
def test_so_many_are_under_way_at_once(who: str):
    admits, _ = admission(**{who: NARROW})
    with admits.room(caller()), admits.room(caller()):
        with pytest.raises(LimitExceeded, match=f"this {who}") as refused, admits.room(caller()):
            raise AssertionError("There is no room.")
        assert float(refused.value.metadata["retry_after_s"]) > 0
    with admits.room(caller()):
        assert admits.under_way("session sessions/1") == 1
    assert admits.under_way("session sessions/1") == 0


def test_a_session_has_its_own_room():
    admits, _ = admission(session=NARROW)
    with admits.room(caller("1")), admits.room(caller("1")), admits.room(caller("2")):
        assert admits.under_way("session sessions/2") == 1


@pytest.mark.parametrize("who", ["agent", "principal", "session"])
def test_what_was_saved_up_is_spent_and_then_as_fast_as_the_rate(who: str):
    admits, clock = admission(**{who: NARROW})
    for _ in range(int(SAVED_UP_S)):
        admits.spend(caller(), size=1)
    with pytest.raises(LimitExceeded) as refused:
        admits.spend(caller(), size=1)
    assert refused.value.metadata == {"retry_after_s": "1.000"}
    clock.now += 1.0
    admits.spend(caller(), size=1)
    with pytest.raises(LimitExceeded):
        admits.spend(caller(), size=1)


def test_whoever_comes_once_very_many_have_is_counted_too():
    """Have so many sessions that what a later one asks is forgotten while it is counted."""
    admits, _ = admission(session=NARROW)
    for number in range(2_100):
        admits.spend(caller(str(number)), size=1)
    for _ in range(int(SAVED_UP_S)):
        admits.spend(caller("late"), size=1)
    with pytest.raises(LimitExceeded):
        admits.spend(caller("late"), size=1)


def test_bytes_are_counted_too():
    admits, clock = admission(agent=dataclasses.replace(NARROW, calls_per_s=1_000.0))
    admits.spend(caller(), size=350)
    with pytest.raises(LimitExceeded):
        admits.spend(caller(), size=100)
    clock.now += 0.5
    admits.spend(caller(), size=100)


def test_what_is_larger_than_all_that_can_be_saved_is_let_in_when_all_is():
    admits, clock = admission(agent=dataclasses.replace(NARROW, calls_per_s=1_000.0))
    admits.spend(caller(), size=1_000_000)
    clock.now += SAVED_UP_S - 0.5
    with pytest.raises(LimitExceeded):
        admits.spend(caller(), size=1_000_000)
    clock.now += 0.5
    admits.spend(caller(), size=1_000_000)


def test_what_is_refused_is_not_spent():
    admits, _ = admission(session=NARROW, agent=dataclasses.replace(NARROW, calls_per_s=2.0))
    for _ in range(int(SAVED_UP_S)):
        admits.spend(caller("1"), size=0)
    for _ in range(50):
        with pytest.raises(LimitExceeded):
            admits.spend(caller("1"), size=0)
    for _ in range(int(SAVED_UP_S)):
        admits.spend(caller("2"), size=0)


def test_a_clock_that_goes_back_gives_nothing():
    admits, clock = admission(agent=NARROW)
    for _ in range(int(SAVED_UP_S)):
        admits.spend(caller(), size=0)
    clock.now -= 3_600.0
    with pytest.raises(LimitExceeded):
        admits.spend(caller(), size=0)
    clock.now += 1.0
    admits.spend(caller(), size=0)


def test_many_sessions_leave_no_memory_behind():
    admits, clock = admission()
    for number in range(10_000):
        admits.spend(caller(str(number)), size=1)
        clock.now += 1.0
    buckets: Any = admits._buckets
    assert len(buckets) <= 4_100
