"""An attempt runs once in this process, and its answer is kept until the broker has it.

Attempts are told apart by fencing token: a second delivery of one that runs is dropped, of one that
has ended gets the same answer again. Each is remembered with the broker that handed it over, which
is the one that waits for its answer. Pure: the worker feeds it and sends what it says.
"""

from collections import Counter, OrderedDict
from typing import Final

from broker.v1 import worker_pb2

# Of attempts whose answer the broker has: only a late duplicate can still name one.
_SETTLED_MAX: Final = 10_000


class Attempts:
    """What this process has been handed."""

    def __init__(self) -> None:
        self._running: dict[str, str] = {}
        self._answers: dict[str, worker_pb2.WorkerAnswer] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._brokers: dict[str, str] = {}

    @property
    def running(self) -> int:
        """How many have not ended."""
        return len(self._running)

    @property
    def unacknowledged(self) -> tuple[worker_pb2.WorkerAnswer, ...]:
        """Answers that the broker may not have, oldest first."""
        return tuple(self._answers.values())

    @property
    def by_broker(self) -> Counter[str]:
        """How many have not ended, by the broker that handed them over."""
        return Counter(self._brokers[token] for token in self._running)

    def broker(self, fencing_token: str) -> str:
        """Who handed an attempt over that is not settled; empty where it is not known."""
        return self._brokers.get(fencing_token, "")

    def begin(self, handover: worker_pb2.Handover, broker: str = "") -> bool:
        """Takes an attempt up; False where this process knows it already."""
        token = handover.fencing_token
        if token in self._running or token in self._answers or token in self._settled:
            return False
        self._running[token] = handover.invocation
        self._brokers[token] = broker
        return True

    def kept(self, fencing_token: str) -> worker_pb2.WorkerAnswer | None:
        """The answer of an attempt that has ended and is not acknowledged."""
        return self._answers.get(fencing_token)

    def end(self, answer: worker_pb2.WorkerAnswer) -> bool:
        """Keeps an answer; False where the attempt has ended before: the first answer stands."""
        if self._running.pop(answer.fencing_token, None) is None:
            return False
        self._answers[answer.fencing_token] = answer
        return True

    def abandon(self, why: str) -> tuple[worker_pb2.WorkerAnswer, ...]:
        """Ends all that run as UNKNOWN."""
        answers = tuple(
            worker_pb2.WorkerAnswer(invocation=invocation, fencing_token=token, unknown=why)
            for token, invocation in self._running.items()
        )
        for answer in answers:
            self.end(answer)
        return answers

    def acknowledge(self, fencing_token: str) -> None:
        """The broker has the answer, or wants it no more."""
        self._answers.pop(fencing_token, None)
        if fencing_token not in self._running:
            self._brokers.pop(fencing_token, None)
        self._settled[fencing_token] = None
        if len(self._settled) > _SETTLED_MAX:
            self._settled.popitem(last=False)
