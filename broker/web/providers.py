"""A service at which people sign in: what it is told, what it shows, and how it may fail to.

The pages know it by this alone. The one that there is (`web.oidc`) is loaded where it is set: with
what it needs it is a sixtieth of an idle broker's memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from broker.core.calls import Person
from broker.web.journeys import Journey


class ProviderAway(Exception):
    """The provider cannot be asked, or answers what no provider does; `str()` is for the log."""


class NotShown(Exception):
    """The provider's answer does not show who somebody is; `str()` is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the settings say of the provider.

    Attributes:
        issuer: exactly as its ID tokens say it.
        client_id: who the broker is to it.
        client_secret: empty for a public client.
        scopes: asked for; `openid` among them.
        groups_claim, name_claim: where an ID token says the groups and the name.
        groups: ours, by what the claim says.
        ca_file: PEM of who signs the provider's certificate; None for those of the system.
    """

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "profile")
    groups_claim: str = "groups"
    name_claim: str = "preferred_username"
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Who somebody is.

    Attributes:
        groups: ours; without any, they are no reviewer.
        auth_time: when they last showed it to the provider, POSIX seconds; None if it does not say.
    """

    person: Person
    name: str
    groups: tuple[str, ...]
    auth_time: float | None


class Provider(Protocol):
    """Sends browsers to the service, and reads what they bring back."""

    @property
    def terms(self) -> Terms:
        """What the settings say of it."""
        ...

    @property
    def name(self) -> str:
        """Its host, as people know it."""
        ...

    async def door(self, journey: Journey, state: str, *, back: str) -> str:
        """Where a browser goes to sign in.

        Args:
            journey: the visit.
            state: of it.
            back: our address that it returns to.

        Raises:
            ProviderAway: it does not say.
        """
        ...

    async def identify(self, journey: Journey, *, code: str, issuer: str, back: str) -> Identified:
        """Who has come back.

        Args:
            journey: the visit.
            code: what the provider sent along.
            issuer: who it says that it is (RFC 9207); may be empty.
            back: as for `door`.

        Raises:
            NotShown: the answer shows nothing.
            ProviderAway: it cannot be asked.
        """
        ...
