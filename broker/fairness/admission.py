"""A call is let in while its agent, principal and session have room, and time, for one more.

What is turned away here was not looked at: nothing was decided and nothing is stored of it but a
count. The refusal says when to ask again.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from broker.core.calls import Caller
from broker.core.errors import RETRY_SOON_S, LimitExceeded, retry_after
from broker.core.fairness import Fairness, Share
from broker.core.limits import SAVED_UP_S
from broker.ports import Clock

_BUCKETS_MAX: Final = 4_096
_FULL: Final = "Nothing was decided: {who} has as many calls under way as it may."
_FAST: Final = "Nothing was decided: {who} asks faster, or for more, than it may."


@dataclass(slots=True)
class _Bucket:
    """What is left of a rate that fills up again as time goes by."""

    per_s: float
    left: float
    at: float

    def fill(self, now: float) -> None:
        passed_s = max(now - self.at, 0.0)  # a clock that goes back gives nothing
        self.left = min(self.left + passed_s * self.per_s, self.per_s * SAVED_UP_S)
        self.at = now

    def wait_s(self, amount: float) -> float:
        """Until there is something left; one that is larger than all of it empties it."""
        needed = min(amount, self.per_s * SAVED_UP_S)
        return max(needed - self.left, 0.0) / self.per_s


class Admission:
    """Counts what is under way and what was asked. For one event loop."""

    def __init__(self, *, fairness: Fairness, clock: Clock) -> None:
        self._fairness = fairness
        self._clock = clock
        self._under_way: Counter[str] = Counter()
        self._buckets: dict[str, _Bucket] = {}

    def under_way(self, name: str) -> int:
        """How many calls an agent, principal or session has, by `agent {id}` and the like."""
        return self._under_way[name]

    @contextmanager
    def room(self, caller: Caller) -> Iterator[None]:
        """Have room for one call while the block runs.

        Raises:
            LimitExceeded: there is none; the block has not begun.
        """
        shares = self._of(caller)
        for name, who, share in shares:
            if self._under_way[name] >= share.calls_max:
                raise _later(_FULL.format(who=who), RETRY_SOON_S)
        names = [name for name, _, _ in shares]
        self._under_way.update(names)
        try:
            yield
        finally:
            self._under_way.subtract(names)
            for name in names:
                if not self._under_way[name]:
                    del self._under_way[name]

    def spend(self, caller: Caller, *, size: int) -> None:
        """Count a call against all rates that it falls under, or against none.

        Args:
            caller: who asks.
            size: of its arguments, bytes.

        Raises:
            LimitExceeded: it comes too soon.
        """
        now = self._clock()
        spent: list[tuple[str, _Bucket, float]] = []
        for name, who, share in self._of(caller):
            for what, per_s, amount in (
                ("calls", share.calls_per_s, 1.0),
                ("bytes", share.bytes_per_s, float(size)),
            ):
                key = f"{what} {name}"
                bucket = self._bucket(key, per_s, now)
                wait_s = bucket.wait_s(amount)
                if wait_s > 0.0:
                    raise _later(_FAST.format(who=who), wait_s)
                spent.append((key, bucket, amount))
        for key, bucket, amount in spent:
            bucket.left -= min(amount, bucket.left)
            self._buckets[key] = bucket  # it was full until now, and may have been dropped

    def _of(self, caller: Caller) -> tuple[tuple[str, str, Share], ...]:
        fairness, session = self._fairness, caller.session
        return (
            (f"agent {caller.agent.id}", "this agent", fairness.agent),
            (f"principal {caller.principal.id}", "this principal", fairness.principal),
            (f"session {session.name}", "this session", fairness.session),
        )

    def _bucket(self, name: str, per_s: float, now: float) -> _Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= _BUCKETS_MAX:
                self._drop_full(now)
            bucket = self._buckets[name] = _Bucket(per_s, per_s * SAVED_UP_S, now)
        bucket.fill(now)
        return bucket

    def _drop_full(self, now: float) -> None:
        """One that is full is as good as none."""
        for bucket in self._buckets.values():
            bucket.fill(now)
        full = [n for n, one in self._buckets.items() if one.left >= one.per_s * SAVED_UP_S]
        for name in full:
            del self._buckets[name]


def _later(message: str, wait_s: float) -> LimitExceeded:
    return LimitExceeded(message, metadata=retry_after(wait_s))
