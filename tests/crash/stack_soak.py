"""Any process of the full stack is killed at any moment while agents call; the books must hold.

    python -m tests.crash.soak --stack --runs 300 --database postgres

One run is one blow or two, what starts again what was killed, and a call of each kind that comes
through after. Effects and answers are compared after each; every so many runs nothing more is
asked, all comes to an end, and the log is verified and compared too. As root: it starts an engine.
"""

import contextlib
import json
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import grpc
import psycopg

from broker.core.audit_lines import EntryLine, read_line
from broker.core.audit_verification import verify
from broker.sdk import BrokerError, SyncSession
from broker.store import load_or_create, signature_holds
from broker.store.heads import HEADS_FILE, notes_of
from broker.v1 import admin_pb2, admin_pb2_grpc
from tests.crash.ledger import Line
from tests.crash.stack import SANDBOXED, Stack, open_stack
from tests.crash.stack_agent import Agents, Told, decide, probe, session_of
from tests.crash.stack_books import Books, Row, at_any_time, once_settled
from tests.engine import OwnEngine

AGENTS = 3
SETTLE_EACH = 25
MOMENT_S = 1.0
AWAY_S = 0.4
SERVED_S = 90.0
SETTLED_S = 90.0
TWICE = 0.25
SANDBOXES = frozenset({"sandboxd", "container", "engine"})
SERVERS = frozenset({"postgres", "backend"})
_ROWS = "SELECT name, tool, request_id, state, attempt, hold FROM invocations"


