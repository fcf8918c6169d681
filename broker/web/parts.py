"""What the pages are made of: use cases, who may sign in, and how the pages are reached."""

from collections.abc import Callable
from dataclasses import dataclass, field

from broker.core.holds import Reviewer
from broker.events import Events
from broker.ports import Clock
from broker.reviews import Handling, HoldViews, Reviews, Together
from broker.sign_ins import SignIns
from broker.web.journeys import Journeys
from broker.web.providers import Provider
from broker.web.rates import Rates
from broker.web.records import Records
from broker.web.streams import Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the pages are, as browsers write it.

    Attributes:
        origin: `https://review.example.com`, without a slash at the end.
        is_secure: whether it is HTTPS.
        hosts: values of the Host header that are ours; every other one is refused.
    """

    origin: str
    is_secure: bool
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """Everything that a page may ask or do.

    Attributes:
        address: where the pages are; asked once they are served.
        take_back_s: for how long an approval can be taken back, seconds.
        local: signs the bearer of the one-time link in; None where there is none.
        provider: signs people in by OpenID Connect; None where none is set.
        journeys: visits to the provider.
        rates: tries to sign in.
        streams: live pages that are open.
    """

    views: HoldViews
    reviews: Reviews
    handling: Handling
    together: Together
    records: Records
    sign_ins: SignIns
    events: Events
    clock: Clock
    address: Callable[[], Address]
    take_back_s: float
    local: "LocalLink | None" = None
    provider: Provider | None = None
    journeys: Journeys = field(default_factory=Journeys)
    rates: Rates = field(default_factory=Rates)
    streams: Streams = field(default_factory=Streams)


@dataclass(slots=True, kw_only=True)
class LocalLink:
    """A link that signs one Person in, once, from this machine.

    Attributes:
        digest: SHA-256 of what the link ends in; empty once it was used.
        expires_at: POSIX seconds.
    """

    reviewer: Reviewer
    digest: bytes = field(repr=False)
    expires_at: float
