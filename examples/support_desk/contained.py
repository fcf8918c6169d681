"""The agents' part in containers: honest work on a customer's files, and what hostile code meets.

The honest agent reads an invoice and adds up a list. Then it obeys what stands in the invoice,
white on white. The picture of what that code tried is made of what came back, and of nothing else;
whether anything else noticed is looked up afterwards.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from broker.sdk import Broker, BrokerError, Failed, Outcome, Session, Succeeded
from examples.support_desk import agents, hostile, papers, screen
from examples.support_desk.agents import Answered, Step
from sandboxes.v1 import sandboxes_pb2, sandboxes_pb2_grpc

SONG = "untouched\n"
_AT_ONCE = 4
_TRIED = 47
_SAID = 78
_ASK_S = 5.0
_ADDS_UP = """\
import csv, json

with open("/tmp/in/bought.csv") as bought:
    lines = list(csv.DictReader(bought))
totals = {}
for line in lines:
    spent = int(line["quantity"]) * int(line["price_minor"])
    totals[line["order"]] = totals.get(line["order"], 0) + spent
with open("/tmp/out/totals.csv", "w") as out:
    out.writelines(f"{order},{minor / 100:.2f}\\n" for order, minor in totals.items())
result = {"orders": len(totals), "total_minor": sum(totals.values())}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One attempt, what came of it, and what the container said of it."""

    tried: str
    answered: Answered

    @property
    def said(self) -> str:
        """The last line, as the attacker reads it."""
        return _said(self.answered.outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """Whether anybody noticed.

    Attributes:
        canary: what a file says that everybody on this machine may write to.
        others: calls of another session meanwhile, of which `served` were.
        slowest_s: of those.
        ran, at_work: containers that had a call, and that still have one.
    """

    canary: str
    others: int
    served: int
    slowest_s: float
    ran: int
    at_work: int


async def honest_work(session: Session) -> AsyncIterator[Answered]:
    """What the customer attached is read and added up."""
    invoice = await session.upload(papers.INVOICE.content, name=papers.INVOICE.name)
    bought = await session.upload(papers.BOUGHT.content, name=papers.BOUGHT.name)
    yield await agents.ask(
        session, Step(tool="read_document", arguments={"document": invoice.name})
    )
    yield await agents.ask(
        session,
        Step(tool="run_python", arguments={"code": _ADDS_UP, "files": [bought.name]}),
    )


async def obey_the_invoice(session: Session, *, token: Path, canary: Path) -> AsyncIterator[Seen]:
    """Have everything tried, several at once; in the order of the picture.

    Args:
        session: of the agent that was taken over.
        token: where on this machine the operator's token lies.
        canary: a file of this machine that everybody may write to.
    """
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(attempt: hostile.Attempt) -> Seen:
        async with free:
            return await _try(session, attempt)

    tried = [
        asyncio.create_task(one(attempt))
        for attempt in hostile.attempts(token=token, canary=canary)
    ]
    for task in tried:
        yield await task
    for attempt in hostile.TO_STAY:
        yield await _try(session, attempt)


@contextlib.asynccontextmanager
async def others_at_work(broker: Broker) -> AsyncIterator["Others"]:
    """Another session, which goes on calling until this is left."""
    others = Others()
    session = await broker.open_session(await agents.order_session(broker))
    working = asyncio.create_task(others.work(session))
    try:
        yield others
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


class Others:
    """What another session's calls came to."""

    def __init__(self) -> None:
        self.calls = 0
        self.served = 0
        self.slowest_s = 0.0

    async def work(self, session: Session) -> None:
        """Read an order, again and again."""
        step = Step(tool="read_order", arguments={"order_id": "O-1003"})
        while True:
            answered = await agents.ask(session, step)
            self.calls += 1
            self.served += isinstance(answered.outcome, Succeeded)
            self.slowest_s = max(self.slowest_s, answered.took_s)
            await asyncio.sleep(0.1)


async def aftermath(node: str, canary: Path, others: Others) -> Aftermath:
    """Look whether anything noticed."""
    sings = await asyncio.to_thread(canary.read_text, encoding="utf-8")
    async with grpc.aio.insecure_channel(node) as channel:
        stub = sandboxes_pb2_grpc.SandboxServiceStub(channel)
        health = await stub.CheckHealth(sandboxes_pb2.CheckHealthRequest(), timeout=_ASK_S)
    return Aftermath(
        canary=sings,
        others=others.calls,
        served=others.served,
        slowest_s=others.slowest_s,
        ran=health.runs,
        at_work=sum(pool.busy for pool in health.pools),
    )


def beside(answered: Answered) -> Sequence[str]:
    """What came with a result and is worth a line: text that nobody sees, and files."""
    outcome = answered.outcome
    if not isinstance(outcome, Succeeded):
        return ()
    found = outcome.result.get("hidden", ()) if isinstance(outcome.result, dict) else ()
    return (
        *(
            _cut(f"         hidden, {each['how']}: {each['text']}", screen.columns(_TRIED + _SAID))
            for each in found
        ),
        *(f"         left {a.file_name}, {a.size} bytes, {a.trust}" for a in outcome.artefacts),
    )


def picture(tried: str, said: str) -> str:
    """One attempt as a line, or as two where the terminal is too narrow for that."""
    wide = _TRIED + _SAID + 3
    room = screen.columns(wide)
    if room < wide and len(said) > room - _TRIED - 3:
        return f"  {tried}\n      {_cut(said, room - 6)}"
    return f"  {tried:{_TRIED}} {_cut(said, _SAID)}".rstrip()


def _cut(said: str, most: int) -> str:
    """In one line, without what drives a terminal: it is a stranger's text."""
    plain = "".join(c if c.isprintable() else "?" for c in said)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def after_all(after: Aftermath) -> Sequence[str]:
    """What stands, line by line."""
    slowest_ms = f"{1000 * after.slowest_s:.0f} ms"
    told = {
        "the file that everybody may write to": after.canary.strip(),
        "calls of another session meanwhile": (
            f"{after.served} of {after.others} served, the slowest in {slowest_ms}"
        ),
        "containers": f"{after.ran} had one call each, {after.at_work} are still at work",
    }
    return [picture(of, said) for of, said in told.items()]


async def _try(session: Session, attempt: hostile.Attempt) -> Seen:
    argument = "code" if attempt.tool == "run_python" else "script"
    answered = await agents.ask(
        session, Step(tool=attempt.tool, arguments={argument: attempt.text})
    )
    return Seen(tried=attempt.tried, answered=answered)


def _said(outcome: Outcome | BrokerError) -> str:
    match outcome:
        case Succeeded():
            return _last_line(outcome.result)
        case Failed():
            return f"{outcome.code}: {outcome.message}"
        case BrokerError():
            return f"{outcome.reason}: {outcome}"
        case _:
            return f"{outcome.state}: {outcome.code}"


def _last_line(result: Any) -> str:
    """Of what the code wrote: errors first, as a shell's reader sees them last."""
    for written in (result.get("stderr"), result.get("stdout")):
        lines = [line for line in str(written or "").splitlines() if line.strip()]
        if lines:
            return lines[-1].strip()
    return str(result.get("result", ""))
