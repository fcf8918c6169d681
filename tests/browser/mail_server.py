"""A real SMTP server on loopback that keeps what it is sent."""

import contextlib
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.replay.running import until

USER, PASSWORD = "callbroker", "between the broker and the post"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message as it was taken in."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def text(self) -> str:
        """Its plain text."""
        body = self.message.get_body(("plain",))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")


@dataclass(slots=True, kw_only=True)
class MailServer:
    """A server that takes in whatever is sent by whoever knows USER's PASSWORD.

    Attributes:
        letters: in order.
        refusing: an SMTP answer, such as "451 4.3.0 Later.", to every message; empty takes them in.
    """

    host: str
    port: int = 0
    letters: list[Letter] = field(default_factory=list)
    refusing: str = ""

    async def take_in(self, _server: Any, session: Any, envelope: Any) -> str:
        """What aiosmtpd calls `handle_DATA`; its answer to the sender."""
        if not session.authenticated:
            return "530 5.7.0 Sign in first."
        if self.refusing:
            return self.refusing
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.letters.append(
            Letter(
                sender=envelope.mail_from,
                recipients=tuple(envelope.rcpt_tos),
                message=message,
            )
        )
        return "250 OK"

    def wait_for(self, count: int = 1) -> list[Letter]:
        """The letters once there are so many; fails where they do not come."""
        until(lambda: len(self.letters) >= count, f"{count} letters; came {len(self.letters)}")
        return self.letters


@contextlib.contextmanager
def serving_mail() -> Iterator[MailServer]:
    """Serve on any free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        kept = MailServer(host=host, port=port)
        controller = _Controller(listener, kept)
        controller.start()
        try:
            yield kept
        finally:
            controller.stop()


class _Controller(Controller):
    """aiosmtpd's, on a socket that listens already: its own would have to be told a free port."""

    def __init__(self, listener: socket.socket, kept: MailServer) -> None:
        super().__init__(
            SimpleNamespace(handle_DATA=kept.take_in),
            hostname=kept.host,
            port=kept.port,
            authenticator=_knows,
            auth_require_tls=False,
        )
        self._listener = listener

    def _create_server(self) -> Coroutine[Any, Any, Any]:
        return self.loop.create_server(self._factory_invoker, sock=self._listener)


def _knows(_server: SMTP, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    expected = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=given == expected, handled=False)
