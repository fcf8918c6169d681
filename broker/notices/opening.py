"""From settings to channels; what they name is read at once, so that a mistake shows at start."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from broker.config import ConfigurationRefused
from broker.core.notices import NoticeEvent
from broker.notices.destinations import DestinationRefused, addresses_of
from broker.notices.mail import MailAccount, MailMessenger
from broker.notices.webhook import WebhookMessenger
from broker.notify_settings import Notify, NotifyAgent, NotifyMail, NotifyWebhook
from broker.ports import Clock
from broker.ports.notifying import Channel

_PREFIX: Final = "whsec_"
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
SECRETS_MAX: Final = 2
TOGETHER_ABOVE: Final = 20
CHECK_DEADLINE_S: Final = 5.0


def open_channels(notify: Sequence[Notify], *, clock: Clock) -> tuple[Channel, ...]:
    """Make the channels that the settings name; nothing is sent.

    Raises:
        ConfigurationRefused: a file is not there, or is not what it should be.
    """
    try:
        return tuple(_channel(one, clock=clock) for one in notify)
    except (OSError, ValueError) as error:
        raise ConfigurationRefused((f"notify: {error}",)) from None


async def check_channel(one: Notify) -> str:
    """What would keep a channel from telling anything, without telling anything; empty: nothing."""
    try:
        _channel(one, clock=lambda: 0.0)
    except (OSError, ValueError) as error:
        return str(error)
    host, port, allow_private = _place(one)
    try:
        async with asyncio.timeout(CHECK_DEADLINE_S):
            await addresses_of(host, port, allow_private=allow_private)
    except TimeoutError:
        return "its name is not found in time"
    except DestinationRefused as refused:
        return str(refused)
    return ""


def _channel(one: Notify, *, clock: Clock) -> Channel:
    events = tuple(NoticeEvent(event) for event in one.events)
    if isinstance(one, NotifyMail):
        return Channel(
            name=one.name,
            kind=one.kind,
            target=f"{', '.join(one.recipients)} by {one.smtp}",
            messenger=MailMessenger(_account(one)),
            events=events,
            groups=one.groups,
            interval_s=one.interval_s,
        )
    return Channel(
        name=one.name,
        kind=one.kind,
        target=_origin(one.url),
        messenger=WebhookMessenger(
            one.url,
            secrets=_secrets(one.secret_file),
            clock=clock,
            allow_private=one.allow_private,
            ca_file=one.ca_file,
        ),
        events=events,
        groups=one.groups if isinstance(one, NotifyWebhook) else (),
        agents=one.agents if isinstance(one, NotifyAgent) else (),
        together_above=TOGETHER_ABOVE,
    )


def _place(one: Notify) -> tuple[str, int, bool]:
    if isinstance(one, NotifyMail):
        host, _, port = one.smtp.rpartition(":")
        return host, int(port), True
    parts = urlsplit(one.url)
    return parts.hostname or "", parts.port or 443, one.allow_private


def _account(one: NotifyMail) -> MailAccount:
    host, _, port = one.smtp.rpartition(":")
    password = ""
    if one.password_file is not None:
        password = one.password_file.read_text(encoding="utf-8").strip()
    return MailAccount(
        host=host.removeprefix("[").removesuffix("]"),
        port=int(port),
        security=one.security,
        sender=one.sender,
        recipients=one.recipients,
        user=one.user,
        password=password,
        ca_file=one.ca_file,
    )


def _secrets(path: Path) -> tuple[str, ...]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    found = tuple(line for line in lines if line)
    if not 1 <= len(found) <= SECRETS_MAX or not all(_is_secret(one) for one in found):
        # Never what is in it.
        raise ValueError(
            f"{path} has no secret: one line, or two, of {_PREFIX} and base64 of "
            f"{SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"
        )
    return found


def _is_secret(text: str) -> bool:
    if not text.startswith(_PREFIX):
        return False
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return False
    return SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX


def _origin(url: str) -> str:
    """Without path and query: those of chat services are secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
