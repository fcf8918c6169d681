"""Opens a guarded shop: nothing is simulated.

`broker.app`, SQLite, a supervised OPA and an SDK worker run in a thread of this process.
"""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import structlog

from broker import bootstrap, config
from broker.app import Application
from broker.log import configure
from broker.notify_settings import Notify
from broker.sdk import Worker
from broker.telemetry_settings import Metrics, Traces
from examples.support_desk.operating import Operator
from tests.e2e.guarded_shop import GuardedShop, MovableClock, activate
from tests.e2e.refusals import DEADLINE_S
from tests.e2e.shop_tools import (
    AGENT,
    ESCAPES,
    FAMILY,
    LINGER_S,
    NOT_GRANTED,
    OTHER_AGENT,
    TOOLS,
)
from tests.fakes.policy_trees import opa
from tests.replay.running import Loop


@contextlib.contextmanager
def open_shop(
    *,
    notify: tuple[Notify, ...] = (),
    metrics: Metrics | None = None,
    traces: Traces | None = None,
) -> Iterator[GuardedShop]:
    """A broker with the tools and rules above, and a worker of all of them but `ledger`."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shop-")))
        _make_records(directory / "shop.db")
        stack.callback(structlog.configure, **structlog.get_config())
        configure(level="error")
        settings = settings_in(directory).model_copy(
            update={
                "notify": notify,
                "metrics": metrics or Metrics(),
                "traces": traces or Traces(),
            }
        )
        token = bootstrap.operator_token(settings)
        loop = stack.enter_context(Loop())
        clock = MovableClock()
        application = Application(settings, clock=clock)
        loop.run(application.start())
        stack.callback(lambda: loop.run(application.stop()))
        operator = stack.enter_context(Operator(application.address, token))
        channel = stack.enter_context(grpc.insecure_channel(application.address))
        shop = GuardedShop(
            application=application,
            loop=loop,
            directory=directory,
            clock=clock,
            operator=operator,
            operator_token=token,
            channel=channel,
        )
        _provide(shop)
        names = [str(t["name"]) for t in TOOLS if t["name"] != "ledger"]
        worker = _worker(shop, operator.create_token("worker", "workers/shop", tools=names))
        loop.run(worker.start(timeout_s=DEADLINE_S))
        stack.callback(lambda: loop.run(worker.stop()))
        yield shop


def settings_in(directory: Path) -> config.Settings:
    """Those of a broker whose state and shop are in this directory."""
    return config.Settings(
        listen="127.0.0.1:0",
        state=directory / "state",
        database=f"sqlite:///{directory}/state/callbroker.db",
        opa=opa(),
        sources={"shop": config.Source(url=f"sqlite:///{directory}/shop.db")},
        log_level="error",
    )


def _provide(shop: GuardedShop) -> None:
    shop.operator.put_tools(TOOLS)
    activate(shop, FAMILY)
    for document in TOOLS:
        if document["name"] != NOT_GRANTED:
            for subject in ("groups/customers", AGENT, OTHER_AGENT):
                shop.operator.grant(subject, f"{document['name']}:use")


def _worker(shop: GuardedShop, token: str) -> Worker:
    worker = Worker(shop.address, token, slots=256, drain_s=1.0)

    async def read_note(note_id: str) -> str:
        shop.ran.append("read_note")
        return note_id

    async def refund(order_id: str, amount_minor: int, note: str = "") -> str:
        del amount_minor, note
        shop.ran.append("refund")
        return order_id

    async def delete_note(note_id: str, labels: dict[str, str]) -> str:
        del labels
        shop.ran.append("delete_note")
        return note_id

    async def wipe(note_id: str) -> str:
        shop.ran.append("wipe")
        return note_id

    async def probe(address: str, size: int) -> str:
        del size
        shop.ran.append("probe")
        return address

    async def archive(note_id: str) -> str:
        shop.ran.append("archive")
        return note_id

    async def linger(line: str) -> str:
        await asyncio.sleep(LINGER_S)
        return line

    for function in (read_note, refund, delete_note, wipe, probe, archive, linger):
        worker.tool(function.__name__)(function)
    return worker


def _make_records(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as records, records:
        records.execute("CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT)")
        records.executemany(
            "INSERT INTO notes VALUES (?, ?)", [("n-1", "A lamp"), ("n-2", f"Lamp{ESCAPES}")]
        )
