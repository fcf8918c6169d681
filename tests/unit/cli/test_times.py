from datetime import UTC, datetime

import pytest

from broker.cli.failures import CommandFailed
from broker.cli.times import clock, epoch, length, parse_end, parse_length, parse_start

NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (13_260, "3 h 41 min"),
        (7_200, "2 h"),
        (90_000, "1 d 1 h"),
        (86_400 * 90 - 1, "89 d"),
    ],
)
def test_a_length_of_time_is_said_in_at_most_two_units(seconds: float, said: str) -> None:
    assert length(seconds) == said


@pytest.mark.parametrize(
    ("text", "seconds"), [("45m", 2_700), ("2h", 7_200), ("1d12h", 129_600), ("1w", 604_800)]
)
def test_a_length_of_time_is_read_as_it_is_said(text: str, seconds: int) -> None:
    assert parse_length(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-1h", "1y", "1h!", "1.5h"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(CommandFailed, match="no length of time"):
        parse_length(text)


def test_a_clock_names_the_day_only_where_it_is_another() -> None:
    assert clock(NOW, now=NOW, zone=UTC) == "13:00"
    assert clock(NOW - 86_400, now=NOW, zone=UTC) == "19 Nov 13:00"
    assert clock(NOW - 366 * 86_400, now=NOW, zone=UTC) == "19 Nov 2025"


def test_an_end_is_a_length_from_now_or_a_time() -> None:
    assert epoch(parse_end("2h", now=NOW)) == NOW + 7_200
    assert epoch(parse_end("2026-11-20T14:00", now=NOW)) == NOW + 3_600
    assert epoch(parse_end("2026-11-20T14:00+01:00", now=NOW)) == NOW


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(CommandFailed, match=r"no time such as .* and no length of time such as 7d"):
        parse_end("tomorrow", now=NOW)
    with pytest.raises(CommandFailed, match="and no length of time ago such as 7d"):
        parse_start("7x", now=NOW)
