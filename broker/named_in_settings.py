"""What the settings name, found and read, or refused with what to do about it."""

from collections.abc import Callable
from pathlib import Path

from broker.config import ConfigurationRefused, Settings
from broker.core.control import Control
from broker.core.decision import HoldTerms
from broker.facts.source import SourceSettings
from broker.issuers.access_tokens import Terms
from broker.issuers.holding import IssuedTokens, IssuerSettings
from broker.policy import opa_binary
from broker.policy.room import RemoteOpa
from broker.ports import Clock
from broker.rpc.server import Tls
from broker.sandbox_nodes.node import NodeTls


def opa_of(settings: Settings) -> Path:
    """The OPA binary.

    Raises:
        ConfigurationRefused: there is none.
    """
    try:
        found = opa_binary.find(settings.opa)
    except opa_binary.OpaBinaryError as error:
        raise ConfigurationRefused((str(error),)) from error
    if found is None:
        raise ConfigurationRefused(
            (f"There is no OPA {opa_binary.OPA_VERSION}: `callbroker opa install` gets it.",),
        )
    return found


def remote_opa_of(settings: Settings) -> RemoteOpa | None:
    """The OPA elsewhere; None where it is a child of ours.

    Raises:
        ConfigurationRefused: it has no token, or none that can be read.
    """
    if not settings.opa_url:
        return None
    if settings.opa_token_file is None:
        raise ConfigurationRefused(("opa_url needs opa_token_file.",))
    return RemoteOpa(
        url=settings.opa_url,
        token=bearer_in(settings.opa_token_file, named="opa_token_file"),
        ca_file=settings.opa_ca_file,
    )


def bearer_in(path: Path, *, named: str) -> str:
    """The bearer token in a file of one line.

    Args:
        path: of the file.
        named: the setting that names it.

    Raises:
        ConfigurationRefused: it cannot be read, or has no token: nobody is asked without one.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationRefused((f"{named}: {error}",)) from None
    if not token or not token.isprintable() or " " in token:
        raise ConfigurationRefused((f"{named}: {path} has no token, alone on one line",))
    return token


def tls_of(settings: Settings) -> Tls | None:
    """The server's certificate; None where it has none.

    Raises:
        ConfigurationRefused: a file cannot be read.
    """
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    try:
        client_ca = settings.tls_client_ca_file
        return Tls(
            certificate_chain=settings.tls_certificate_file.read_bytes(),
            private_key=settings.tls_key_file.read_bytes(),
            client_ca=client_ca.read_bytes() if client_ca is not None else None,
        )
    except OSError as error:
        raise ConfigurationRefused((f"TLS: {error}",)) from error


def issued_tokens_of(
    settings: Settings, *, control: Callable[[], Control], clock: Clock
) -> IssuedTokens:
    """Whose access tokens are taken beside our own; nobody's where there is no `[[jwt]]`."""
    issuers = [
        IssuerSettings(
            terms=Terms(
                issuer=one.issuer,
                audiences={str(k): v for k, v in one.audiences.items()},
                algorithms=one.algorithms,
                life_s_max=float(one.life_s_max),
                groups_claim=one.groups_claim,
                groups=one.groups,
            ),
            jwks_uri=one.jwks_uri,
            ca_file=one.ca_file,
        )
        for one in settings.jwt
    ]
    return IssuedTokens(issuers, control=control, clock=clock)


def node_tls_of(settings: Settings) -> NodeTls | None:
    """What sandbox nodes elsewhere are shown; None where none are.

    Raises:
        ConfigurationRefused: a file cannot be read.
    """
    given = settings.sandboxes
    files = (given.tls_ca_file, given.tls_certificate_file, given.tls_key_file)
    try:
        pem = [file.read_bytes() for file in files if file is not None]
    except OSError as error:
        raise ConfigurationRefused((f"sandboxes: {error}",)) from error
    if not pem:
        return None
    ca, certificate_chain, private_key = pem
    return NodeTls(ca=ca, certificate_chain=certificate_chain, private_key=private_key)


def source_of(settings: Settings, name: str) -> SourceSettings:
    """A system of record, with the header that it wants."""
    source = settings.sources[name]
    token = source.bearer_token
    headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    return SourceSettings(url=source.url, headers=headers)


def terms_of(settings: Settings) -> HoldTerms:
    """Terms of holds for which no rule names any."""
    review = settings.review
    return HoldTerms(
        reviewers=review.reviewers,
        approvals_required=review.approvals_required,
        decide_within_s=review.decide_within_s,
        run_within_s=review.run_within_s,
    )
