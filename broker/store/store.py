"""The durable state over SQL, as `ports.Store` describes it; see `store.opening` for its start."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final, Self

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.artefacts import Artefact
from broker.core.brokers import BrokerRow
from broker.core.calls import Invocation, Session
from broker.core.control import ControlRows
from broker.core.holds import Hold, Review
from broker.core.labels import Labels
from broker.core.notices import NoticeEvent
from broker.core.recorded import RecordedDecision
from broker.core.review_quality import HoldSeen
from broker.core.sign_ins import SignIn, StepUp
from broker.core.standing import StandingAsked
from broker.core.unit import Mandate, Unit
from broker.ports import (
    AgentSeen,
    Clock,
    CounterAsked,
    Counts,
    DecisionQuery,
    DocumentSeen,
    HoldHistoryQuery,
    HoldQuery,
    InvocationQuery,
    KeySeen,
    LogHead,
    Seen,
    SessionQuery,
    SessionSeen,
)
from broker.ports.notifying import NoticeSeen, NoticeTally
from broker.ports.storage import NO_ELDERS
from broker.store import browsing, decisions, export, notices, reads
from broker.store.apply import control_revision
from broker.store.brokers import all_brokers
from broker.store.credential_uses import last_uses
from broker.store.erasable import ErasableReads
from broker.store.keys import AuditKeys
from broker.store.opening import open_database
from broker.store.readers import Readers
from broker.store.reports import ReportReads
from broker.store.writer import Cadence, Writer

CLOSE_DEADLINE_S: Final = 30.0


class SqlStore(ErasableReads, ReportReads):
    """Implements `ports.Store` and what else of the ports is durable."""

    def __init__(
        self,
        *,
        writer: Writer,
        readers: Readers,
        public_key: bytes,
        release: Callable[[], None],
    ) -> None:
        """Use `open`."""
        self._writer = writer
        self._connect = writer.connect
        self._readers = readers
        self._public_key = public_key
        self._release = release
        self.watch: Callable[[Unit], AbstractContextManager[None]] = _unwatched
        self.watch_look_up: Callable[[], AbstractContextManager[object]] = nullcontext

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        state: Path,
        instance: str,
        audit_keys: AuditKeys,
        clock: Clock,
        cadence: Cadence | None = None,
    ) -> Self:
        """Open a database that `schema.upgrade` has made.

        Args:
            url: `sqlite:///<path of a file>`, or `postgresql://user@host/name`.
            state: a directory outside of the database; signed heads go to `checkpoints/` in it.
            instance: this broker's name in the log; its chain goes on where it ended.
            audit_keys: link and sign the log.
            clock: for the ids of entries.
            cadence: how often heads are signed.

        Raises:
            DatabaseInUse: another broker has it, or writes to it under this name.
            DatabaseRefused: its server may lose what it has committed.
            SchemaRefused: it is not set up, or of another release.
            LogRefused: the log is not what was signed.
            StoreUnavailable: it cannot be read.
        """
        opened = await open_database(
            url,
            state=state,
            instance=instance,
            audit_keys=audit_keys,
            clock=clock,
            cadence=cadence or Cadence(),
        )
        store = cls(
            writer=opened.writer,
            readers=opened.readers,
            public_key=audit_keys.public_key,
            release=opened.release,
        )
        # What was left unsigned by a crash is signed, and the outside catches up, before any more.
        await store.checkpoint_now()
        return store

    async def commit(self, unit: Unit) -> None:
        """Write all of a unit, durably, or nothing. See the port."""
        with self.watch(unit):
            await self._writer.write(unit, deadline_s=limits.STORE_DEADLINE_S)

    async def commit_signed(self, unit: Unit) -> None:
        """As `commit`, with a signed head over it, which is outside before this returns."""
        await self._writer.write(unit, sign=True, deadline_s=limits.STORE_DEADLINE_S)

    async def checkpoint_now(self) -> None:
        """Sign a head over all that is committed, and write it outside.

        Raises:
            StoreUnavailable: as `commit`.
        """
        nothing = Unit(changes=(), entries=())
        await self._writer.write(nothing, sign=True, deadline_s=limits.STORE_DEADLINE_S)

    def sign_with(self, keys: AuditKeys) -> None:
        """Link and sign with these from here on; while nothing is being committed."""
        self._writer.log.keys = keys

    async def export(self, *, since: float, include_contents: bool) -> AsyncGenerator[bytes]:
        """Whole JSON lines in order, in chunks. See `ports.AuditLog` and `core.audit_lines`.

        All that was committed before is in it and signed.
        """
        await self.checkpoint_now()
        size = (await self.counts()).audit_entries_signed
        start = await self._readers.ask(export.first_leaf_at, since, size)
        before = await self._readers.ask(export.tree_before, start)
        yield export.header(before, self._public_key, include_contents=include_contents)
        for first in range(start, size, export.CHUNK):
            below = min(size, first + export.CHUNK)
            yield await self._readers.ask(
                export.lines,
                first,
                below,
                include_contents=include_contents,
            )

    async def control(self) -> ControlRows:
        """All control rows in force."""
        return await self._readers.ask(reads.control)

    async def document(self, digest: str) -> bytes | None:
        """Content by digest."""
        return await self._readers.ask(reads.document, digest)

    async def documents(self, kind: str) -> Sequence[tuple[str, float]]:
        """Digest and first time of all documents of a kind, newest first."""
        return await self._readers.ask(reads.documents, kind)

    async def find_mandate(self, *, secret_digest: bytes = b"", name: str = "") -> Mandate | None:
        """A mandate by its secret's digest or its name, redeemed or not."""
        return await self._readers.look(reads.find_mandate, secret_digest, name)

    async def find_session(self, name: str) -> Session | None:
        """A session in any state, with all words so far."""
        return await self._readers.look(reads.find_session, name)

    async def session_of_mandate(self, mandate: str) -> Session | None:
        """The session that redeeming the mandate opened."""
        return await self._readers.look(reads.session_of_mandate, mandate)

    async def find_invocation(self, name: str) -> Invocation | None:
        """An invocation by name."""
        return await self._readers.look(reads.find_invocation, name)

    async def find_request(self, session: str, request_id: str) -> Invocation | None:
        """The invocation of a request id."""
        return await self._readers.look(reads.find_request, session, request_id)

    async def keys(self, keys: Sequence[str]) -> Mapping[str, KeySeen]:
        """Exclusive keys as they stand; one never seen has version 0 and is free."""
        return await self._readers.look(reads.keys, keys)

    async def seen(
        self,
        session: str,
        counters: Sequence[CounterAsked],
        *,
        now: float,
        after: int = 0,
        elders: Mapping[str, int] = NO_ELDERS,
        principal: str = "",
        targets: Collection[str] = (),
        standing: StandingAsked | None = None,
    ) -> Seen:
        """Counters, history, and what was released to the session after a position."""
        past = reads.Past(session, after, elders, principal, targets, standing)
        with self.watch_look_up():
            return await self._readers.look(reads.seen, past, counters, now)

    async def find_hold(self, name: str) -> tuple[Hold, tuple[Review, ...]] | None:
        """A hold with all its reviews, oldest first."""
        return await self._readers.look(reads.find_hold, name)

    async def list_holds(self, query: HoldQuery) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
        """A page of holds with their reviews."""
        return await self._readers.ask(reads.list_holds, query)

    async def hold_history(
        self, query: HoldHistoryQuery
    ) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
        """A page of holds in any state, newest first, with their reviews."""
        return await self._readers.ask(reads.hold_history, query)

    async def find_sign_in(self, digest: bytes) -> SignIn | None:
        """A sign-in by its secret's digest, however old."""
        return await self._readers.look(reads.find_sign_in, digest)

    async def find_step_up(self, sign_in: bytes, hold: str) -> StepUp | None:
        """What a sign-in has shown for a hold and not used, however old."""
        return await self._readers.look(reads.find_step_up, sign_in, hold)

    async def list_sign_ins(self) -> Sequence[SignIn]:
        """All sign-ins, newest first."""
        return await self._readers.ask(reads.list_sign_ins)

    async def list_invocations(self, query: InvocationQuery) -> Sequence[Invocation]:
        """A page of invocations."""
        return await self._readers.ask(reads.list_invocations, query)

    async def unfinished(self) -> Sequence[Invocation]:
        """Every invocation that is RUNNING, or HELD with an APPROVED hold."""
        return await self._readers.ask(reads.unfinished)

    async def overdue(self, *, now: float) -> Sequence[Hold]:
        """Holds whose time to be decided, or to be run, has passed."""
        return await self._readers.ask(reads.overdue, now)

    async def open_holds_of(self, session: str) -> Sequence[Hold]:
        """PENDING and APPROVED holds of a session."""
        return await self._readers.ask(reads.open_holds_of, session)

    async def find_artefacts(self, session: str, names: Sequence[str]) -> Mapping[str, Artefact]:
        """Those of these names that the session has; of any others nothing is said."""
        return await self._readers.look(reads.find_artefacts, session, names)

    async def list_artefacts(self, session: str) -> Sequence[Artefact]:
        """All that the session has, oldest first."""
        return await self._readers.ask(reads.list_artefacts, session)

    async def artefact_content(self, session: str, name: str) -> bytes | None:
        """What is in an artefact of the session."""
        return await self._readers.ask(reads.artefact_content, session, name)

    async def entries(self, invocation: str) -> Sequence[Mapping[str, JsonValue]]:
        """The audit entries of one invocation in order; see `export.entries` for their form."""
        return await self._readers.ask(export.entries, invocation)

    async def contents(self, invocation: str) -> Mapping[str, JsonValue]:
        """The latest decision's contents of one invocation, or {}."""
        return await self._readers.ask(export.contents, invocation)

    async def shadow_tallies(self, shadow: str) -> Mapping[str, bytes]:
        """What each broker has seen of a shadow, by the broker's name."""
        return await self._readers.ask(reads.shadow_tallies, shadow)

    async def list_decisions(self, query: DecisionQuery) -> Sequence[RecordedDecision]:
        """A page of decisions as the log has them."""
        return await self._readers.ask(decisions.list_decisions, query)

    async def decisions_of(self, invocation: str) -> Sequence[RecordedDecision]:
        """All decisions on one call in order."""
        return await self._readers.ask(decisions.decisions_of, invocation)

    async def list_sessions(self, query: SessionQuery) -> Sequence[SessionSeen]:
        """A page of sessions."""
        return await self._readers.ask(browsing.list_sessions, query)

    async def released(self, session: str) -> Mapping[str, Labels]:
        """What was released to a session's model, in order: the labels by invocation."""
        return await self._readers.ask(browsing.released, session)

    async def holds_seen(self, *, since: float, holds_max: int) -> Sequence[HoldSeen]:
        """The newest holds since a time, newest first, with their reviews."""
        return await self._readers.ask(browsing.holds_seen, since, holds_max)

    async def agents_seen(self, *, calls_max: int) -> Sequence[AgentSeen]:
        """The agents of the newest calls, by id."""
        return await self._readers.ask(browsing.agents_seen, calls_max)

    async def documents_seen(self, kind: str, *, documents_max: int) -> Sequence[DocumentSeen]:
        """The newest documents of a kind, newest first."""
        return await self._readers.ask(browsing.documents_seen, kind, documents_max)

    async def log_head(self) -> LogHead | None:
        """The newest signed head."""
        return await self._readers.ask(browsing.log_head, self._public_key)

    async def log_entries(
        self, *, before: int | None, page_size: int
    ) -> Sequence[Mapping[str, JsonValue]]:
        """A page of the log, newest first, without contents. See `ports.Browsing`."""
        return await self._readers.ask(browsing.log_entries, before, page_size)

    async def holds_untold(
        self,
        channel: str,
        event: NoticeEvent,
        *,
        since: float,
        is_pending: bool,
        after: str,
        page_size: int,
    ) -> Sequence[Hold]:
        """A page of holds of which the channel has no notice of this kind, oldest first."""
        return await self._readers.ask(
            notices.holds_untold,
            channel,
            event,
            since=since,
            is_pending=is_pending,
            after=after,
            page_size=page_size,
        )

    async def newest_hold_told(self, channel: str, event: NoticeEvent) -> float:
        """When the newest hold of which the channel has such a notice was opened; 0 for none."""
        return await self._readers.ask(notices.newest_hold_told, channel, event)

    async def notices_due(
        self, channel: str, *, now: float, after: int, notices_max: int
    ) -> Sequence[NoticeSeen]:
        """A page of what is due, in order; of one call only the first."""
        return await self._readers.ask(notices.notices_due, channel, now, after, notices_max)

    async def notices_come_about(self, channel: str, *, notices_max: int) -> Sequence[int]:
        """Numbers of notices that waited for a call to end, which it has."""
        return await self._readers.ask(notices.notices_come_about, channel, notices_max)

    async def next_notice_due(self, channel: str) -> float | None:
        """When the next one is due."""
        return await self._readers.ask(notices.next_notice_due, channel)

    async def notice_tally(self, channel: str, *, now: float) -> NoticeTally:
        """How many there are."""
        return await self._readers.ask(notices.notice_tally, channel, now)

    async def credential_uses(self) -> Mapping[str, float]:
        """When each credential was last used, by its name; none that never was."""
        return await self._readers.ask(last_uses)

    @property
    def is_shared(self) -> bool:
        """Whether other brokers may have the same database."""
        return self._writer.dialect.is_shared

    async def brokers(self) -> Sequence[BrokerRow]:
        """All that have said that they are there, in the order in which they started."""
        return await self._readers.ask(all_brokers)

    async def control_revision(self) -> int:
        """The revision of what is in force."""
        return await self._readers.look(control_revision)

    async def counts(self) -> Counts:
        """What waits and how long the log is."""
        return await self._readers.ask(reads.counts)

    async def close(self) -> None:
        """Write what is queued, sign the head and give up the database. Twice is harmless."""
        ended = await asyncio.to_thread(self._writer.stop, deadline_s=CLOSE_DEADLINE_S)
        await asyncio.to_thread(self._readers.close)
        if ended:
            # A writer that hangs keeps the lock: nobody else may write beside it.
            release, self._release = self._release, lambda: None
            release()


def _unwatched(_: Unit) -> AbstractContextManager[None]:
    return nullcontext()
