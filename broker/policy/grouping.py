"""Lets questions that wait together share one query: a matter of speed and of nothing else.

A question goes alone, at once, until as many are under way as the engine has processors; what then
gathers goes as a group as soon as one of those is answered, so that nobody ever waits for company.
A group that errs, answers oddly or passes its short deadline has decided nothing: its members are
asked again one by one. Whoever errs or is slow alone travels apart from then on, one question at a
time, until enough quick answers in a row. What somebody else asks changes no answer.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable
from broker.policy.company import Company, wanted
from broker.policy.opinion import denied

GROUP_QUESTIONS_MAX: Final = 32
GROUP_BYTES_MAX: Final = 256 * 1024
GROUP_DEADLINE_S: Final = 0.25
# On a machine that is busy all over nobody is slow: what is late is told by what is usual, bounded.
USUAL_TIMES: Final = 16
STRETCHED_TIMES_MAX: Final = 4
QUICK_ANSWERS: Final = 16
SUSPECTS_MAX: Final = 1_000

# Beside the bundle, in roots of its own: a bundle of any release can be asked in groups.
GROUP_ROOT: Final = "callbroker_group"
GROUP_RULE: Final = "decisions"
# The reference behind `with input as` must be bound first: OPA takes any other for undefined.
GROUP_MODULE: Final = f"""\
package {GROUP_ROOT}

{GROUP_RULE}[number] := decision if {{
	some number, asked in input.batch
	decision := data.broker.decision.decision with input as asked
}}
"""

Key = tuple[str, str]


class Asks(Protocol):
    """The engine; whoever cancels one of these stops its evaluation."""

    async def one(self, question: bytes) -> Opinion:
        """What it says of one question.

        Raises:
            PolicyUnavailable: nobody is there; nothing was decided.
        """
        ...

    async def many(self, questions: Sequence[bytes]) -> Sequence[Opinion] | None:
        """What it says of each, in their order; None where the group as a whole was spoilt.

        Raises:
            PolicyUnavailable: nobody is there; nothing was decided.
        """
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class _Asked:
    """One question that waits for its answer; cancelled once nobody waits any more."""

    question: bytes
    key: Key
    answer: asyncio.Future[Opinion]
    company: Company | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class _Request:
    """What is under way: one question, or a group.

    Attributes:
        is_apart: it takes no place of those who are not suspect.
        is_late: it passed the short deadline.
    """

    members: list[_Asked]
    is_apart: bool = False
    is_late: bool = False
    begun_s: float = 0.0
    task: asyncio.Task[Sequence[Opinion] | None] | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for any of it."""
        return not all(asked.answer.done() for asked in self.members)

    def stop(self) -> None:
        """Stop the evaluation."""
        if self.task is not None:
            self.task.cancel()


