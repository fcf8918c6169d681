"""The brokers over one database: each says again and again that it is there, and where.

Who is gone is told by watching a count that rises, not by comparing clocks: clocks of two machines
differ, and jump.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerRow:
    """One broker, as it last said.

    Attributes:
        name: of the instance, `brokers/{uuid}`.
        address: where workers reach it, `host:port`; empty while it does not serve yet.
        version: its release.
        started_at, seen_at: by its own clock, POSIX seconds; for people.
        beats: how often it has said so.
    """

    name: str
    address: str
    version: str
    started_at: float
    seen_at: float
    beats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatBroker:
    """A broker says that it is there, in place of what it said before."""

    broker: BrokerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DropBroker:
    """A broker is not there any more. Absent is no conflict."""

    name: str
