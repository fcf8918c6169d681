"""A session exists because a host ordered it: a mandate is redeemed once, by the agent it names.

The host alone says who the principal is and what they typed. The agent proves with each call that
it holds both its own credential and this session's secret; neither alone is enough. A session of
somebody else and one that never was give the same answer.
"""

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from broker.core import limits
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Agent, Caller, Context, Principal, Session
from broker.core.control import Control
from broker.core.credentials import Credential, secret_digest
from broker.core.errors import IllegalTransition, LimitExceeded, MalformedRequest, NotFound
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.scopes import Scope
from broker.core.unit import (
    AddMandate,
    AppendWords,
    Change,
    Conflict,
    EndSession,
    Mandate,
    MoveHold,
    MoveInvocation,
    RedeemMandate,
    RevokeMandate,
    Unit,
)
from broker.events import Events
from broker.ports import Clock, IdFactory, Store

OPEN = "OPEN"
CLOSED = "CLOSED"
REVOKED = "REVOKED"

_NO_SESSION = "There is no such session."
_NO_MANDATE = "There is no such mandate."


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateOrder:
    """What a host orders.

    Attributes:
        scopes: narrow what principal and agent hold; none means none.
        life_s: how long the session may last at most, seconds.
    """

    principal: Principal
    agent: str
    words: tuple[str, ...]
    scopes: tuple[Scope, ...]
    context: Context = Context.OPEN
    life_s: float = limits.SESSION_LIFE_S_MAX


