"""The settings of issuers whose access tokens are taken: each with an audience for each service."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broker.core.addresses import is_https_or_here
from broker.settings_checks import not_https


class Jwt(BaseModel):
    """An issuer of access tokens (RFC 9068)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(
        description="Exactly as its tokens write it, https://login.example.com. Somebody is this "
        "and the subject, `ISSUER#SUBJECT`.",
    )
    audiences: Mapping[Literal["host", "agent", "worker", "review", "admin"], str] = Field(
        description="What a token for each service says as `aud`; a service without one takes "
        "none of this issuer's tokens.",
    )
    jwks_uri: str = Field(
        default="",
        description="Where its keys are; from {issuer}/.well-known/openid-configuration unless "
        "said.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM of who signs the issuer's certificate; those of the system unless said.",
    )
    algorithms: tuple[Literal["RS256", "ES256", "EdDSA"], ...] = Field(
        default=("RS256", "ES256", "EdDSA"), min_length=1, description="Those that it signs with."
    )
    life_s_max: int = Field(
        default=3_600,
        ge=60,
        le=86_400,
        description="Seconds that one of its tokens may be meant to last.",
    )
    groups_claim: str = Field(
        default="groups", description="Claim of a reviewer's token with their groups."
    )
    groups: Mapping[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Groups of reviewers, by what that claim says; without any, reviewers too "
        "are those whom `token create --identity` binds.",
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        for name, url in (("issuer", self.issuer), ("jwks_uri", self.jwks_uri)):
            parts = urlsplit(url)
            if url and (parts.username is not None or parts.fragment or not is_https_or_here(url)):
                raise not_https(name, url)
        if not self.issuer or urlsplit(self.issuer).query:
            raise ValueError(f"issuer = {self.issuer!r} is no https address")
        told = [*self.audiences.values()]
        if not told or not all(told) or len(set(told)) != len(told):
            raise ValueError("audiences: at least one, and another one for each service")
        return self

    def anchored(self, at: Callable[[Path | None], Path | None]) -> "Jwt":
        """The same with its file's path made absolute."""
        return self.model_copy(update={"ca_file": at(self.ca_file)})


def require_one_each(issuers: Sequence[Jwt], *, of_pages: str) -> None:
    """Raise ValueError where one issuer has two sections, or two spellings.

    A Person is an issuer and a subject, compared as they are written: in two spellings one human
    would be two, and could approve what they asked for themselves.

    Args:
        issuers: of access tokens.
        of_pages: who signs reviewers in at the pages; empty where nobody does.
    """
    named = [one.issuer for one in issuers]
    if len(set(named)) != len(named):
        raise ValueError("jwt: each issuer has one section")
    spelled = {*named, of_pages} - {""}
    if len({_folded(one) for one in spelled}) != len(spelled):
        raise ValueError(
            "jwt and web.oidc spell one issuer in two ways, which would make two Persons of one "
            "human: write it as its tokens do, in both"
        )


def _folded(issuer: str) -> str:
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}".casefold()