@dataclass(slots=True, kw_only=True)
class Grouping:
    """The order in which one engine is asked. Lives on one event loop.

    Attributes:
        asks: the engine.
        revision: of the bundle that must answer.
        places: requests under way at once, and as many again of those who travel apart.
        deadline_s: what a group, or a question of nobody suspect, may take before it is set apart;
            more where answers take long of late, up to four times that.
    """

    asks: Asks
    revision: str
    places: int
    deadline_s: float = GROUP_DEADLINE_S
    _waiting: deque[_Asked] = field(default_factory=deque)
    _again: deque[_Asked] = field(default_factory=deque)
    _apart: dict[Key, deque[_Asked]] = field(default_factory=dict)
    _under_way: set[_Request] = field(default_factory=set)
    _under_way_apart: dict[Key, _Request] = field(default_factory=dict)
    _suspects: dict[Key, int] = field(default_factory=dict)
    _usual_s: float = 0.0
    _was_again: bool = False
    _is_closed: bool = False

    async def ask(self, question: bytes, *, key: Key, deadline_s: float) -> Opinion:
        """What policy says of a question, whatever else is asked.

        Args:
            question: as JSON.
            key: who is suspect where it errs or is slow: tool and agent.
            deadline_s: seconds, from now, waiting included.

        Returns:
            The opinion, or the DENY `POLICY_LATE`.

        Raises:
            PolicyUnavailable: nobody is there; nothing was decided.
        """
        if self._is_closed:
            raise PolicyUnavailable("Policy cannot be asked now.")
        answer: asyncio.Future[Opinion] = asyncio.get_running_loop().create_future()
        asked = _Asked(question=question, key=key, answer=answer, company=wanted())
        if key in self._suspects:
            self._apart.setdefault(key, deque()).append(asked)
        else:
            self._waiting.append(asked)
        self._go()
        try:
            async with asyncio.timeout(deadline_s):
                return await answer
        except TimeoutError:
            return denied("POLICY_LATE", revision=self.revision)
        finally:
            answer.cancel()
            self._forget()

    def close(self) -> None:
        """Stop what is under way; whoever waits learns that nothing was decided."""
        self._is_closed = True
        lines: Iterable[Iterable[_Asked]] = (self._waiting, self._again, *self._apart.values())
        waiting = [asked for line in lines for asked in line]
        for request in (*self._under_way, *self._under_way_apart.values()):
            waiting += request.members
            request.stop()
        _tell_unavailable(waiting, PolicyUnavailable("Policy cannot be asked now."))

    def _forget(self) -> None:
        """Stop what nobody waits for any more."""
        for request in (*self._under_way, *self._under_way_apart.values()):
            if not request.is_wanted:
                request.stop()

    def _go(self) -> None:
        """Begin whatever there is a place for."""
        if self._is_closed:
            return
        while len(self._under_way) < self.places and (members := self._next()):
            self._begin(_Request(members=members))
        for key in list(self._apart):
            if len(self._under_way_apart) >= self.places:
                break
            if key in self._under_way_apart:
                continue
            asked = _first(self._apart[key])
            if not self._apart[key]:
                del self._apart[key]
            if asked is not None:
                self._begin(_Request(members=[asked], is_apart=True))

    def _next(self) -> list[_Asked]:
        """One that is asked again, and what waits, in turns: neither holds up the other."""
        self._was_again = not self._was_again
        orders: tuple[Callable[[], list[_Asked]], ...] = (self._one_again, self._group)
        for take in orders if self._was_again else orders[::-1]:
            if members := take():
                return members
        return []

    def _one_again(self) -> list[_Asked]:
        asked = _first(self._again)
        return [asked] if asked is not None else []

    def _group(self) -> list[_Asked]:
        free = self.places - len(self._under_way)
        size = min(GROUP_QUESTIONS_MAX, math.ceil(len(self._waiting) / max(free, 1)))
        members: list[_Asked] = []
        room = GROUP_BYTES_MAX
        while len(members) < size and (asked := _first(self._waiting)):
            if asked.key in self._suspects:
                self._apart.setdefault(asked.key, deque()).append(asked)
                continue
            if members and len(asked.question) > room:
                self._waiting.appendleft(asked)
                break
            room -= len(asked.question)
            members.append(asked)
        return members

    def _begin(self, request: _Request) -> None:
        loop = asyncio.get_running_loop()
        for asked in request.members:
            if asked.company is not None:
                asked.company.questions = len(request.members)
                asked.company.rounds += 1
        if request.is_apart:
            self._under_way_apart[request.members[0].key] = request
        else:
            self._under_way.add(request)
        request.task = loop.create_task(self._answers(request.members))
        request.task.add_done_callback(lambda task: self._ended(request, task))
        request.begun_s = loop.time()
        patience_s = min(USUAL_TIMES * self._usual_s, STRETCHED_TIMES_MAX * self.deadline_s)
        late_s = request.begun_s + max(self.deadline_s, patience_s)
        request.timer = loop.call_at(late_s, self._pass_deadline, request)

    async def _answers(self, members: Sequence[_Asked]) -> Sequence[Opinion] | None:
        if len(members) == 1:
            return [await self.asks.one(members[0].question)]
        return await self.asks.many([asked.question for asked in members])

    def _pass_deadline(self, request: _Request) -> None:
        """A group is given up; one that is alone gives up its place, and goes on where it can."""
        request.is_late = True
        if len(request.members) > 1:
            request.stop()
            return
        key = request.members[0].key
        self._suspect(key)
        if request.is_apart:
            return
        if key not in self._under_way_apart and len(self._under_way_apart) < self.places:
            self._under_way.discard(request)
            request.is_apart = True
            self._under_way_apart[key] = request
            self._go()
        else:
            request.stop()

    def _ended(self, request: _Request, task: "asyncio.Task[Sequence[Opinion] | None]") -> None:
        if request.timer is not None:
            request.timer.cancel()
        if request.is_apart:
            key = request.members[0].key
            self._under_way_apart.pop(key, None)
            if line := self._apart.pop(key, None):
                self._apart[key] = line  # behind the others: each has its turn
        else:
            self._under_way.discard(request)
        if task.cancelled():
            self._ask_again(request)
        elif (error := task.exception()) is not None:
            _tell_unavailable(request.members, error)
        elif (opinions := task.result()) is None:
            self._ask_again(request)
        else:
            self._tell(request, opinions)
        self._go()

    def _ask_again(self, request: _Request) -> None:
        members = [asked for asked in request.members if not asked.answer.done()]
        if len(request.members) > 1:
            self._again.extend(members)
        else:
            for asked in members:
                self._apart.setdefault(asked.key, deque()).append(asked)

    def _tell(self, request: _Request, opinions: Sequence[Opinion]) -> None:
        for asked, opinion in zip(request.members, opinions, strict=True):
            if not asked.answer.done():
                asked.answer.set_result(opinion)
        if not request.is_apart:
            took_s = asyncio.get_running_loop().time() - request.begun_s
            self._usual_s += (took_s - self._usual_s) / 8
        if len(request.members) == 1:
            key = request.members[0].key
            if opinions[0].verdicts[0].code == "POLICY_ERROR":
                self._suspect(key)
            elif not request.is_late and key in self._suspects:
                self._suspects[key] -= 1
                if self._suspects[key] <= 0:
                    del self._suspects[key]

    def _suspect(self, key: Key) -> None:
        """Counted in answers, not in time: whoever is rarely asked is apart for longer."""
        self._suspects.pop(key, None)
        self._suspects[key] = QUICK_ANSWERS
        while len(self._suspects) > SUSPECTS_MAX:
            del self._suspects[next(iter(self._suspects))]


def _first(line: deque[_Asked]) -> _Asked | None:
    """The first that somebody still waits for."""
    while line:
        asked = line.popleft()
        if not asked.answer.done():
            return asked
    return None


def _tell_unavailable(members: Iterable[_Asked], error: BaseException) -> None:
    for asked in members:
        if not asked.answer.done():
            asked.answer.set_exception(_own(error))


def _own(error: BaseException) -> BaseException:
    """One for each: whoever raises an exception writes into it."""
    if not isinstance(error, PolicyUnavailable):
        return error
    told = PolicyUnavailable(str(error))
    told.__cause__ = error
    return told
