"""The settings of the review pages: where they are, and who signs people in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broker.core.addresses import is_https_or_here, is_loopback, listens_here_alone
from broker.settings_checks import (
    not_https,
    require_https,
    require_safe_listen,
    require_tls_pair,
)


class Oidc(BaseModel):
    """The OpenID Connect provider that signs reviewers in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(
        description="Exactly as the provider writes it, https://login.example.com. "
        "A Person is this and the subject, `ISSUER#SUBJECT`.",
    )
    client_id: str = Field(
        min_length=1,
        description="Who the broker is to the provider, at which its redirect URI is "
        "{web.url}/sign-in/return.",
    )
    client_secret_file: Path | None = Field(
        default=None, description="File with the client's secret; none for a public client."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM of who signs the provider's certificate; those of the system unless said.",
    )
    scopes: tuple[str, ...] = Field(
        default=("openid", "profile"), description="Asked for at sign-in."
    )
    groups_claim: str = Field(
        default="groups", description="Claim of the ID token with a person's groups."
    )
    groups: Mapping[str, tuple[str, ...]] = Field(
        description="Groups of reviewers, by what that claim says; everything else counts nothing.",
    )
    name_claim: str = Field(
        default="preferred_username", description="Claim with what a reviewer is called."
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        parts = urlsplit(self.issuer)
        if (
            parts.username is not None
            or parts.query
            or parts.fragment
            or not is_https_or_here(self.issuer)
        ):
            raise not_https("issuer", self.issuer)
        if "openid" not in self.scopes:
            raise ValueError("scopes: openid is one of them")
        if not self.groups:
            raise ValueError("groups: without any, nobody can sign in")
        return self


class Web(BaseModel):
    """The review pages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field(
        default="127.0.0.1:7401",
        description="Address and port of the review pages. Anything but loopback needs TLS. "
        "Empty: no pages.",
    )
    url: str = Field(
        default="",
        description="How browsers reach them, https://review.example.com; http://{listen} unless "
        "said. A proxy in front leaves the Host header as it is.",
    )
    tls_certificate_file: Path | None = Field(default=None, description="PEM chain of the pages.")
    tls_key_file: Path | None = Field(default=None, description="PEM key of the pages.")
    take_back_s: float = Field(
        default=10.0,
        ge=0,
        le=60,
        description="Seconds for which an approval on a page can be taken back, and does not run.",
    )
    local_reviewer: str = Field(
        default="local-reviewer",
        description="Whom the one-time link of `serve` signs in, on loopback alone; empty: nobody. "
        "With `oidc`, nobody unless said.",
    )
    local_groups: tuple[str, ...] = Field(
        default=(), description="Their groups; those of `review.reviewers` unless said."
    )
    oidc: Oidc | None = Field(
        default=None, description="The OpenID Connect provider that signs reviewers in."
    )

    @property
    def has_local_link(self) -> bool:
        """Whether somebody at this machine can sign in by a link, who reaches it nowhere else."""
        if not self.local_reviewer or not self.listen or not listens_here_alone(self.listen):
            return False
        if self.url and not is_loopback(urlsplit(self.url).hostname or ""):
            return False
        return self.oidc is None or "local_reviewer" in self.model_fields_set

    @model_validator(mode="after")
    def _safe(self) -> Self:
        require_tls_pair(self.tls_certificate_file, self.tls_key_file)
        if not self.listen:
            return self
        self._require_safe_url()
        has_tls = self.tls_certificate_file is not None
        require_safe_listen(self.listen, has_tls=has_tls, such_as="127.0.0.1:7401")
        return self

    def _require_safe_url(self) -> None:
        """Browsers show the pages over HTTPS, or on their own machine."""
        host = self.listen.rpartition(":")[0]
        if not self.url:
            if host in {"0.0.0.0", "[::]", "::"}:  # noqa: S104 - to refuse it
                raise ValueError(f"listen = {self.listen!r} is no name for browsers: say url, too")
            return
        parts = urlsplit(self.url)
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
            raise ValueError(f"url = {self.url!r} has more than https://, a host and a port")
        require_https("url", self.url)
        if self.tls_certificate_file is not None and parts.scheme != "https":
            raise ValueError(f"url = {self.url!r} is plain http, and the pages are served by TLS")
