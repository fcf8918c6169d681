"""Whoever a webhook goes to, in the test's own loop: answers, redirects, hangs or never ends."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.core.notices import AgentMessage, PeopleMessage, Waiting

SECRET = "whsec_" + "bGFtcHMgZm9yIHRoZSBoYWxsd2F5IGFyZSBvbiBvZmZlcg=="
NEXT_SECRET = "whsec_" + "dGhlIGhhbGx3YXkgaXMgdG9vIGRhcmsgZm9yIGEgbGFtcCE="

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server; `answer` may be changed at any time."""

    answer: Answer
    port: int = 0
    scheme: str = "http"
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/hooks/1"


def answering(status: int, *headers: str, body: bytes = b"") -> Answer:
    """An answer with this status."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(head).encode() + body)
        await writer.drain()

    return answer


async def hanging(writer: asyncio.StreamWriter) -> None:
    """Takes all in, and never says a word."""
    del writer
    await asyncio.Event().wait()


async def streaming(writer: asyncio.StreamWriter) -> None:
    """Says that all is well, and never comes to an end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Headers for ever, one at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: of it\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def receiving(
    answer: Answer | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Receiver]:
    """Receive on any free port of 127.0.0.1 until the block ends."""
    receiver = Receiver(answer=answer or answering(204), scheme="https" if tls else "http")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.partition(":") for line in head[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                receiver.received.append(Received(head[0], headers, body))
                await receiver.answer(writer)
        finally:
            writer.close()

    working: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        working.add(task)
        task.add_done_callback(working.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(working):
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await server.wait_closed()


def certified(directory: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """The server's side of TLS under a certificate for these names, and who vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A receiver")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2090, 1, 1, tzinfo=dt.UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = directory / "receiver.pem"
    ca = directory / "ca.pem"
    ca.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        ca.read_bytes()
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, ca


def for_people(**changes: object) -> PeopleMessage:
    """That one refund waits."""
    given: dict[str, object] = {
        "id": "msg_1",
        "event": "hold.opened",
        "at": 1_800_000_000.0,
        "waiting": (
            Waiting(
                hold="holds/h-1",
                tool="refund",
                codes=("LARGE",),
                age_s=3,
                link="https://review.example.com/holds/h-1",
            ),
        ),
        "count": 1,
        "link": "https://review.example.com/",
    }
    return PeopleMessage(**{**given, **changes})


def for_an_agent() -> AgentMessage:
    """That a call has ended."""
    return AgentMessage(
        id="msg_2",
        event="invocation.ended",
        at=1_800_000_000.0,
        invocation="invocations/i-1",
        state="SUCCEEDED",
        code="",
    )
