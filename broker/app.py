"""The composition root: settings in, a running broker out. It and `opened` alone name adapters.

Order matters twice. At start, what an earlier run left unfinished is ended before the first request
is taken; at the end, nothing new is taken before what is under way has had its time.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog

from broker import __version__
from broker.administration import Administration
from broker.administration.libraries import say_library
from broker.config import Settings
from broker.control_room import ControlRoom
from broker.core.audit import EntryDraft, EntryKind
from broker.core.unit import Unit
from broker.credential_uses import CredentialUses
from broker.events import Events
from broker.facts.gatherer import Gatherer, open_sources
from broker.identity import Identity
from broker.ids import UuidFactory
from broker.instances import take
from broker.mediation import Mediation, Parts, mediation
from broker.named_in_settings import (
    issued_tokens_of,
    node_tls_of,
    opa_of,
    remote_opa_of,
    source_of,
    terms_of,
    tls_of,
)
from broker.neighbourhood import meet
from broker.notices import open_channels
from broker.notifying import Notifying, Teller
from broker.opened import Opened, administration_of
from broker.own_work import OwnWork
from broker.policy.room import OpaRoom
from broker.ports import Clock, Policies
from broker.refusals import Refusals
from broker.rpc.server import STOP_S, RpcServer, UseCases
from broker.sandbox_nodes.runner import SandboxRunner
from broker.store import SqlStore, load_or_create
from broker.tools.caller import CallerHub
from broker.tools.runners import Runners
from broker.tools.worker import WorkerHub
from broker.web.opening import Asked, OpenPages, open_pages
from broker.web.records import records_of

if TYPE_CHECKING:
    from broker.telemetry.opening import OpenTraces
    from broker.telemetry.serving import Telemetry

_log = structlog.get_logger(__name__)

system_clock: Clock = time.time  # noqa: TID251 - the one real clock


class Application:
    """One running broker. Use as an async context manager, or `start` and `stop`."""

    def __init__(self, settings: Settings, *, clock: Clock = system_clock) -> None:
        """Make one; nothing is opened yet."""
        self.settings = settings
        self.port = 0
        self.pages: OpenPages | None = None
        self._clock = clock
        self._ids = UuidFactory(clock)
        self._closing = contextlib.AsyncExitStack()
        self._rpc: RpcServer | None = None
        self._hurry = asyncio.Event()
        self._telemetry: Telemetry | None = None
        self._traces: OpenTraces | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""
        return f"{self.settings.listen.rpartition(':')[0]}:{self.port}"

    @property
    def metrics_port(self) -> int:
        """Where figures are told; 0 where nowhere."""
        return 0 if self._telemetry is None else self._telemetry.port

    async def start(self) -> None:
        """Open, recover, and serve.

        Raises:
            ConfigurationRefused: something that the settings name is not there or not safe.
            BrokerError: a part cannot be started.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Return once the server has ended."""
        if self._rpc is not None:
            await self._rpc.wait()

    async def stop(self) -> None:
        """Take nothing new, let what is under way end, and close everything. Twice is harmless."""
        await self._closing.aclose()

    def hurry(self) -> None:
        """Wait no longer for what is under way; the next start ends or tries again what is left."""
        self._hurry.set()

    async def _start(self) -> None:
        parts = self._traced(await self._open())
        mediating = mediation(parts.mediation)
        if self._traces is not None:
            self._traces.queues(mediating)
        notifying = self._notifying(parts)
        administration = administration_of(
            self.settings, parts, mediating, notifying, clock=self._clock, ids=self._ids
        )
        await self._recover(parts, mediating)
        await administration.policies.start()
        await say_library(administration.policies)
        self._begin_shadow(mediating, administration)
        await self._serve(parts, mediating, administration)
        await parts.neighbours.presence.move(self.settings.advertise or self.address)
        self._begin(notifying.run())

    async def _open(self) -> Opened:
        """Adapters, each closed again at the end."""
        settings, clock, ids = self.settings, self._clock, self._ids
        instance = f"brokers/{ids()}"
        events = Events()
        keys = load_or_create(settings.state)
        store = await SqlStore.open(
            settings.database,
            instance=instance,
            audit_keys=keys,
            state=settings.state,
            clock=clock,
        )
        self._closing.push_async_callback(store.close)
        state = take(settings.state, instance)
        self._closing.callback(state.release)
        neighbours = await meet(store, events, name=instance, former=state.former, clock=clock)
        self._closing.push_async_callback(neighbours.presence.leave)
        self._begin(*neighbours.work(settings.database, is_listening=settings.listen_to_brokers))
        uses = CredentialUses(store=store, clock=clock)
        self._closing.push_async_callback(uses.flush)
        room = await ControlRoom.open(store=store, events=events)
        self._telemetry = _telemetry_of(settings, room, store)
        policies = OpaRoom(opa=opa_of(settings), remote=remote_opa_of(settings), report=_report)
        self._closing.push_async_callback(policies.close)
        facts = Gatherer(open_sources({n: source_of(settings, n) for n in settings.sources}))
        self._closing.push_async_callback(facts.close)
        workers = WorkerHub(control=room.current, store=store, clock=clock, ids=ids)
        neighbours.reach(workers)
        callers = CallerHub(control=room.current, clock=clock, key=keys.key_for("permits"))
        sandboxes = SandboxRunner(settings.sandboxes.nodes, tls=node_tls_of(settings))
        self._closing.push_async_callback(sandboxes.close)
        await sandboxes.start()
        return Opened(
            mediation=Parts(
                store=store,
                room=room,
                policies=self._watched(neighbours.patient(policies)),
                facts=facts,
                runner=Runners({"worker": workers, "sandbox": sandboxes, "caller": callers}),
                callers=callers,
                offered=sandboxes.offered,
                events=events,
                clock=clock,
                ids=ids,
                owner=instance,
                is_gone=neighbours.presence.is_gone,
                claimed=neighbours.claiming(settings.database, self._closing),
                own=OwnWork(),
                terms=terms_of(settings),
                fairness=settings.fairness.bounds(),
                exclusive_wait_s=settings.exclusive_wait_s,
            ),
            store=store,
            neighbours=neighbours,
            policies=policies,
            workers=workers,
            sandboxes=sandboxes,
            uses=uses,
        )

    def _notifying(self, parts: Opened) -> Notifying:
        """Whom the settings name; nobody is told before the door is open, nor after it is shut."""
        tellers = [
            Teller(
                channel=channel,
                store=parts.store,
                notices=parts.store,
                events=parts.mediation.events,
                clock=self._clock,
                address=lambda: self.pages.url if self.pages else self.settings.web.url.rstrip("/"),
                is_mine=lambda: parts.neighbours.presence.is_eldest,
            )
            for channel in open_channels(self.settings.notify, clock=self._clock)
        ]
        notifying = Notifying(tellers)
        self._closing.push_async_callback(notifying.close)
        return notifying

    async def _recover(self, parts: Opened, mediating: Mediation) -> None:
        """Say that a run begins, and end what the one before left under way."""
        started = EntryDraft(
            kind=EntryKind.BROKER_STARTED,
            at=self._clock(),
            actor="broker",
            body={"broker": parts.mediation.owner, "version": __version__},
        )
        await parts.store.commit(Unit(changes=(), entries=(started,)))
        interrupted = await mediating.recovery.recover()
        if interrupted:
            _log.warning("calls_interrupted", count=interrupted, see="callbroker invocations list")

    def _begin_shadow(self, mediating: Mediation, administration: Administration) -> None:
        """Beside the calls: no call and no start waits for a policy that decides nothing."""
        self._begin(mediating.shadowing.run(), administration.shadow.resume())

    async def _serve(
        self,
        parts: Opened,
        mediating: Mediation,
        administration: Administration,
    ) -> None:
        """Open the door. It closes last but one: workers answer what is under way through it."""
        store, room = parts.store, parts.mediation.room
        self._rpc = RpcServer(
            use_cases=UseCases(
                mandates=mediating.mandates,
                sessions=mediating.sessions,
                artefacts=mediating.artefacts,
                enforcer=mediating.enforcer,
                invocations=mediating.invocations,
                permits=mediating.permits,
                recovery=mediating.recovery,
                views=mediating.views,
                reviews=mediating.reviews,
                handling=mediating.handling,
                together=mediating.together,
                workers=parts.workers,
                administration=administration,
                instance=parts.mediation.owner,
            ),
            identity=self._identity(room, parts.uses),
            refusals=Refusals(store=store, clock=self._clock),
            streams_max=self.settings.fairness.credential_streams_max,
            reflects=self.settings.reflection,
            takes_certificates=self.settings.tls_client_ca_file is not None,
            within=self._traces.within if self._traces is not None else (),
        )
        if self.settings.web.listen:
            await self._serve_pages(parts, mediating, administration)
        await self._serve_figures(parts, administration)
        self.port = self._rpc.bind(self.settings.listen, tls_of(self.settings))
        await self._rpc.start()
        self._closing.push_async_callback(self._rpc.stop, grace_s=STOP_S)
        self._begin(*parts.neighbours.permitting(mediating.permits))
        finish = mediating.recovery.carrier.endings.finish
        self._closing.push_async_callback(finish, within_s=STOP_S)
        drain = mediating.own.drain
        self._closing.push_async_callback(drain, within_s=self.settings.drain_s, hurry=self._hurry)
        self._closing.callback(mediating.invocations.answer_waiters)
        self._closing.push_async_callback(self._rpc.say_stopping)
        self._begin(mediating.recovery.sweep(), administration.retention.eraser.sweep())
        self._begin(*parts.neighbours.following(room, administration, warm=parts.policies))
        _log.info("broker_started", address=self.address, broker=parts.mediation.owner)

    def _identity(self, room: ControlRoom, uses: CredentialUses) -> Identity:
        """Who asks; issuers' keys are asked for beside the calls, and uses written down there."""
        issued = issued_tokens_of(self.settings, control=room.current, clock=self._clock)
        self._begin(uses.run(), issued.run())
        return Identity(
            control=room.current, clock=self._clock, access_tokens=issued, used=uses.note
        )

    async def _serve_pages(
        self, parts: Opened, mediating: Mediation, administration: Administration
    ) -> None:
        asked = Asked(
            views=mediating.views,
            reviews=mediating.reviews,
            handling=mediating.handling,
            together=mediating.together,
            records=records_of(
                parts.store,
                browsing=parts.store,
                control=parts.mediation.room.current,
                administration=administration,
            ),
            store=parts.store,
            events=parts.mediation.events,
            clock=self._clock,
            refused=lambda: parts.mediation.room.current().bindings.refused,
        )
        self._begin(asked.records.browse.warm())
        groups = self.settings.review.reviewers
        self.pages = await open_pages(self.settings.web, asked, groups=groups)
        self._closing.push_async_callback(self.pages.listener.stop)

    def _traced(self, parts: Opened) -> Opened:
        """The same, told of where the settings name somebody to tell."""
        if not self.settings.traces.url:
            return parts
        from broker.telemetry.opening import OpenTraces  # noqa: PLC0415 - only where it is on

        self._traces = OpenTraces(self.settings.traces, parts.mediation, parts.store)
        self._closing.push_async_callback(self._traces.close)
        self._begin(self._traces.run())
        if self._telemetry is not None:
            self._telemetry.count_spans(self._traces.tally)
        return replace(parts, mediation=self._traces.parts(parts.mediation))

    def _watched(self, policies: Policies) -> Policies:
        return policies if self._telemetry is None else self._telemetry.policies(policies)

    async def _serve_figures(self, parts: Opened, administration: Administration) -> None:
        if self._telemetry is None:
            return
        from broker.telemetry.gauges import Watched  # noqa: PLC0415 - only where it is on

        self._closing.push_async_callback(self._telemetry.stop)
        await self._telemetry.serve(
            Watched(
                status=administration.overview.standing,
                control=parts.mediation.room.current,
                store=parts.store,
                heads=self.settings.state / "checkpoints" / "heads.jsonl",
                clock=self._clock,
            )
        )

    def _begin(self, *works: Coroutine[Any, Any, None]) -> None:
        """What goes on beside the calls, until what was opened before it is closed."""
        for work in works:
            begun = asyncio.get_running_loop().create_task(work)
            self._closing.push_async_callback(_end, begun)


def _telemetry_of(settings: Settings, room: ControlRoom, store: SqlStore) -> "Telemetry | None":
    if not settings.metrics.listen:
        return None
    from broker.telemetry.serving import Telemetry  # noqa: PLC0415 - only where it is on

    return Telemetry(settings.metrics, room=room, store=store)


def _report(line: str) -> None:
    _log.warning("opa", said=line)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
