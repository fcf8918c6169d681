"""A span says when something was done and how it ended: names, ids, codes and times, no contents.

A call's trace has the call's own id, and its first span the second half of that; so whoever knows
an invocation knows its trace, also another broker that goes on with it. Only then it is known
whether the trace is kept: by the last 56 bits of its id (W3C Trace Context Level 2 §2.2.3.2), which
the broker draws and no agent has a say in.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Final
from uuid import UUID

from broker.core.errors import BrokerError, CallerError, Defect
from broker.core.unit import Conflict

SPANS_MAX: Final = 64
"""Of one trace, here; what comes after is left out of it, and how much that was is told."""

SAMPLED_RANDOM: Final = 0x03
"""W3C trace flags: it is kept, and its id ends in so many random bits."""

CANCELLED: Final = "cancelled"

_RANDOM_BITS: Final = 56
_HALF: Final = (1 << 64) - 1

Attribute = str | int | bool | tuple[str, ...]
Draw = Callable[[int], int]
"""A random number of so many bits."""


class Kind(Enum):
    """Who does it, as OpenTelemetry tells them apart."""

    INTERNAL = auto()
    SERVER = auto()
    CLIENT = auto()


@dataclass(slots=True, kw_only=True)
class Span:
    """One thing that was done. Ids are numbers, of 128 bits the trace's and of 64 the span's.

    Attributes:
        begun_ns, ended_ns: nanoseconds since 1970, UTC.
        error: `error.type`; empty where nothing is to be said.
        is_failure: whether the broker or a part of it is at fault, not whoever asked.
        link: trace and span that somebody else says this comes from.
    """

    name: str
    kind: Kind = Kind.INTERNAL
    begun_ns: int
    ended_ns: int = 0
    trace_id: int = 0
    span_id: int = 0
    parent_id: int = 0
    attributes: dict[str, Attribute] = field(default_factory=dict)
    error: str = ""
    is_failure: bool = False
    link: tuple[int, int] | None = None


def trace_of(name: str) -> int:
    """The trace of `invocations/{uuid}`."""
    return UUID(name.rpartition("/")[2]).int


def first_span_of(trace_id: int) -> int:
    """The span that all others of a call are below; never 0, as a UUID's second half is not."""
    return trace_id & _HALF


def is_kept(trace_id: int, ratio: float) -> bool:
    """Whether a trace is one of those of which so many in one are kept."""
    return trace_id & ((1 << _RANDOM_BITS) - 1) >= round((1.0 - ratio) * (1 << _RANDOM_BITS))


