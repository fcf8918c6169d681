"""The evaluator's protocol over the real broker, a supervised OPA, a worker and a store on disk.

One broker a suite. The adapter is host, agent, reviewer and operator at once, each with a
credential of its own, and the shop's system of record for facts. The worker is the one way to the
evaluator's `backend`, but for code that ran in a container: of that the adapter tells the evaluator
afterwards. Nothing is simulated, and the adapter decides nothing.
"""

import itertools
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from broker.sdk import Call, Failed, Held, Principal, Refused, Succeeded, Worker, connect_sync
from broker.sdk.sync import SyncBroker, SyncSession
from tests.replay.contained import POLICIES, Contained, contained
from tests.replay.conversion import broker_names, directory, manifest, overlaid
from tests.replay.record_server import RecordServer, serving
from tests.replay.running import AGENT, Reviewer, Running, run_broker, working

PRESET = "CALLBROKER_PRESET"
Backend = Callable[[str, str, dict[str, Any]], Any]

_HERE = Path(__file__).parent
_GROUP = "replay"
_TOOLS_OF_A_WORKER = 100
_OVERLAYS: Mapping[str, Path] = {"tau/retail": _HERE / "retail"}


class BrokerAdapter:
    """See the evaluator's README; a new one is made for each suite."""

    def __init__(self, *, preset: str = "") -> None:
        self._preset = preset or os.environ.get(PRESET, "")
        self._stack = ExitStack()
        # The evaluator ends no adapter: it drops one and makes the next.
        self._close = weakref.finalize(self, self._stack.close)
        self._sessions: dict[str, SyncSession] = {}
        self._held: dict[str, Held] = {}
        self._numbers = itertools.count(1)
        self._names: dict[str, str] = {}
        self._shops: dict[str, str] = {}
        self._known: Mapping[str, Any] = {}
        self._contained: Contained | None = None
        self._backend: Backend
        self._broker: SyncBroker
        self._records: RecordServer
        self._running: Running
        self._reviewer: Reviewer

    def register_tools(self, manifests: Sequence[Mapping[str, Any]], backend: Backend) -> None:
        """Start everything."""
        overlay = _OVERLAYS.get(manifests[0]["suite"])
        self._contained, self._backend = contained(manifests[0]["suite"]), backend
        self._names = broker_names(manifests)
        self._records = self._stack.enter_context(serving())
        documents = [manifest(m, self._names[m["name"]]) for m in manifests]
        if overlay is not None:
            documents = [
                overlaid(d, overlay / "overlays", origin=self._records.origin) for d in documents
            ]
        if self._contained is not None:
            documents = [self._contained.manifest]
        self._running = self._stack.enter_context(
            run_broker(
                sources={"shop": self._records.origin},
                nodes=() if self._contained is None else (self._contained.node,),
            )
        )
        operator = self._running.operator
        operator.put_tools(documents)
        operator.activate_policy(
            POLICIES if self._contained else None if overlay is None else overlay / "policies",
            preset=self._preset,
        )
        for name in self._names.values():
            operator.grant(f"groups/{_GROUP}", f"{name}:use")
            operator.grant(AGENT, f"{name}:use")
        for some in _in_groups([] if self._contained else list(self._names.items())):
            self._stack.enter_context(working(self._running, self._worker(backend, some)))
        self._reviewer = Reviewer(self._running)
        self._stack.callback(self._reviewer.close)
        self._broker = self._stack.enter_context(
            connect_sync(
                self._running.address,
                host_token=self._running.token("host"),
                agent_token=self._running.token("agent"),
            )
        )

    def open_session(
        self,
        principal: Mapping[str, Any],
        scopes: Sequence[str],
        context: Mapping[str, Any] | None = None,
    ) -> str:
        """A mandate from the host, redeemed by the agent."""
        given = context or {}
        self._provision(given.get("directory"))
        shop = f"shop-{next(self._numbers)}"
        if given.get("lookup") is not None:
            self._records.open(shop, given["lookup"])
        mandate = self._broker.create_mandate(
            principal=Principal(principal["id"], (_GROUP,), {"shop": shop}),
            agent=AGENT,
            words=[given["prompt"]] if given.get("prompt") else [],
            context="mediated",  # of a record, nothing else was read
            scopes=[f"{self._names.get(scope, scope)}:use" for scope in scopes],
        )
        session = self._broker.open_session(mandate)
        self._sessions[session.name] = session
        self._shops[session.name] = shop
        return session.name

    def call(
        self,
        session: str,
        tool: str,
        args: Mapping[str, Any],
        trusted: bool = False,  # noqa: ARG002, FBT001, FBT002 - the protocol has it, never set
    ) -> Any:
        """One call."""
        outcome = self._sessions[session].invoke(self._names.get(tool, tool), args)
        said = self._said(outcome)
        if self._contained is not None and isinstance(outcome, Succeeded | Failed):
            self._backend(session, tool, dict(args))  # it ran, and this is how that is counted
            said.result = {"sandboxed": True, **said.result}
        return said

    def resolve(self, session: str, hold_id: str, approve: bool) -> Any:  # noqa: ARG002, FBT001
        """A reviewer's word, and what came of it."""
        held = self._held.pop(hold_id)
        self._reviewer.decide(held.name, approve=approve)
        return self._said(held.wait(timeout_s=60))

    def close_session(self, session: str) -> None:
        """The end of a scenario."""
        self._sessions.pop(session).close()
        self._records.close(self._shops.pop(session))

    def close(self) -> None:
        """Stop everything that `register_tools` started."""
        self._close()

    def _provision(self, said: Mapping[str, Any] | None) -> None:
        """What the operator knows of people and places; most sessions find it there."""
        known = directory(said) if said else {"entries": []}
        if known["entries"] and known != self._known:
            self._running.operator.put_directory(known)
            self._known = known

    def _worker(self, backend: Backend, names: Sequence[tuple[str, str]]) -> Worker:
        token = self._running.worker_token([name for _, name in names])
        worker = Worker(self._running.address, token)

        def implement(recorded: str, name: str) -> None:
            @worker.tool(name)
            def run(call: Call, **arguments: Any) -> Any:
                return backend(call.session, recorded, arguments)

        for recorded, name in names:
            implement(recorded, name)
        return worker

    def _said(self, outcome: Any) -> Any:
        from evaluate import ALLOW, DENY, HOLD, Outcome  # noqa: PLC0415 - the evaluator's own

        match outcome:
            case Succeeded():
                return Outcome(ALLOW, outcome.result)
            case Failed():
                return Outcome(ALLOW, {"error": outcome.message}, reason=outcome.code)
            case Refused():
                return Outcome(DENY, reason=outcome.code)
            case Held():
                self._held[outcome.name] = outcome
                return Outcome(HOLD, hold_id=outcome.name, reason=outcome.code)
        raise AssertionError(f"{outcome.name} ended {outcome.state}: {outcome.message}")


def _in_groups(names: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(names), _TOOLS_OF_A_WORKER):
        yield names[start : start + _TOOLS_OF_A_WORKER]
