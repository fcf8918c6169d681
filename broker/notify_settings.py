"""Whom to tell of holds, and how: the `[[notify]]` sections of the settings."""

from collections.abc import Callable
from email.headerregistry import Address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broker.core.addresses import is_https_or_here, is_loopback

PeopleEvent = Literal["hold.opened", "hold.reminder"]
AgentEvent = Literal["invocation.held", "invocation.ended"]

# What several kinds of channel have, each said once.
Name = Annotated[
    str,
    Field(
        pattern="^[a-z][a-z0-9-]{0,39}$",
        description="What is yet to be told is kept by this name: leave it as it is.",
    ),
]
SecretFile = Annotated[
    Path,
    Field(
        description="File with the secret that signs, `whsec_` and base64 of 24 to 64 bytes; a "
        "second line while another one takes its place.",
    ),
]
PeopleEvents = Annotated[
    tuple[PeopleEvent, ...],
    Field(min_length=1, description="A reminder comes half-way to when a hold expires."),
]
Groups = Annotated[
    tuple[str, ...],
    Field(description="Only holds that these groups may decide on; all unless said."),
]
AllowPrivate = Annotated[bool, Field(description="Whether it may be in a private network.")]
CaFile = Annotated[
    Path | None,
    Field(description="PEM of who signs its certificate; those of the system unless said."),
]


class _Channel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def anchored(self, at: Callable[[Path | None], Path | None]) -> Self:
        """The same with paths relative to the file's directory."""
        files = {
            name: at(value) for name, value in self if name.endswith("_file") and value is not None
        }
        return self.model_copy(update=files)


class NotifyWebhook(_Channel):
    """Reviewers are told by webhook."""

    kind: Literal["webhook"] = Field(description="`webhook`.")
    name: Name
    url: str = Field(
        description="Where to POST, https://chat.example.com/hooks/1; http for loopback alone."
    )
    secret_file: SecretFile
    events: PeopleEvents = ("hold.opened", "hold.reminder")
    groups: Groups = ()
    allow_private: AllowPrivate = False
    ca_file: CaFile = None

    @model_validator(mode="after")
    def _safe(self) -> Self:
        _require_safe_url(self.url)
        return self


class NotifyMail(_Channel):
    """Reviewers are told by mail."""

    kind: Literal["mail"] = Field(description="`mail`.")
    name: Name
    smtp: str = Field(description="The server, mail.example.com:587.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="`tls` from the first byte, usually at port 465; `none` for loopback alone.",
    )
    sender: str = Field(alias="from", description="Address that mails come from.")
    recipients: tuple[str, ...] = Field(
        alias="to", min_length=1, max_length=50, description="Addresses that they go to."
    )
    user: str = Field(default="", description="Who the broker is to the server.")
    password_file: Path | None = Field(default=None, description="File with their password.")
    events: PeopleEvents = ("hold.opened", "hold.reminder")
    groups: Groups = ()
    interval_s: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="The least between two mails, seconds; one tells of all that came meanwhile.",
    )
    ca_file: CaFile = None

    @model_validator(mode="after")
    def _safe(self) -> Self:
        host, _, port = self.smtp.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise ValueError(f"smtp = {self.smtp!r} is no address such as mail.example.com:587")
        if self.security == "none" and not is_loopback(host):
            raise ValueError("security: none is for loopback alone")
        if bool(self.user) != (self.password_file is not None):
            raise ValueError("user and password_file come together")
        for address in (self.sender, *self.recipients):
            _require_address(address)
        return self


class NotifyAgent(_Channel):
    """The agent's side is told by webhook."""

    kind: Literal["agent_webhook"] = Field(description="`agent_webhook`.")
    name: Name
    url: str = Field(
        description="Where to POST, https://shop.example.com/hooks/1; http for loopback alone."
    )
    secret_file: SecretFile
    agents: tuple[str, ...] = Field(
        min_length=1, description="Only calls of these agents: `agents/support-assistant`."
    )
    events: tuple[AgentEvent, ...] = Field(
        default=("invocation.held", "invocation.ended"),
        min_length=1,
        description="Of calls that were held.",
    )
    allow_private: AllowPrivate = False
    ca_file: CaFile = None

    @model_validator(mode="after")
    def _safe(self) -> Self:
        _require_safe_url(self.url)
        return self


Notify = Annotated[NotifyWebhook | NotifyMail | NotifyAgent, Field(discriminator="kind")]


def require_distinct(channels: tuple[Notify, ...]) -> None:
    """Two channels of one name would tell each other's notices.

    Raises:
        ValueError: there are.
    """
    names = [channel.name for channel in channels]
    if len(set(names)) != len(names):
        raise ValueError("notify: each has a name of its own")


def _require_safe_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("url is no address such as https://chat.example.com/hooks/1") from None
    if not parts.hostname or parts.username is not None or parts.fragment or port == 0:
        raise ValueError("url has https://, a host and a path: no user and no fragment")
    if not is_https_or_here(url):
        raise ValueError("url is no https address; plain http is for loopback alone")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("url: percent-encode what a URL has no place for")


def _require_address(text: str) -> None:
    try:
        found = Address(addr_spec=text)
    except (ValueError, IndexError, AttributeError):
        raise ValueError(f"{text!r} is no mail address") from None
    if not found.username or not found.domain or not text.isprintable() or not text.isascii():
        raise ValueError(f"{text!r} is no mail address")
