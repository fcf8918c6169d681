"""What was said in a call is erased after a while, or for somebody; that it happened never is.

Contents are what people, agents and tools wrote: words, arguments, results, facts, files, reasons,
what a hold showed. Digests, codes, states, names and times stay, so that the log verifies. A
session is erased as a whole, once it is over and all of its calls have ended, and never while a
legal hold is on it, on one of its calls or on its principal.
"""

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400.0
CONTENTS_DAYS_MAX: Final = 36_500


class LegalHoldKind(enum.StrEnum):
    """What a legal hold keeps."""

    PRINCIPAL = "principal"
    SESSION = "session"
    INVOCATION = "invocation"


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """Contents that are not erased until it is lifted.

    Attributes:
        name: `legal-holds/{id}`.
        subject: the principal's id, or the session's or invocation's name.
    """

    name: str
    kind: LegalHoldKind
    subject: str
    reason: str
    held_by: str
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long contents are kept after their session has ended; `contents_days` 0 is for ever."""

    contents_days: int = 0
    set_by: str = ""
    set_at: float = 0.0


KEPT: Final = Retention()


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasable:
    """A session that might be erased, or a mandate that nobody redeemed (`session` is empty).

    Attributes:
        is_over: nothing can be asked in it any more, and none of its calls is under way or waits.
        changed_at: POSIX seconds of its newest call's end, or of its own.
        files: how many of its files are over, where it was asked for by these.
    """

    mandate: str
    session: str
    principal: str
    is_over: bool
    changed_at: float
    files: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseFiles:
    """Files of a session whose own time was over at `at` are gone. None there: Conflict."""

    session: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseCalls:
    """Calls of a session that is over lose their contents; one that has not ended: Conflict."""

    session: str
    invocations: tuple[str, ...]
    at: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseSession:
    """A session that is over, and whose calls are erased, loses its own. Else: Conflict.

    `session` is empty for a mandate that nobody can redeem any more.
    """

    mandate: str
    session: str
    at: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireUnerased:
    """What is kept with it will be erased with the rest, which is not erased yet. Else: Conflict.

    Nothing that is erased is erased again: what is added to it afterwards would stay for ever.

    Attributes:
        invocation: the call that it is of; empty for none.
        mandate: the one whose session's words it adds to, redeemed or not; empty for none.
    """

    invocation: str = ""
    mandate: str = ""


Erasing = EraseFiles | EraseCalls | EraseSession | RequireUnerased


def is_held(holds: Iterable[LegalHold], one: Erasable, sessions_held: Collection[str]) -> bool:
    """Whether a legal hold keeps it.

    Args:
        holds: in force.
        one: that might be erased.
        sessions_held: those of the invocations that holds name.
    """
    if one.session and one.session in sessions_held:
        return True
    kept = {
        LegalHoldKind.PRINCIPAL: one.principal,
        LegalHoldKind.SESSION: one.session,
        LegalHoldKind.INVOCATION: None,
    }
    return any(kept[hold.kind] == hold.subject for hold in holds)