@dataclass(kw_only=True)
class StackSoak:
    """So many runs over one stack.

    Attributes:
        blows: what was killed, and how often.
        wrong: every sentence that is wrong; none is the only good.
    """

    stack: Stack
    choose: random.Random
    told: Told = field(default_factory=Told)
    blows: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    runs: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def carry_out(self, runs: Sequence[Sequence[str]], *, say: Callable[[str], None]) -> list[str]:
        """All of them, each with what is killed in it, or as many as it takes to find a fault."""
        for first in range(0, len(runs), SETTLE_EACH):
            agents = [Agents(self.stack, self.told, seed=self._seed()) for _ in range(AGENTS)]
            for agent in agents:
                agent.start()
            try:
                for named in runs[first : first + SETTLE_EACH]:
                    self.run(named)
                    if self.wrong:
                        break
            finally:
                for agent in agents:
                    agent.stop()
            self.settle()
            say(self.summary())
            if self.wrong:
                break
        return self.wrong

    def run(self, named: Sequence[str]) -> None:
        """One: blows, and whatever was killed comes back."""
        self.runs += 1
        time.sleep(self.choose.random() * MOMENT_S)
        mending = []
        for name in named:
            again = self.stack.blows[name](self.choose)
            if again is None:
                continue
            self.blows[name] += 1
            mending.append(again)
        time.sleep(self.choose.random() * AWAY_S)
        while mending:
            mending.pop(self.choose.randrange(len(mending)))()
        self._comes_back(named)
        decide(self.stack, self._holds(), self.choose)
        told = [*self.told.answers]  # before the lines: an effect precedes its answer
        self.wrong += at_any_time(self.lines(), told)

    def settle(self) -> None:
        """Nothing more is asked: all comes to an end, and every book is compared."""
        until_s = time.monotonic() + SETTLED_S
        while any(row.state in {"RUNNING", "HELD"} for row in self.rows().values()):
            if time.monotonic() > until_s:
                break  # the books say what is still open
            decide(self.stack, self._holds(), self.choose)
            time.sleep(0.3)
        entries = self._entries()
        books = Books(
            rows=self.rows(), entries=entries, lines=self.lines(), answers=self.told.answers
        )
        self.wrong += once_settled(books)

    def rows(self) -> dict[str, Row]:
        """Every invocation, as a stranger reads it."""
        url, file = self.stack.database, "sqlite:///"
        if url.startswith(file):
            path = url.removeprefix(file)
            connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)
            with contextlib.closing(connection):
                found = connection.execute(_ROWS).fetchall()
        else:
            with psycopg.connect(url, autocommit=True, connect_timeout=10) as connected:
                found = connected.execute(_ROWS).fetchall()
        keys = ("name", "tool", "request_id", "state", "attempt", "hold")
        return {each[0]: Row(**dict(zip(keys, each, strict=True))) for each in found}

    def lines(self) -> list[Line]:
        """The ledger."""
        if not self.stack.ledger.exists():
            return []
        return [Line(**json.loads(line)) for line in self.stack.ledger.read_bytes().splitlines()]

    def summary(self) -> str:
        """How far it is."""
        took_s = time.monotonic() - self.started_s
        answers = Counter(answer.outcome for answer in self.told.answers)
        again = sum(line.attempt > 1 for line in self.lines())
        return (
            f"{self.runs} runs in {took_s:.0f} s; killed {_listed(self.blows)}; "
            f"told {_listed(answers)}, {self.told.errors} errors; "
            f"{len(self.lines())} hand-overs, {again} of them again"
        )

    def _seed(self) -> int:
        return self.choose.randrange(1 << 40)

    def _holds(self) -> list[str]:
        return [row.hold for row in self.rows().values() if row.state == "HELD"]

    def _comes_back(self, named: Sequence[str]) -> None:
        until_s = time.monotonic() + SERVED_S
        while not self.stack.is_served():
            assert time.monotonic() < until_s, self.stack.log("broker")
            if self.stack.has_ended():
                assert not SERVERS.isdisjoint(named), self.stack.log("broker")
                self.stack.start_broker()  # it does not start without its database, and says so
            time.sleep(0.05)
        with _patiently_opened(self.stack, until_s) as session:
            tools = ("pay",) if SANDBOXES.isdisjoint(named) else ("pay", SANDBOXED)
            for tool in tools:
                request_id = f"probe-{self.runs}-{tool}"
                self.told.answers.append(
                    probe(session, request_id, tool, within_s=until_s - time.monotonic())
                )

    def _entries(self) -> list[dict[str, object]]:
        with grpc.insecure_channel(self.stack.address) as channel:
            parts = admin_pb2_grpc.AdminServiceStub(channel).ExportAudit(
                admin_pb2.ExportAuditRequest(), metadata=self.stack.as_operator, timeout=SETTLED_S
            )
            lines = b"".join(part.lines for part in parts).splitlines()
        kept = self.stack.state / "checkpoints" / HEADS_FILE
        report = verify(
            lines,
            load_or_create(self.stack.state).public_key,
            signature_holds=signature_holds,
            checkpoints=notes_of(kept.read_bytes()),
        )
        if not report.ok:
            self.wrong.append(f"the log does not verify: {report.first_broken}")
        read = map(read_line, lines)
        return [dict(line.said) for line in read if isinstance(line, EntryLine)]


@contextlib.contextmanager
def _patiently_opened(stack: Stack, until_s: float) -> Iterator[SyncSession]:
    with contextlib.ExitStack() as closing:
        while True:
            try:
                session = closing.enter_context(session_of(stack))
            except BrokerError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.1)
            else:
                break
        yield session


def at_random(stack: Stack, runs: int, choose: random.Random) -> list[Sequence[str]]:
    """What is killed in each run: one thing, or two."""
    names = sorted(stack.blows)
    return [choose.sample(names, k=2 if choose.random() < TWICE else 1) for _ in range(runs)]


def soak_stack(*, kind: str, runs: int, seed: int) -> int:
    """All runs over a new stack; 1 where a book does not hold."""
    with OwnEngine() as engine, open_stack(kind, engine) as stack:
        choose = random.Random(seed)
        soak = StackSoak(stack=stack, choose=choose)
        wrong = soak.carry_out(at_random(stack, runs, choose), say=_say)
    for sentence in wrong or ["all books hold"]:
        _say(sentence)
    return int(bool(wrong))


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counted.most_common())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
