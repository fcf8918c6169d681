"""From settings to pages that are served: where they are, and who gets the one-time link."""

import secrets
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass

from broker.config import ConfigurationRefused
from broker.core.calls import Person
from broker.core.credentials import secret_digest
from broker.core.holds import Reviewer
from broker.events import Events
from broker.identity import LOCAL_ISSUER
from broker.ports import Clock, Store
from broker.reviews import Handling, HoldViews, Reviews, Together
from broker.sign_ins import SignIns
from broker.web.application import application
from broker.web.listener import Listener
from broker.web.parts import Address, LocalLink, WebParts
from broker.web.providers import Provider, Terms
from broker.web.records import Records
from broker.web.security import origin_of
from broker.web_settings import Oidc, Web

LINK_LIFE_S = 600.0
_LINK_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The use cases that pages ask; `refused` says whose identities an operator has revoked."""

    views: HoldViews
    reviews: Reviews
    handling: Handling
    together: Together
    records: Records
    store: Store
    events: Events
    clock: Clock
    refused: Callable[[], Collection[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPages:
    """Pages that are served.

    Attributes:
        url: where.
        link: signs a local reviewer in, once, for ten minutes; empty where there is none.
    """

    url: str
    link: str
    listener: Listener


async def open_pages(web: Web, asked: Asked, *, groups: tuple[str, ...]) -> OpenPages:
    """Serve the pages.

    Args:
        web: their settings; `listen` is not empty.
        asked: use cases.
        groups: of the local reviewer, where the settings name none.

    Raises:
        ConfigurationRefused: the address cannot be had, or a file of the settings is not there.
    """
    addresses: list[Address] = []
    local, secret = _local(web, groups, now=asked.clock())
    sign_ins = SignIns(store=asked.store, clock=asked.clock, refused=asked.refused)
    await sign_ins.sweep()
    parts = WebParts(
        views=asked.views,
        reviews=asked.reviews,
        handling=asked.handling,
        together=asked.together,
        records=asked.records,
        sign_ins=sign_ins,
        events=asked.events,
        clock=asked.clock,
        address=lambda: addresses[0],
        take_back_s=web.take_back_s,
        local=local,
        provider=_provider(web.oidc, asked.clock) if web.oidc else None,
    )
    listener = Listener(
        application(parts),
        certificate_file=str(web.tls_certificate_file) if web.tls_certificate_file else None,
        key_file=str(web.tls_key_file) if web.tls_key_file else None,
    )
    # The port may be any free one, and no request comes before it is known.
    addresses.append(_address(web, port=0))
    try:
        port = await listener.start(web.listen)
    except OSError as error:
        raise ConfigurationRefused(
            (f"The review pages cannot listen on {web.listen}: {error}",)
        ) from None
    addresses[0] = _address(web, port=port)
    url = addresses[0].origin
    return OpenPages(url=url, link=f"{url}/sign-in/{secret}" if secret else "", listener=listener)


def _local(web: Web, groups: tuple[str, ...], *, now: float) -> tuple[LocalLink | None, str]:
    if not web.has_local_link:
        return None, ""
    secret = secrets.token_urlsafe(_LINK_BYTES)
    who = Reviewer(
        name=web.local_reviewer,
        person=Person(issuer=LOCAL_ISSUER, subject=web.local_reviewer),
        groups=web.local_groups or groups,
    )
    link = LocalLink(reviewer=who, digest=secret_digest(secret), expires_at=now + LINK_LIFE_S)
    return link, secret


def _provider(oidc: Oidc, clock: Clock) -> Provider:
    # By whoever has set one alone: `web.providers` says why.
    from broker.web.oidc import Provider as OpenIdProvider  # noqa: PLC0415

    secret = ""
    try:
        if oidc.client_secret_file is not None:
            secret = oidc.client_secret_file.read_text(encoding="utf-8").strip()
        if oidc.ca_file is not None:
            ssl.create_default_context(cafile=str(oidc.ca_file))
    except (OSError, ValueError) as error:
        raise ConfigurationRefused((f"web.oidc: {error}",)) from error
    terms = Terms(
        issuer=oidc.issuer,
        client_id=oidc.client_id,
        client_secret=secret,
        scopes=oidc.scopes,
        groups_claim=oidc.groups_claim,
        name_claim=oidc.name_claim,
        groups=oidc.groups,
        ca_file=oidc.ca_file,
    )
    return OpenIdProvider(terms, clock=clock)


def _address(web: Web, *, port: int) -> Address:
    host = web.listen.rpartition(":")[0]
    scheme = "https" if web.tls_certificate_file else "http"
    origin = origin_of(web.url or f"{scheme}://{host}:{port}")
    own = origin.partition("://")[2]
    return Address(origin=origin, is_secure=origin.startswith("https://"), hosts=frozenset({own}))
