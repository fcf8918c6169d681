"""A mandate is a host's order for one session; the host alone says who the principal is.

It says what the user typed, at first and later, and it may end what it ordered. Another host's
mandate and one that never was give the same answer.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.core import limits
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Agent, Context, Principal, Session
from broker.core.control import Control
from broker.core.credentials import Credential, secret_digest
from broker.core.errors import (
    IllegalTransition,
    LimitExceeded,
    MalformedRequest,
    NotFound,
    StaleEtag,
)
from broker.core.retention import RequireUnerased
from broker.core.scopes import Scope
from broker.core.unit import AddMandate, AppendWords, Conflict, Mandate, RevokeMandate, Unit
from broker.ports import Clock, IdFactory, Store
from broker.sessions import NO_MANDATE, NO_SESSION, OPEN, REVOKED, Sessions

_ADD_WORDS_ATTEMPTS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateOrder:
    """What a host orders.

    Attributes:
        scopes: narrow what principal and agent hold; none means none.
        life_s: how long the session may last at most, seconds.
        parent: the session that this one goes on from; empty for none.
    """

    principal: Principal
    agent: str
    words: tuple[str, ...]
    scopes: tuple[Scope, ...]
    context: Context = Context.OPEN
    life_s: float = limits.SESSION_LIFE_S_MAX
    parent: str = ""


class Mandates:
    """What hosts order."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        store: Store,
        control: Callable[[], Control],
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._control = control
        self._clock = clock
        self._ids = ids

    async def create(self, host: Credential, order: MandateOrder) -> tuple[Mandate, str]:
        """Order a session.

        Returns:
            The mandate and its secret, which is not kept.

        Raises:
            MalformedRequest: no such agent, or a field is out of bounds.
            NotFound: no such parent session of this host and principal.
            LimitExceeded: too many sessions in a line.
        """
        agent = self._control().agents.get(order.agent)
        if agent is None:
            raise MalformedRequest(
                f"There is no agent {order.agent!r}: `callbroker token create agent` makes one.",
                metadata={"field": "agent"},
            )
        _check(order)
        ancestors = await self._ancestors(host, order) if order.parent else ()
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        name = f"mandates/{self._ids()}"
        mandate = Mandate(
            name=name,
            secret_digest=secret_digest(secret),
            host=host.subject,
            session=_session_of(name, order, agent, ancestors, now=now),
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
                **({"parent": order.parent} if order.parent else {}),
            },
            contents={"words": list(order.words)},
        )
        await self._store.commit(Unit(changes=(AddMandate(mandate=mandate),), entries=(entry,)))
        return mandate, secret

    async def add_words(self, host: Credential, name: str, words: Sequence[str]) -> int:
        """Add what the user typed later.

        Returns:
            How many there are now.

        Raises:
            NotFound: no such mandate of this host, or it was revoked before it was redeemed.
            IllegalTransition: its session is over and erased.
            LimitExceeded: more than `limits.WORDS_BYTES_MAX` bytes together.
            StaleEtag: others add words to it all the time.
        """
        for _ in range(_ADD_WORDS_ATTEMPTS_MAX):
            mandate = await self._of(host, name)
            session = await self._store.session_of_mandate(name)
            if session is not None and session.erased is not None:
                raise IllegalTransition("The session is over, and its words are erased.")
            before = session.words if session else mandate.session.words
            _check_words((*before, *words))
            entry = EntryDraft(
                kind=EntryKind.WORDS_ADDED,
                at=self._clock(),
                actor=host.subject,
                session=session.name if session else "",
                body={"mandate": name, "count": len(words)},
                contents={"words": list(words)},
            )
            change = AppendWords(mandate=name, words=tuple(words), after=len(before))
            try:
                unerased = RequireUnerased(mandate=name)
                await self._store.commit(Unit(changes=(unerased, change), entries=(entry,)))
            except Conflict:
                continue
            return len(before) + len(words)
        raise StaleEtag("The mandate's words changed meanwhile. Add them again.")

    async def revoke(self, host: Credential, name: str, reason: str) -> None:
        """End the mandate's session, or the mandate where it was not redeemed yet.

        Raises:
            NotFound: no such mandate of this host.
        """
        await self._of(host, name)
        session = await self._store.session_of_mandate(name)
        if session is None and await self._revoke_unredeemed(host, name, reason):
            return
        # Redeemed in between: the newest state decides.
        session = session or await self._store.session_of_mandate(name)
        if session is not None:
            await self._sessions.end(session, state=REVOKED, actor=host.subject, reason=reason)

    async def _revoke_unredeemed(self, host: Credential, name: str, reason: str) -> bool:
        entry = EntryDraft(
            kind=EntryKind.SESSION_ENDED,
            at=self._clock(),
            actor=host.subject,
            body={"mandate": name, "state": REVOKED, "reason": reason},
        )
        try:
            change = RevokeMandate(name=name)
            await self._store.commit(Unit(changes=(change,), entries=(entry,)))
        except Conflict:
            return False
        return True

    async def _ancestors(
        self, host: Credential, order: MandateOrder
    ) -> tuple[tuple[str, Context], ...]:
        """The line that the session goes on from; another host's or principal's is none."""
        parent = await self._store.find_session(order.parent)
        mandate = await self._store.find_mandate(name=parent.mandate) if parent else None
        if parent is None or mandate is None or mandate.host != host.subject:
            raise NotFound(NO_SESSION)
        asked, had = order.principal, parent.principal
        if (asked.id, asked.person) != (had.id, had.person):
            raise NotFound(NO_SESSION)
        line = (*parent.ancestors, (parent.name, parent.context))
        if len(line) > limits.SESSION_ANCESTORS_MAX:
            raise LimitExceeded(f"A session has at most {limits.SESSION_ANCESTORS_MAX} before it.")
        return line

    async def _of(self, host: Credential, name: str) -> Mandate:
        found = await self._store.find_mandate(name=name)
        if found is None or found.host != host.subject:
            raise NotFound(NO_MANDATE)
        return found


def _session_of(
    mandate: str,
    order: MandateOrder,
    agent: Agent,
    ancestors: tuple[tuple[str, Context], ...],
    *,
    now: float,
) -> Session:
    life_s = min(max(order.life_s, 1.0), limits.SESSION_LIFE_S_MAX)
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
        ancestors=ancestors,
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
    # Each turn counts for one byte more than it has, so that empty ones are bounded too.
    if sum(len(w.encode("utf-8", "surrogatepass")) + 1 for w in words) > limits.WORDS_BYTES_MAX:
        raise LimitExceeded(f"A session's words are at most {limits.WORDS_BYTES_MAX} bytes.")
