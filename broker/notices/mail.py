"""A mail says how many calls wait and links to them; all of it is the broker's own text.

Over TLS that is verified, or to this machine. A header takes no line break, whatever a tool is
called: the message class refuses it, and the text was made visible before.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Literal

import aiosmtplib

from broker.core.notices import Message, NoticeEvent, PeopleMessage, Waiting, age
from broker.ports.notifying import NotDelivered

DEADLINE_S: Final = 20.0
_SUBJECT_CHARACTERS_MAX: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class MailAccount:
    """By whom and to whom.

    Attributes:
        security: `tls` from the first byte, `starttls`, or `none`, on loopback alone.
        ca_file: PEM of who signs the server's certificate; those of the system unless said.
    """

    host: str
    port: int
    security: Literal["tls", "starttls", "none"]
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None


class MailMessenger:
    """Implements `ports.notifying.Messenger`."""

    def __init__(self, account: MailAccount, *, deadline_s: float = DEADLINE_S) -> None:
        """Prepare; nothing is opened before the first message.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        self._account = account
        self._deadline_s = deadline_s
        ca = str(account.ca_file) if account.ca_file else None
        self._tls = None if account.security == "none" else ssl.create_default_context(cafile=ca)

    async def send(self, message: Message) -> None:
        """Hand it to the server.

        Raises:
            NotDelivered: the server has not taken it in for everybody.
        """
        if not isinstance(message, PeopleMessage):
            raise NotDelivered("a mail is for people", is_final=True)
        letter = letter_of(message, self._account.sender, self._account.recipients)
        client = self._client()
        try:
            async with asyncio.timeout(self._deadline_s):
                await client.connect()
                refused, _ = await client.send_message(
                    letter,
                    sender=self._account.sender,
                    recipients=list(self._account.recipients),
                )
                await client.quit()
        except TimeoutError:
            raise NotDelivered(f"no answer within {self._deadline_s:g} s") from None
        except aiosmtplib.SMTPResponseException as error:
            raise NotDelivered(f"answered {error.code}") from None
        except (aiosmtplib.SMTPException, MessageError, ValueError, OSError) as error:
            raise NotDelivered(f"not taken in ({type(error).__name__})") from None
        finally:
            client.close()
        if refused:
            # Who has it already gets it again: better twice than not at all for the others.
            raise NotDelivered(f"refused for {len(refused)} of the recipients")

    async def close(self) -> None:
        """There is nothing that stays open."""

    def _client(self) -> aiosmtplib.SMTP:
        account = self._account
        return aiosmtplib.SMTP(
            hostname=account.host,
            port=account.port,
            username=account.user or None,
            password=account.password or None,
            local_hostname="callbroker",
            timeout=self._deadline_s,
            use_tls=account.security == "tls",
            start_tls=account.security == "starttls",
            tls_context=self._tls,
        )


def letter_of(message: PeopleMessage, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """The mail.

    Args:
        message: what it says.
        sender: an address of the settings.
        recipients: likewise.
    """
    letter = EmailMessage(policy=SMTP_POLICY)
    letter["From"] = sender
    letter["To"] = ", ".join(recipients)
    letter["Date"] = format_datetime(datetime.fromtimestamp(message.at, tz=UTC))
    letter["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter["Subject"] = _subject(message)
    letter.set_content(text_of(message), cte="quoted-printable")
    return letter


def text_of(message: PeopleMessage) -> str:
    """What the mail says."""
    lines = ["This call waits for a person:" if message.count == 1 else _many(message), ""]
    for one in message.waiting:
        lines += [f"  {_words(one)}", *([f"  {one.link}"] if one.link else []), ""]
    unlisted = message.count - len(message.waiting)
    if unlisted:
        lines += [f"  and {unlisted} more", ""]
    if message.link:
        lines += [f"All that waits: {message.link}", ""]
    lines.append("Nothing runs before somebody approves it on the page. Replies are not read.")
    return "\n".join(lines) + "\n"


def _words(one: Waiting) -> str:
    return f"{one.tool}   {', '.join(one.codes)}   waits {age(one.age_s)}"


def _many(message: PeopleMessage) -> str:
    return f"{message.count} calls wait for a person:"


def _subject(message: PeopleMessage) -> str:
    if message.count != 1 or not message.waiting:
        return f"{message.count} calls wait for a person"
    one = message.waiting[0]
    still = "still waits" if message.event == NoticeEvent.HOLD_REMINDER else "waits"
    return f"{one.tool} {still} ({', '.join(one.codes)})"[:_SUBJECT_CHARACTERS_MAX]
