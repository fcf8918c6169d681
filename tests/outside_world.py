"""A world beyond the proxy, on this machine: names, certificates, and a host that answers.

The host is real: TLS with a certificate of an authority made for the test, on loopback, which the
profile under test opens by `private_addresses`. It sends whatever bytes a test scripts.
"""

import asyncio
import datetime as dt
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandboxes.egress.credentials import Credential
from sandboxes.egress.outside import Outside, trusting
from sandboxes.egress.proxy import SOCKET_NAME, EgressGate
from sandboxes.entry.egress_client import Answer, EgressRefused, fetch
from sandboxes.profile import Egress, EgressRule

HOST = "api.example.com"
NAMES = (HOST, "*.example.com", "*.shops.example.com")
LOOPBACK = ("127.0.0.0/8",)
BEGUN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
ENDED = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Authority:
    """Who vouches for the host; `file` is its certificate, `server` the host's own side of TLS."""

    file: Path
    server: ssl.SSLContext


@cache
def authority() -> Authority:
    """Made once a process; its files go with the process."""
    directory = Path(_kept().name)
    issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _certificate(
        "Test authority", issuer_key, "Test authority", issuer_key, is_issuer=True
    )
    leaf = _certificate(HOST, key, "Test authority", issuer_key, is_issuer=False)
    (directory / "authority.pem").write_bytes(issuer.public_bytes(serialization.Encoding.PEM))
    (directory / "host.pem").write_bytes(
        leaf.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "host.pem")
    return Authority(file=directory / "authority.pem", server=server)


@cache
def _kept() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="authority-", ignore_cleanup_errors=True)


def _certificate(subject, key, issuer, issuer_key, *, is_issuer):
    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    building = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGUN)
        .not_valid_after(ENDED)
        .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if not is_issuer:
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES])
        building = building.add_extension(names, critical=False)
    return building.sign(issuer_key, hashes.SHA256())


@dataclass
class Asked:
    """One request as the host got it."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    address: str


Script = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def saying(body: bytes, *fields: str, status: str = "200 OK") -> Script:
    """Answer with a length."""
    head = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return raw("\r\n".join(head).encode() + body)


def raw(answer: bytes) -> Script:
    """Answer with these bytes."""

    async def answered(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return answered


@dataclass
class Origin:
    """A host: what it was asked, and what it says."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    script: Script = field(default_factory=lambda: saying(b'{"ok":true}'))
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str, *, scheme: str = "https") -> str:
        """Of this host, under its name."""
        return f"{scheme}://{HOST}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {n.lower(): v for n, _, v in (each.partition(": ") for each in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            address = writer.get_extra_info("sockname")[0]
            asked = Asked(line, headers, body, address)
            self.asked.append(asked)
            await self.script(asked, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.hung_up.set()
            writer.transport.abort()


@asynccontextmanager
async def origin(*, tls: bool = True, address: str = "127.0.0.1") -> AsyncIterator[Origin]:
    """A host on loopback."""
    host = Origin()
    server = await asyncio.start_server(
        host.serve, address, 0, ssl=authority().server if tls else None
    )
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()


class Names:
    """A resolver that says what a test tells it to, one answer a look-up; the last one stays."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]] | None = None) -> None:
        """Every name is on loopback unless told otherwise."""
        self._answers = {host: list(said) for host, said in (answers or {}).items()}
        self.asked: list[str] = []

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """As scripted."""
        del port
        self.asked.append(host)
        said = self._answers.get(host, [["127.0.0.1"]])
        found = said.pop(0) if len(said) > 1 else said[0]
        if not found:
            raise OSError("no such name")
        return found


def rule(port: int, **given) -> EgressRule:
    """One of the host's; any path unless told otherwise."""
    return EgressRule(**{"host": HOST, "port": port, "path": "/*", **given})


def egress(*rules: EgressRule, **given) -> Egress:
    """A way out to loopback."""
    return Egress(rules=rules, **{"private_addresses": LOOPBACK, **given})


def outside(*credentials: Credential, names: Names | None = None, **given) -> Outside:
    """A node's, that trusts the test's authority, at a fixed time."""
    return Outside(
        now=lambda: 1_700_000_000.0,
        credentials={each.name: each for each in credentials},
        tls=_trust(),
        resolver=names or Names(),
        **given,
    )


@cache
def _trust() -> ssl.SSLContext:
    return trusting(authority().file)


@dataclass
class Tool:
    """What runs in the container: it has the socket, and nothing else."""

    gate: EgressGate
    socket: Path
    outside: Outside

    async def fetch(self, url: str, *args, **given) -> Answer:
        """As tools do."""
        return await asyncio.to_thread(fetch, url, *args, socket_path=str(self.socket), **given)

    async def refused(self, url: str, *args, **given) -> str:
        """The code that it is refused with."""
        try:
            answer = await self.fetch(url, *args, **given)
        except EgressRefused as error:
            return error.code
        raise AssertionError(f"not refused: {answer}")

    async def says(self, raw_request: bytes) -> bytes:
        """Write these bytes, and read whatever comes until the end."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            writer.write(raw_request)
            async with asyncio.timeout(15):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


@asynccontextmanager
async def gate(
    directory: Path, way_out: Egress | None, beyond: Outside, *, subject: str = "", **given
) -> AsyncIterator[Tool]:
    """An open gate, or one that waits for its call where there is no `way_out`."""
    directory.chmod(0o700)  # noqa: ASYNC240 - a test's own folder
    made = EgressGate(directory / "gate", beyond, peer_uid=given.pop("peer_uid", None))
    await made.start()
    try:
        if way_out is not None:
            made.open(way_out, given.pop("input_json", b"{}"), subject)
        yield Tool(made, directory / "gate" / SOCKET_NAME, beyond)
    finally:
        await made.close()


@asynccontextmanager
async def opened(
    directory: Path, *, call: Mapping[str, object] | None = None, **given
) -> AsyncIterator[tuple[Tool, Origin]]:
    """A gate that is open to one host, and the host; takes what a rule or a way out takes."""
    of_rule = {name: given.pop(name) for name in EgressRule.__dataclass_fields__ & given.keys()}
    async with (
        origin() as host,
        gate(
            directory,
            egress(rule(host.port, **of_rule), **given),
            outside(),
            input_json=json.dumps(call or {}).encode(),
        ) as tool,
    ):
        yield tool, host