class Sessions:
    """Mandates and the sessions that they open."""

    def __init__(
        self,
        *,
        store: Store,
        control: Callable[[], Control],
        events: Events,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._store = store
        self._control = control
        self._events = events
        self._clock = clock
        self._ids = ids

    async def create_mandate(self, host: Credential, order: MandateOrder) -> tuple[Mandate, str]:
        """Order a session.

        Returns:
            The mandate and its secret, which is not kept.

        Raises:
            MalformedRequest: no such agent, or a field is out of bounds.
        """
        agent = self._control().agents.get(order.agent)
        if agent is None:
            raise MalformedRequest(
                f"There is no agent {order.agent!r}: `callbroker token create agent` makes one.",
                metadata={"field": "agent"},
            )
        _check(order)
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        name = f"mandates/{self._ids()}"
        life_s = min(max(order.life_s, 1.0), limits.SESSION_LIFE_S_MAX)
        mandate = Mandate(
            name=name,
            secret_digest=secret_digest(secret),
            host=host.subject,
            session=_session_of(name, order, agent, now=now, life_s=life_s),
            redeem_by=now + limits.MANDATE_REDEEM_S,
        )
        entry = EntryDraft(
            kind=EntryKind.MANDATE_CREATED,
            at=now,
            actor=host.subject,
            body={
                "mandate": name,
                "principal": order.principal.id,
                "person": str(order.principal.person),
                "groups": list(order.principal.groups),
                "agent": order.agent,
                "scopes": [*sorted(s.name for s in order.scopes)],
                "context": order.context.value,
            },
            contents={"words": list(order.words)},
        )
        await self._store.commit(Unit(changes=(AddMandate(mandate=mandate),), entries=(entry,)))
        return mandate, secret

    async def add_words(self, host: Credential, mandate: str, words: Sequence[str]) -> int:
        """Add what the user typed later.

        Returns:
            How many there are now.

        Raises:
            NotFound: no such mandate of this host.
            LimitExceeded: more than `limits.WORDS_BYTES_MAX` bytes together.
        """
        found = await self._of(host, mandate)
        session = await self._store.session_of_mandate(mandate)
        before = session.words if session else found.session.words
        _check_words((*before, *words))
        entry = EntryDraft(
            kind=EntryKind.WORDS_ADDED,
            at=self._clock(),
            actor=host.subject,
            session=session.name if session else "",
            body={"mandate": mandate, "count": len(words)},
            contents={"words": list(words)},
        )
        change = AppendWords(mandate=mandate, words=tuple(words))
        await self._store.commit(Unit(changes=(change,), entries=(entry,)))
        return len(before) + len(words)

    async def revoke(self, host: Credential, mandate: str, reason: str) -> None:
        """End the mandate's session, or the mandate where it was not redeemed yet.

        Raises:
            NotFound: no such mandate of this host.
        """
        await self._of(host, mandate)
        session = await self._store.session_of_mandate(mandate)
        if session is not None:
            await self._end(session, state=REVOKED, actor=host.subject, reason=reason)
            return
        entry = EntryDraft(
            kind=EntryKind.SESSION_ENDED,
            at=self._clock(),
            actor=host.subject,
            body={"mandate": mandate, "state": REVOKED, "reason": reason},
        )
        try:
            change = RevokeMandate(name=mandate)
            await self._store.commit(Unit(changes=(change,), entries=(entry,)))
        except Conflict:  # redeemed or revoked in between: the newest state decides
            session = await self._store.session_of_mandate(mandate)
            if session is not None:
                await self._end(session, state=REVOKED, actor=host.subject, reason=reason)

    async def open(self, agent: Credential, mandate_secret: str) -> tuple[Session, str]:
        """Redeem a mandate, once.

        Returns:
            The session and its secret, which is not kept.

        Raises:
            NotFound: no such mandate for this agent, or it was used, revoked, or is too old.
        """
        now = self._clock()
        mandate = await self._store.find_mandate(secret_digest=secret_digest(mandate_secret))
        if mandate is None or mandate.session.agent.id != agent.subject:
            raise NotFound(_NO_MANDATE)
        secret = secrets.token_urlsafe(32)
        life_s = mandate.session.expires_at - mandate.session.opened_at
        session = replace(
            mandate.session,
            name=f"sessions/{self._ids()}",
            opened_at=now,
            expires_at=now + life_s,
            idle_expires_at=min(now + limits.SESSION_IDLE_S, now + life_s),
            state=OPEN,
            secret_digest=secret_digest(secret),
        )
        entry = EntryDraft(
            kind=EntryKind.SESSION_OPENED,
            at=now,
            actor=agent.subject,
            session=session.name,
            body={"mandate": mandate.name, "principal": session.principal.id},
        )
        change = RedeemMandate(name=mandate.name, at=now, session=session)
        try:
            await self._store.commit(Unit(changes=(change,), entries=(entry,)))
        except Conflict:
            raise NotFound(_NO_MANDATE) from None
        return session, secret

    async def caller(self, agent: Credential, name: str, secret: str) -> Caller:
        """Who calls: the session, proved by its secret and by the credential of its agent.

        Raises:
            NotFound: no such session of this agent, or another secret.
            IllegalTransition: it is closed, revoked or expired.
        """
        session = await self._store.find_session(name)
        if (
            session is None
            or session.agent.id != agent.subject
            or not hmac.compare_digest(session.secret_digest, secret_digest(secret))
        ):
            raise NotFound(_NO_SESSION)
        check_open(session, now=self._clock())
        return Caller(session=session, credential=agent.name)

    async def close(self, agent: Credential, name: str, secret: str) -> None:
        """End a session; what waits for people is withdrawn.

        Raises:
            NotFound: no such session of this agent, or another secret.
            IllegalTransition: it is over already.
        """
        caller = await self.caller(agent, name, secret)
        await self._end(caller.session, state=CLOSED, actor=agent.subject, reason="closed")

    async def _of(self, host: Credential, mandate: str) -> Mandate:
        found = await self._store.find_mandate(name=mandate)
        if found is None or found.host != host.subject:
            raise NotFound(_NO_MANDATE)
        return found

    async def _end(self, session: Session, *, state: str, actor: str, reason: str) -> None:
        now = self._clock()
        entry = EntryDraft(
            kind=EntryKind.SESSION_ENDED,
            at=now,
            actor=actor,
            session=session.name,
            body={"mandate": session.mandate, "state": state, "reason": reason},
        )
        # The session ends first, so that nothing new can be held in it while holds are withdrawn.
        try:
            change = EndSession(name=session.name, state=state)
            await self._store.commit(Unit(changes=(change,), entries=(entry,)))
        except Conflict:
            return
        for hold in await self._store.open_holds_of(session.name):
            await withdraw(self._store, self._events, hold, actor=actor, now=now)


async def withdraw(store: Store, events: Events, hold: Hold, *, actor: str, now: float) -> bool:
    """Take one open hold back and cancel its invocation; False where it moved in between."""
    invocation = await store.find_invocation(hold.invocation)
    if invocation is None or invocation.state is not InvocationState.HELD:
        return False
    changes: tuple[Change, ...] = (
        MoveHold(
            hold=replace(hold, state=HoldState.WITHDRAWN, etag=hold.etag + 1),
            from_etag=hold.etag,
        ),
        MoveInvocation(
            invocation=replace(
                invocation,
                state=InvocationState.CANCELLED,
                code="CANCELLED",
                message="The call was taken back before anything ran.",
                updated_at=now,
                etag=invocation.etag + 1,
            ),
            from_etag=invocation.etag,
        ),
    )
    entry = EntryDraft(
        kind=EntryKind.HOLD_CHANGED,
        at=now,
        actor=actor,
        invocation=invocation.name,
        session=hold.session,
        body={"hold": hold.name, "state": HoldState.WITHDRAWN.value},
    )
    try:
        await store.commit(Unit(changes=changes, entries=(entry,)))
    except Conflict:
        return False
    events.publish("hold", hold.name)
    events.publish("invocation", invocation.name)
    return True


def check_open(session: Session, *, now: float) -> None:
    """Raise IllegalTransition unless the session is open and in time."""
    if session.state != OPEN:
        raise IllegalTransition(f"The session is {session.state}.")
    if now >= session.expires_at or now >= session.idle_expires_at:
        raise IllegalTransition("The session has expired.")


def _session_of(
    mandate: str,
    order: MandateOrder,
    agent: Agent,
    *,
    now: float,
    life_s: float,
) -> Session:
    return Session(
        name="",
        mandate=mandate,
        principal=order.principal,
        agent=agent,
        context=order.context,
        words=order.words,
        scopes=order.scopes,
        opened_at=now,
        expires_at=now + life_s,
        idle_expires_at=now + life_s,
        state=OPEN,
        secret_digest=b"",
    )


def _check(order: MandateOrder) -> None:
    principal = order.principal.id
    if not 0 < len(principal) <= limits.NAME_CHARACTERS_MAX:
        raise MalformedRequest(
            f"A principal's id has 1 to {limits.NAME_CHARACTERS_MAX} characters.",
            metadata={"field": "principal.id"},
        )
    if len(order.scopes) > limits.MANDATE_SCOPES_MAX:
        raise LimitExceeded(f"A mandate has at most {limits.MANDATE_SCOPES_MAX} scopes.")
    _check_words(order.words)


def _check_words(words: Sequence[str]) -> None:
    if sum(len(w.encode("utf-8", "surrogatepass")) for w in words) > limits.WORDS_BYTES_MAX:
        raise LimitExceeded(f"A session's words are at most {limits.WORDS_BYTES_MAX} bytes.")
