"""Times as people say them: a clock where it is today, the day before it where it is not."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from broker.cli.failures import CommandFailed, ExitCode

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_LENGTH: Final = re.compile(r"(?:[0-9]{1,9}[smhdw])+")


def epoch(message: Timestamp) -> float:
    """POSIX seconds; 0 where there is no such time."""
    return message.seconds + message.nanos / 1e9


def clock(at: float, *, now: float, zone: tzinfo) -> str:
    """`18:20`, or `22 Nov 18:20` on another day, or with the year in another one."""
    there, here = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    if there.date() == here.date():
        return f"{there:%H:%M}"
    if there.year == here.year:
        return f"{there.day} {there:%b %H:%M}"
    return f"{there.day} {there:%b %Y}"


def length(seconds: float) -> str:
    """`3 h 41 min`, `12 min`, `40 s`, `89 d`: at most two units."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h" if hours and days < 7 else f"{days} d"  # noqa: PLR2004
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{whole} s"


def parse_length(text: str) -> Duration:
    """Read `2h`, `90m`, `1d12h`.

    Raises:
        CommandFailed: it is no length of time.
    """
    if not _LENGTH.fullmatch(text):
        raise CommandFailed(
            f"{text!r} is no length of time such as 45m, 2h, 30d or 1d12h.",
            exit_code=ExitCode.USAGE,
        )
    return Duration(seconds=sum(int(n) * _UNITS[unit] for n, unit in _PART.findall(text)))


def parse_end(text: str, *, now: float) -> Timestamp:
    """Read when something ends: after a length of time (`30d`), or at a time (`2027-01-31T18:00`).

    A time without an offset is UTC.

    Raises:
        CommandFailed: it is neither.
    """
    message = Timestamp()
    if _LENGTH.fullmatch(text):
        message.FromSeconds(int(now) + parse_length(text).seconds)
        return message
    message.FromDatetime(_time(text, or_length=", and no length of time such as 7d"))
    return message


def parse_start(text: str, *, now: float) -> datetime:
    """Read when something began: a length of time ago (`7d`), or at a time (`2026-11-01`).

    A time without an offset is UTC.

    Raises:
        CommandFailed: it is neither, or before 1970.
    """
    if not _LENGTH.fullmatch(text):
        return _time(text, or_length=", and no length of time ago such as 7d")
    began = now - parse_length(text).seconds
    if began < 0:
        raise CommandFailed(f"{text!r} ago is before 1970.", exit_code=ExitCode.USAGE)
    return datetime.fromtimestamp(began, UTC)


def _time(text: str, *, or_length: str) -> datetime:
    """An ISO 8601 time; one without an offset is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"{text!r} is no time such as 2027-01-31T18:00 (UTC where it has no offset)"
            f"{or_length}.",
            exit_code=ExitCode.USAGE,
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
