"""What an agent's process said of its call to a broker that does not have it, kept for who has.

One word for an attempt: whoever is first there has said it, or has closed it for good. It is kept
in the time of its permit and of its owner's lease, as the row says both, and is gone once the call
has ended. `said` is keyed with the permit's token, which is kept nowhere: who can write to the
database puts no word into an agent's mouth.
"""

from dataclasses import dataclass, field

from broker.core.lifecycle import InvocationState


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReport:
    """One word, or that none is taken any more.

    Attributes:
        invocation: `invocations/{uuid}`.
        attempt: which one it is of, from 1.
        body: the report, as `tools.reports` writes it; empty where it was closed.
        said: its digest, keyed with the permit's token; empty where it was closed.
        at: POSIX seconds.
    """

    invocation: str
    attempt: int
    body: bytes = field(default=b"", repr=False)
    said: bytes = b""
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSeen:
    """That there is one, and where its call is now."""

    invocation: str
    state: InvocationState


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepReport:
    """A word on a RUNNING attempt is kept, before its deadline and its lease are over at `at`.

    Conflict on the invocation where they are, or it is not RUNNING; on the report where there is a
    word already, or it was closed.
    """

    report: KeptReport


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseReport:
    """From here on no word on this attempt is kept; one that is there stays."""

    invocation: str
    attempt: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DropReports:
    """Words on these calls are gone, as far as they are not RUNNING any more."""

    invocations: tuple[str, ...]


Reporting = KeepReport | CloseReport | DropReports
