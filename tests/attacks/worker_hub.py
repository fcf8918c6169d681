"""A broker whose tools are carried out by workers, of which a test plays each."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from broker.core.credentials import CredentialClass
from broker.ports import Succeeded
from broker.tools.worker import Answer, Connection, Handover, Offer, ToolOffer, WorkerHub
from tests.world import REFUND, World, credential, world

WORKER = credential(CredentialClass.WORKER, "workers/shop", tools=("refund",))


OTHER = credential(CredentialClass.WORKER, "workers/other", tools=("other",))


PAID = Succeeded(result_json=b'{"refund_id":"r-1"}')


def offer(name: str = "refund", slots: int = 1, **changed) -> Offer:
    parameters = {**REFUND["arguments"], **changed}
    return Offer(slots=slots, tools=(ToolOffer(name=name, parameters_schema=parameters),))


@contextlib.asynccontextmanager
async def hub_world(path: Path) -> AsyncIterator[tuple[World, WorkerHub]]:
    async with world(path) as w:
        hub = WorkerHub(control=w.room.current, store=w.store, clock=w.clock, ids=w.ids)
        w.runner.instead = hub
        yield w, hub


async def next_call(connection: Connection) -> Handover:
    async for message in connection.handovers():
        if isinstance(message, Handover):
            return message
    raise AssertionError("closed")


def answer(handover: Handover, outcome=PAID, *, token: str = "") -> Answer:
    return Answer(
        invocation=handover.call.invocation.name,
        fencing_token=token or handover.call.fencing_token,
        outcome=outcome,
    )