class Trace:
    """What is told of one call while it is under way here. For one event loop.

    Spans wait until the first one ends; those that end later are given on one by one.

    Attributes:
        invocation: the name of the call, once there is one.
        about: attributes of the first span.
    """

    def __init__(
        self,
        *,
        ratio: float,
        now: float,
        draw: Draw,
        give: Callable[[Sequence[Span]], None],
    ) -> None:
        """Begin one that has no id yet.

        Args:
            ratio: of all traces, how many are kept.
            now: POSIX seconds.
            draw: random numbers.
            give: takes what is to be told.
        """
        self.invocation = ""
        self.about: dict[str, Attribute] = {}
        self._ratio = ratio
        self._draw = draw
        self._give = give
        self._since_ns = int(now * 1e9) - time.perf_counter_ns()
        self._id = 0
        self._parent = 0
        self._last = 0
        self._count = 0
        self._is_kept = True
        self._waiting: list[Span] | None = []

    @property
    def is_kept(self) -> bool:
        """False once it is known that nothing of it is told."""
        return self._is_kept

    @contextlib.contextmanager
    def first(self, name: str, kind: Kind, *, under: str = "") -> Iterator[Span]:
        """Around all of it. What raises is told by its class alone.

        Args:
            name: of the span.
            kind: of it.
            under: the invocation that this goes on with; empty for a call that has no name yet.
        """
        span = Span(name=name, kind=kind, begun_ns=self._now())
        if under:
            self.invocation = under
            self._identify(trace_of(under))
            span.parent_id = first_span_of(self._id)
            self._parent = self._last = span.span_id = self._draw(64) or 1
        try:
            yield span
        except BaseException as error:
            span.error, span.is_failure = told_of(error)
            raise
        finally:
            span.ended_ns = self._now()
            self._end(span)

    def stage(self, name: str, kind: Kind = Kind.INTERNAL) -> AbstractContextManager[Span]:
        """Around a part of it."""
        return _Stage(Span(name=name, kind=kind, begun_ns=self._now()), self.ended)

    def parent_of(self, span: Span) -> str:
        """What makes a part that is under way the parent of what is told elsewhere.

        Returns:
            A `traceparent` (W3C Trace Context §3.2), and the part is then told for certain; empty
            where it is not, or where it is not known yet of which trace it is.
        """
        if not self._id or not self._is_kept or self._count >= SPANS_MAX:
            return ""
        self._count += 1
        span.span_id = self._next()
        return f"00-{self._id:032x}-{span.span_id:016x}-{SAMPLED_RANDOM:02x}"

    def is_of(self, invocation: str) -> None:
        """This very request has been recorded as a call of this name."""
        self.invocation = invocation
        self._identify(trace_of(invocation))
        self._parent = self._last = first_span_of(self._id)

    def goes_on_with(self, invocation: str) -> None:
        """It tells of a part of a call alone, and has no first span."""
        self.is_of(invocation)
        self._last, self._waiting = self._draw(64), None

    def _identify(self, trace_id: int) -> None:
        self._id = trace_id
        self._is_kept = is_kept(trace_id, self._ratio)
        if not self._is_kept and self._waiting:
            self._waiting.clear()

    def _end(self, span: Span) -> None:
        if not self._id:
            # Nobody else knows of it, so that nobody has a say in whether it is kept.
            self._identify(self._draw(128) or 1)
            self._parent = self._last = first_span_of(self._id) or 1
        waiting, self._waiting = self._waiting or [], None
        if not self._is_kept:
            return
        span.trace_id = self._id
        span.span_id = span.span_id or self._parent
        span.attributes |= self.about
        if self._count > SPANS_MAX:
            span.attributes["callbroker.spans.left_out"] = self._count - SPANS_MAX
        for one in waiting:
            self._place(one)
        self._give([*waiting, span])

    def ended(self, span: Span) -> None:
        """A part of it has ended."""
        span.ended_ns = self._now()
        if not span.span_id:  # else it was counted when it was named
            self._count += 1
            if self._count > SPANS_MAX:
                return
        if not self._is_kept:
            return
        if self._waiting is not None:
            self._waiting.append(span)
        else:
            self._place(span)
            self._give([span])

    def _place(self, span: Span) -> None:
        span.trace_id, span.parent_id = self._id, self._parent
        span.span_id = span.span_id or self._next()

    def _next(self) -> int:
        self._last = (self._last + 1) & _HALF or 1
        return self._last

    def _now(self) -> int:
        return self._since_ns + time.perf_counter_ns()


class _Stage:
    """As a generator would do it, in half the time: a call has several."""

    __slots__ = ("_ended", "_span")

    def __init__(self, span: Span, ended: Callable[[Span], None]) -> None:
        self._span = span
        self._ended = ended

    def __enter__(self) -> Span:
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._span.error, self._span.is_failure = told_of(error)
        self._ended(self._span)


def told_of(error: BaseException) -> tuple[str, bool]:
    """What is said of an error, none of its words; and whether the broker is at fault."""
    match error:
        case BrokerError():
            return error.reason, not isinstance(error, CallerError)
        case Conflict():
            return f"conflict.{error.on.value}", False
        case Exception():
            return Defect.reason, True
        case _:
            return CANCELLED, False
