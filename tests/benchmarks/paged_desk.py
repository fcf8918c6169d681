"""A support desk with a long past, many who look at it, and a queue as long as one asks for.

Broker and worker are processes of their own. The past and the sign-ins are put into the store
before the broker opens it; what waits is asked for by an agent, as anywhere.
"""

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from broker import bootstrap, config
from broker.app import system_clock
from broker.core.calls import Person
from broker.core.holds import Reviewer
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import AddHold, AddInvocation, AddReview
from broker.identity import LOCAL_ISSUER
from broker.sdk import SyncBroker, SyncHeld, SyncSession, connect_sync
from broker.sign_ins import SignIns
from broker.store import SqlStore, load_or_create, upgrade
from broker.tools.registry import read_manifests
from broker.yaml_documents import read_yaml
from examples.support_desk import agents, records
from examples.support_desk.operating import Operator
from tests.benchmarks.guarded_echo import free_port, listens
from tests.fakes.policy_trees import opa
from tests.replay.running import until
from tests.store_values import hold, invocation, opened, review, unit

ROOT = Path(__file__).resolve().parents[2]
DESK = ROOT / "examples" / "support_desk"
LEAD = Reviewer(
    name="support-lead-1",
    person=Person(issuer=LOCAL_ISSUER, subject="support-lead-1"),
    groups=("support-leads",),
)
SESSIONS_OF_PAST = 100
FIRST_CUSTOMER = 10_000
EACH_MAX = 12  # mails of one customer in an hour; policy lets them ask for 20

SETTINGS = """
listen = "{address}"
state = "{state}"
database = "sqlite:///{state}/callbroker.db"
opa = "{opa}"
log_level = "warning"

[web]
listen = "{pages}"

[sources.shop]
url = "sqlite:///{directory}/shop.db"
"""


@dataclass(kw_only=True)
class PagedDesk:
    """A desk that serves.

    Attributes:
        pages: where its pages are, without a slash at the end.
        cookies: a sign-in's secret each.
    """

    pages: str
    cookies: list[str]
    agent: SyncBroker
    _sessions: list[SyncSession] = field(default_factory=list)
    _asked: int = 0

    def hold(self) -> SyncHeld:
        """One call more that waits: a mail to somebody whom nobody knows."""
        session = self._sessions[-1] if self._sessions else None
        if session is None or self._asked % EACH_MAX == 0:
            session = self.open_session()
            self._sessions.append(session)
        self._asked += 1
        arguments = {
            "to": [f"stranger-{self._asked}@example.net"],
            "subject": f"Question {self._asked}",
            "body": "Which of the lamps was it?",
        }
        outcome = session.invoke("send_mail", arguments)
        assert isinstance(outcome, SyncHeld), outcome
        return outcome

    def open_session(self) -> SyncSession:
        """The agent at work for a customer of its own."""
        mandate = self.agent.create_mandate(
            principal=f"customers/c-{FIRST_CUSTOMER + len(self._sessions)}",
            groups=agents.GROUPS,
            agent=agents.AGENT,
            words=agents.WORDS,
            scopes=agents.SCOPES,
            context="mediated",
        )
        return self.agent.open_session(mandate)


@contextlib.contextmanager
def paged_desk(directory: Path, *, past: int, sign_ins: int) -> Iterator[PagedDesk]:
    """Start one in an empty directory; `past` holds are decided already."""
    address, pages = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    state, shop = directory / "state", directory / "shop.db"
    database = f"sqlite:///{state}/callbroker.db"
    settings = directory / "callbroker.toml"
    told = SETTINGS.format(
        address=address, pages=pages, state=state, directory=directory, opa=opa()
    )
    settings.write_text(told, "utf-8")
    records.create(shop)
    token = bootstrap.operator_token(config.Settings(state=state, database=database))
    cookies = asyncio.run(_fill(state, database, past=past, sign_ins=sign_ins))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process("broker.command", "serve", CALLBROKER_CONFIG=str(settings)))
        until(lambda: listens(address) and listens(pages), "the broker did not start", within_s=120)
        operator = stack.enter_context(Operator(address, token))
        manifests = [document for _, document in read_manifests(DESK / "tools")]
        operator.put_tools(manifests)
        known = read_yaml((DESK / "directory.yaml").read_bytes())
        operator.put_directory(cast("dict[str, Any]", known))
        operator.activate_policy(DESK / "policies")
        for scope in agents.SCOPES:
            operator.grant("groups/customers", scope)
            operator.grant(agents.AGENT, scope)
        worker = _process(
            "examples.support_desk.worker",
            CALLBROKER_ADDRESS=address,
            CALLBROKER_WORKER_TOKEN=operator.create_token(
                "worker", "workers/shop", tools=[str(one["name"]) for one in manifests]
            ),
            SUPPORT_DESK_SHOP=str(shop),
        )
        stack.enter_context(worker)
        until(lambda: operator.workers() > 0, "no worker")
        agent = connect_sync(
            address,
            host_token=operator.create_token("host", "hosts/bench"),
            agent_token=operator.create_token("agent", agents.AGENT, person="bench-engineer"),
        )
        yield PagedDesk(pages=f"http://{pages}", cookies=cookies, agent=stack.enter_context(agent))


async def _fill(state: Path, database: str, *, past: int, sign_ins: int) -> list[str]:
    """Holds that are over, each with its call and its review; then the sign-ins' secrets."""
    upgrade(database)
    store = await SqlStore.open(
        database,
        state=state,
        instance="brokers/before",
        audit_keys=load_or_create(state),
        clock=system_clock,
    )
    try:
        for _ in range(SESSIONS_OF_PAST):
            await _one_session(store, past // SESSIONS_OF_PAST)
        doors = SignIns(store=store, clock=system_clock)
        return [await doors.open(LEAD, how="local") for _ in range(sign_ins)]
    finally:
        await store.close()


async def _one_session(store: SqlStore, count: int) -> None:
    now = system_clock() - 86_400
    session = await opened(store, opened_at=now, state="CLOSED")
    changes: list[Any] = []
    for _ in range(count):
        state, ended = HoldState.REJECTED, InvocationState.REJECTED
        call = dataclasses.replace(invocation(session, ended), created_at=now, updated_at=now + 60)
        held = hold(call, state=state, created_at=now, decide_by=now + 600)
        said = review(held, "support-lead-1", at=now + 60)
        changes += [AddInvocation(invocation=call), AddHold(hold=held), AddReview(review=said)]
    await store.commit(unit(*changes))


@contextlib.contextmanager
def _process(module: str, *arguments: str, **variables: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)
