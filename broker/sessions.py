"""A session exists because a host ordered it: a mandate is redeemed once, by the agent it names.

The agent proves with each call that it holds both its own credential and this session's secret;
neither alone is enough. A session of somebody else and one that never was give the same answer.
What waits in a session ends with it.
"""

import hmac
import secrets
from dataclasses import replace

from broker.core import limits
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Session
from broker.core.credentials import Credential, secret_digest
from broker.core.errors import IllegalTransition, NotFound
from broker.core.unit import Conflict, EndSession, RedeemMandate, Unit
from broker.invocations import Invocations, is_of
from broker.own_work import OwnWork
from broker.ports import Clock, IdFactory, Store

OPEN = "OPEN"
CLOSED = "CLOSED"
REVOKED = "REVOKED"

NO_MANDATE = "There is no such mandate."
NO_SESSION = "There is no such session."


class Sessions:
    """Tasks of agents for principals."""

    def __init__(
        self,
        *,
        store: Store,
        invocations: Invocations,
        own: OwnWork,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._store = store
        self._invocations = invocations
        self._own = own
        self._clock = clock
        self._ids = ids

    async def open(self, agent: Credential, mandate_secret: str) -> tuple[Session, str]:
        """Redeem a mandate, once.

        Returns:
            The session and its secret, which is not kept.

        Raises:
            NotFound: no such mandate for this agent, or it was used, revoked, or is too old.
        """
        now = self._clock()
        mandate = await self._store.find_mandate(secret_digest=secret_digest(mandate_secret))
        if mandate is None or not is_of(agent, mandate.session):
            raise NotFound(NO_MANDATE)
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
            raise NotFound(NO_MANDATE) from None
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
            or not is_of(agent, session)
            or not hmac.compare_digest(session.secret_digest, secret_digest(secret))
        ):
            raise NotFound(NO_SESSION)
        check_open(session, now=self._clock())
        return Caller(session=session, credential=agent.name)

    async def close(self, agent: Credential, name: str, secret: str) -> None:
        """End a session; what waits for people is withdrawn.

        Raises:
            NotFound: no such session of this agent, or another secret.
            IllegalTransition: it is over already.
        """
        caller = await self.caller(agent, name, secret)
        await self.end(caller.session, state=CLOSED, actor=agent.subject, reason="closed")

    async def end(self, session: Session, *, state: str, actor: str, reason: str) -> None:
        """End a session as CLOSED or REVOKED; what waits for people is withdrawn.

        Where it is over already, what still waits is withdrawn all the same.
        """
        await self._own.run(self._end(session, state=state, actor=actor, reason=reason))

    async def _end(self, session: Session, *, state: str, actor: str, reason: str) -> None:
        entry = EntryDraft(
            kind=EntryKind.SESSION_ENDED,
            at=self._clock(),
            actor=actor,
            session=session.name,
            body={"mandate": session.mandate, "state": state, "reason": reason},
        )
        # The session ends first, so that nothing new can be held in it while holds are withdrawn.
        try:
            change = EndSession(name=session.name, state=state)
            await self._store.commit(Unit(changes=(change,), entries=(entry,)))
        except Conflict:
            pass  # it is over already
        await self._invocations.withdraw_all(session.name, actor=actor)


def is_over(session: Session, *, now: float) -> bool:
    """Whether it has ended, or its life has: being idle ends nothing that was begun in it."""
    return session.state != OPEN or now >= session.expires_at


def check_open(session: Session, *, now: float) -> None:
    """Raise IllegalTransition unless the session is open and in time."""
    if session.state != OPEN:
        raise IllegalTransition(f"The session is {session.state}.")
    if now >= session.expires_at or now >= session.idle_expires_at:
        raise IllegalTransition("The session has expired.")
