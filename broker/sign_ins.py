"""Who is at the review page: a Person with a short-lived, revocable row, never another token.

The browser's cookie holds 256 random bits, made anew at every sign-in, so that nobody can be given
a sign-in that somebody else knows. What an Agent, Worker, Host, Operator or Auditor holds opens no
page: nothing here reads credentials. Whose identity an operator has revoked is nobody here either,
at once and whatever their provider says.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from broker.core.audit import EntryDraft, EntryKind
from broker.core.credentials import secret_digest
from broker.core.errors import NotPermitted, Unauthenticated
from broker.core.holds import Hold, Reviewer
from broker.core.sign_ins import (
    SIGN_IN_IDLE_S,
    SIGN_IN_LIFE_S,
    STEP_UP_LIFE_S,
    AddSignIn,
    AddStepUp,
    DropSignIns,
    EndSignIn,
    SignIn,
    StepUp,
    TouchSignIn,
)
from broker.core.unit import Conflict, Unit
from broker.ports import Clock, Store

_SECRET_BYTES: Final = 32
_TOUCH_AFTER_S: Final = 60.0


class SignIns:
    """Opens and ends sign-ins, and says whose one is."""

    def __init__(
        self, *, store: Store, clock: Clock, refused: Callable[[], Collection[str]] = frozenset
    ) -> None:
        """Make one; `refused` are those, `issuer#subject`, whom an operator has revoked."""
        self._store = store
        self._clock = clock
        self._refused = refused

    async def open(self, reviewer: Reviewer, *, how: str) -> str:
        """A new sign-in.

        Args:
            reviewer: who has shown who they are.
            how: `oidc` or `local`.

        Returns:
            The secret for the browser's cookie. It is nowhere else.

        Raises:
            NotPermitted: an operator has revoked them.
        """
        if str(reviewer.person) in self._refused():
            raise NotPermitted("An operator has revoked what you may do here.")
        now = self._clock()
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        made = SignIn(
            digest=secret_digest(secret),
            reviewer=reviewer,
            how=how,
            created_at=now,
            expires_at=now + SIGN_IN_LIFE_S,
            idle_expires_at=now + SIGN_IN_IDLE_S,
        )
        changes = (DropSignIns(expired_at=now), AddSignIn(sign_in=made))
        entry = _entry(EntryKind.SIGN_IN_CREATED, made, at=now)
        await self._store.commit(Unit(changes=changes, entries=(entry,)))
        return secret

    async def find(self, secret: str) -> SignIn:
        """The sign-in of a cookie.

        Raises:
            Unauthenticated: there is none, or it is over.
        """
        found = await self._store.find_sign_in(secret_digest(secret)) if secret else None
        now = self._clock()
        if found is None or not self._is_good(found, now=now):
            raise Unauthenticated("You are not signed in, or no longer.")
        idle_at = now + SIGN_IN_IDLE_S
        if idle_at - found.idle_expires_at < _TOUCH_AFTER_S:
            return found
        try:
            touched = TouchSignIn(digest=found.digest, idle_expires_at=idle_at)
            await self._store.commit(Unit(changes=(touched,), entries=()))
        except Conflict:
            raise Unauthenticated("You are not signed in, or no longer.") from None
        return replace(found, idle_expires_at=idle_at)

    async def recheck(self, sign_in: SignIn) -> bool:
        """Whether a sign-in is good yet, for a stream that goes on."""
        found = await self._store.find_sign_in(sign_in.digest)
        return found is not None and self._is_good(found, now=self._clock())

    async def good(self) -> Sequence[SignIn]:
        """Those that are good now, newest first."""
        now = self._clock()
        found = await self._store.list_sign_ins()
        return [one for one in found if self._is_good(one, now=now)]

    def _is_good(self, sign_in: SignIn, *, now: float) -> bool:
        return sign_in.is_good(now=now) and str(sign_in.reviewer.person) not in self._refused()

    async def end(self, sign_in: SignIn, *, actor: str = "", reason: str = "") -> None:
        """End it, for its browser and for good.

        Args:
            sign_in: which one.
            actor: who does so; its own Person unless said.
            reason: why, where somebody else does.
        """
        entry = _entry(
            EntryKind.SIGN_IN_ENDED, sign_in, at=self._clock(), actor=actor, reason=reason
        )
        await self._store.commit(
            Unit(changes=(EndSignIn(digest=sign_in.digest),), entries=(entry,))
        )

    async def has_stepped_up(self, sign_in: SignIn, hold: Hold) -> bool:
        """Whether a step-up for exactly this hold as it is waits to be used."""
        found = await self._store.find_step_up(sign_in.digest, hold.name)
        return (
            found is not None
            and (found.etag, found.call_digest) == (hold.etag, hold.call_digest)
            and self._clock() < found.expires_at
        )

    async def sweep(self) -> None:
        """Erase what is over; a new sign-in does that, too."""
        over = DropSignIns(expired_at=self._clock())
        await self._store.commit(Unit(changes=(over,), entries=()))

    async def step_up(self, sign_in: SignIn, hold: Hold) -> None:
        """Record that this Person has just shown who they are, for this hold as it is."""
        now = self._clock()
        made = StepUp(
            sign_in=sign_in.digest,
            hold=hold.name,
            etag=hold.etag,
            call_digest=hold.call_digest,
            created_at=now,
            expires_at=now + STEP_UP_LIFE_S,
        )
        await self._store.commit(Unit(changes=(AddStepUp(step_up=made),), entries=()))


def _entry(
    kind: EntryKind, sign_in: SignIn, *, at: float, actor: str = "", reason: str = ""
) -> EntryDraft:
    who = sign_in.reviewer
    return EntryDraft(
        kind=kind,
        at=at,
        actor=actor or who.name,
        body={
            "sign_in": sign_in.name,
            "person": str(who.person),
            "groups": list(who.groups),
            "how": sign_in.how,
            **({"reason": reason} if reason else {}),
        },
    )
