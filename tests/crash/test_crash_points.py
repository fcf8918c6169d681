"""A broker is killed between any two things that it does; what it did before is all that it did.

The whole day of `scenario` is lived once for each point, by a process of its own that is killed
there. Here these are the points right after something that lasts, a commit or an effect: at all
others the world is as it was at one of these. `make soak CRASH=--points` takes every one of them.
"""

from collections.abc import Iterator

import pytest

from tests.crash import planted
from tests.crash.forking import Told
from tests.crash.soak import NEVER, Soak, soaking
from tests.postgres import server

HOUR_S = 3_600.0
LASTING = frozenset({"store.commit after", "effect after"})
RANDOM_US = (20_000, 60_000, 110_000, 170_000)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    with soaking(tmp_path_factory.mktemp("crash")) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    """The same on a PostgreSQL database for each trial."""
    with soaking(tmp_path_factory.mktemp("crash-shared"), server()) as made:
        yield made


def points_of(trials: Soak, *before: int, bug: str = "") -> list[str]:
    """The names of the points of a life that nobody ends, after these kills."""
    told = trials.trial([*before, NEVER], bug=bug)
    assert told.killed == [*(True for _ in before), False], told
    assert bug or not told.findings, told
    return told.passed


def lasting(points: list[str]) -> list[int]:
    """The numbers of the points at which the world outside the process is another."""
    return [at for at, name in enumerate(points, start=1) if at == 1 or name in LASTING]


def numbered(points: list[str], name: str) -> list[int]:
    return [at for at, passed in enumerate(points, start=1) if passed == name]


def test_whatever_point_a_broker_is_killed_at_its_books_hold(trials: Soak):
    """Kill the broker at a moment of one's choice, so that an effect is had twice, or unseen."""
    points = points_of(trials)
    assert {"effect before", "effect after", "slot.acknowledge before"} <= {*points}
    wrong: dict[str, Told] = {}
    for at in lasting(points):
        told = trials.trial([at])
        if told.findings or told.killed != [True]:
            wrong[f"{at} {points[at - 1]}"] = told
    assert not wrong


def test_a_broker_that_is_killed_while_it_recovers_recovers_again(trials: Soak):
    """Kill the next one too, while it ends what the first has begun, or tries it again."""
    effects = numbered(points_of(trials), "effect after")
    wrong: dict[tuple[int, int], Told] = {}
    for first in effects[1:3]:  # of a tool that must not be tried again, and of one that may
        for second in lasting(points_of(trials, first)):
            told = trials.trial([first, second])
            if told.findings or told.killed != [True, True]:
                wrong[first, second] = told
    assert not wrong


def test_attempts_end_when_there_were_enough_of_them(trials: Soak):
    """Kill every broker right after the effect, so that it is had for ever."""
    first = numbered(points_of(trials), "effect after")[2]
    second = numbered(points_of(trials, first), "effect after")[0]
    third = numbered(points_of(trials, first, second), "effect after")[0]
    assert "effect after" not in points_of(trials, first, second, third)
    told = trials.trial([first, second, third])
    assert (told.findings, told.killed) == ([], [True, True, True])


def test_the_same_holds_where_the_database_is_a_servers(shared: Soak):
    """Kill a broker whose transactions another process ends, later than it does."""
    points = points_of(shared)
    commits, effects = (numbered(points, name) for name in sorted(LASTING, reverse=True))
    for at in (commits[2], effects[1], effects[2]):
        told = shared.trial([at])
        assert (told.findings, told.killed) == ([], [True])


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_another_at_the_restart_makes_nothing_happen_twice(
    trials: Soak, hours: int
):
    """Move the clock while the broker is down, so that leases and holds mean something else."""
    for at in numbered(points_of(trials), "effect after")[:3]:
        told = trials.trial([at], skew_s=hours * HOUR_S)
        assert (told.findings, told.killed) == ([], [True])


@pytest.mark.parametrize("after_us", RANDOM_US)
def test_a_broker_is_killed_in_the_middle_of_what_it_does(trials: Soak, after_us: int):
    """Kill it between two instructions, and not where anybody counts."""
    assert not trials.trial([-after_us]).findings


@pytest.mark.parametrize("bug", sorted(planted.BUGS))
def test_a_planted_bug_is_caught(trials: Soak, bug: str):
    """Nothing is attacked: a harness that lets these pass would prove nothing of the broker."""
    effects = numbered(points_of(trials, bug=bug), "effect after")
    assert any(trials.trial([at], bug=bug).findings for at in effects[:3])
