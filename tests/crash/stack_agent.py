"""Agents that keep calling whatever dies, a person who keeps deciding, and what they were told."""

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import grpc

from broker.sdk import BrokerError, Failed, Held, Refused, Succeeded, SyncSession, connect_sync
from broker.sdk.outcomes import SyncOutcome
from broker.v1 import review_pb2, review_pb2_grpc
from tests.crash.stack import AGENT, CUSTOMER, LARGE_MINOR, SANDBOXED, SCOPE, SMALL_MINOR, Stack

ANSWER_S = 8.0
PAUSE_S = 0.25
CALLS_OF_SESSION = 40
LINGER_MS = 400
TOOLS = ("pay", "pay", "send", "send", SANDBOXED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an agent was told of one of its calls.

    Attributes:
        outcome: Succeeded, Refused, Failed, Unknown or Held.
        result: of one that succeeded.
    """

    request_id: str
    tool: str
    order: str
    invocation: str
    outcome: str
    code: str = ""
    result: object = None


@dataclass(kw_only=True)
class Told:
    """All answers; `errors` is how often nobody knew."""

    answers: list[Answer] = field(default_factory=list)
    errors: int = 0


class Agents(threading.Thread):
    """One that calls until it is stopped; `told` is shared by several."""

    def __init__(self, stack: Stack, told: Told, *, seed: int) -> None:
        super().__init__(daemon=True)
        self._stack = stack
        self._told = told
        self._choose = random.Random(seed)
        self._seed = seed
        self._stopped = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Until `stop`."""
        try:
            numbers = itertools.count(1)
            while not self._stopped.wait(PAUSE_S):
                with contextlib.suppress(BrokerError), session_of(self._stack) as session:
                    for number in itertools.islice(numbers, CALLS_OF_SESSION):
                        if self._stopped.wait(self._choose.random() * PAUSE_S):
                            return
                        self._call(session, f"r-{self._seed}-{number}")
        except BaseException as failure:  # noqa: BLE001 - whoever stops it is told
            self.failure = failure

    def stop(self) -> None:
        """Return once its last call is over."""
        self._stopped.set()
        self.join(ANSWER_S * 10)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure

    def _call(self, session: SyncSession, request_id: str) -> None:
        tool = self._choose.choice(TOOLS)
        is_large = tool != SANDBOXED and self._choose.random() < 0.2
        given = {
            "order": request_id,
            "amount_minor": LARGE_MINOR if is_large else SMALL_MINOR,
            "linger_ms": self._choose.randrange(LINGER_MS),
        }
        for _ in range(self._choose.randint(1, 4)):  # said again, it is asked once
            try:
                outcome = session.invoke(
                    tool, given, request_id=request_id, deadline_s=ANSWER_S, wait_s=0.0
                )
            except BrokerError:
                self._told.errors += 1
                if self._stopped.wait(0.3):
                    return
                continue
            self._told.answers.append(told_of(outcome, request_id, tool))
            return


def told_of(outcome: SyncOutcome, request_id: str, tool: str) -> Answer:
    """What it says."""
    kinds = {Succeeded: "Succeeded", Refused: "Refused", Failed: "Failed"}
    kind = next((name for cls, name in kinds.items() if isinstance(outcome, cls)), "")
    return Answer(
        request_id=request_id,
        tool=tool,
        order=request_id,
        invocation=outcome.name,
        outcome=kind or ("Held" if isinstance(outcome, Held) else "Unknown"),
        code=str(getattr(outcome, "code", "")),
        result=outcome.result if isinstance(outcome, Succeeded) else None,
    )


@contextlib.contextmanager
def session_of(stack: Stack) -> Iterator[SyncSession]:
    """A session of one's own."""
    with connect_sync(
        stack.address, host_token=stack.tokens["host"], agent_token=stack.tokens["agent"]
    ) as client:
        mandate = client.create_mandate(
            principal=CUSTOMER, agent=AGENT, words="Pay it.", scopes=[SCOPE]
        )
        yield client.open_session(mandate)


def decide(stack: Stack, holds: Iterable[str], choose: random.Random) -> None:
    """Approve most of what waits, reject the rest; what cannot be decided now waits on."""
    metadata = (("authorization", f"Bearer {stack.tokens['reviewer']}"),)
    with grpc.insecure_channel(stack.address) as channel:
        stub = review_pb2_grpc.ReviewServiceStub(channel)
        for name in holds:
            with contextlib.suppress(grpc.RpcError):
                asked = review_pb2.GetHoldRequest(name=name)
                shown = stub.GetHold(asked, metadata=metadata, timeout=ANSWER_S).hold
                if choose.random() < 0.9:
                    approval = review_pb2.ApproveHoldRequest(
                        name=name, etag=shown.etag, call_digest=shown.call_digest
                    )
                    stub.ApproveHold(approval, metadata=metadata, timeout=ANSWER_S)
                else:
                    rejection = review_pb2.RejectHoldRequest(
                        name=name, etag=shown.etag, reason="No."
                    )
                    stub.RejectHold(rejection, metadata=metadata, timeout=ANSWER_S)


def probe(session: SyncSession, request_id: str, tool: str, *, within_s: float) -> Answer:
    """A call that comes through, however often it is made anew until then.

    Raises:
        AssertionError: none did in time; with the last word.
    """
    until_s = time.monotonic() + within_s
    number, last = 0, ""
    while time.monotonic() < until_s:
        number += 1
        given = {"order": f"{request_id}-{number}", "amount_minor": 1, "linger_ms": 0}
        try:
            outcome = session.invoke(
                tool, given, request_id=f"{request_id}-{number}", deadline_s=ANSWER_S
            )
        except BrokerError as error:
            last = repr(error)
            time.sleep(0.1)
            continue
        answer = told_of(outcome, f"{request_id}-{number}", tool)
        if answer.outcome == "Succeeded":
            return answer
        last = f"{answer}"
        time.sleep(0.1)
    raise AssertionError(f"No call of {tool} came through in {within_s:.0f} s: {last}")
