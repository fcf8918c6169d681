"""Somebody has half of what a credential goes with: the token alone, or another certificate.

They have stolen a token, or hold an honest certificate of the clients' authority for something
else, or one of an authority of their own.
"""

import contextlib
import datetime as dt
import ipaddress
import json
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker.core.credentials import CredentialClass
from broker.rpc.certificates import certificate_names
from broker.rpc.server import Tls
from broker.v1 import admin_pb2, admin_pb2_grpc, worker_pb2, worker_pb2_grpc
from tests.served import Served, bearer, server_of
from tests.world import REFUND

SPIFFE = "spiffe://shop.example/worker"
URI, DNS = x509.UniformResourceIdentifier, x509.DNSName
_NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Authority:
    """Signs certificates."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.key, [], is_authority=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, *names: x509.GeneralName) -> tuple[bytes, bytes]:
        """A key and a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(key, list(names), is_authority=False)
        return (
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            signed.public_bytes(serialization.Encoding.PEM),
        )

    def _sign(
        self, key: ec.EllipticCurvePrivateKey, names: list[Any], *, is_authority: bool
    ) -> x509.Certificate:
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SPIFFE)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(issuer if is_authority else subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_NOW)
            .not_valid_after(_NOW + dt.timedelta(days=36_500))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


AUTHORITY, STRANGER = Authority(), Authority()
_KEY, _CHAIN = AUTHORITY.sign(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@contextlib.asynccontextmanager
async def shown(port: int, client: tuple[bytes, bytes] | None) -> AsyncGenerator[Any]:
    """A connection on which this certificate is shown."""
    key, chain = client or (None, None)
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, key, chain)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        yield channel


@pytest.fixture
async def port(broker: Served) -> AsyncGenerator[int]:
    server = server_of(
        broker.world,
        broker.workers,
        broker.administration,
        takes_certificates=True,
        recheck_s=0.05,
    )
    tls = Tls(certificate_chain=_CHAIN, private_key=_KEY, client_ca=AUTHORITY.pem)
    bound = server.bind("127.0.0.1:0", tls)
    await server.start()
    yield bound
    await server.stop(grace_s=0.1)


async def code_of(port: int, client: Any, *metadata: tuple[str, str]) -> grpc.StatusCode:
    async with shown(port, client) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        try:
            await stub.GetStatus(admin_pb2.GetStatusRequest(), metadata=metadata, timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def issue(broker: Served, **given: Any) -> tuple[str, str]:
    made, token = await broker.issue(CredentialClass.AUDITOR, "aud-9", **given)
    return made.name, token


async def test_a_token_that_is_bound_to_a_certificate_is_worth_nothing_beside_another(broker, port):
    """I stole a worker's token, and have an honest certificate of my own."""
    _, token = await issue(broker, certificate_san=f"uri:{SPIFFE}")
    by_token = bearer(token)[0]
    assert await code_of(port, AUTHORITY.sign(URI(SPIFFE)), by_token) is grpc.StatusCode.OK
    for names in ((URI(SPIFFE + "/2"),), (DNS("worker.shop.example"),), ()):
        code = await code_of(port, AUTHORITY.sign(*names), by_token)
        assert code is grpc.StatusCode.UNAUTHENTICATED
    # Where nobody is asked for a certificate, it is worth nothing at all.
    call = broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=bearer(token))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_certificate_is_worth_nothing_without_its_token(broker, port):
    """I stole the machine's certificate, and not the token."""
    await issue(broker, certificate_san=f"uri:{SPIFFE}")
    code = await code_of(port, AUTHORITY.sign(URI(SPIFFE)))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_certificate_alone_opens_what_it_is_bound_to_until_it_is_revoked(broker, port):
    """I hold a worker's certificate: I try other services, and go on after you threw me out."""
    name, _ = await issue(broker, certificate_san=f"uri:{SPIFFE}", digest=b"")
    mine = AUTHORITY.sign(URI(SPIFFE))
    assert await code_of(port, mine) is grpc.StatusCode.OK
    assert await code_of(port, mine, ("authorization", "")) is grpc.StatusCode.UNAUTHENTICATED
    async with shown(port, mine) as channel:
        stub = worker_pb2_grpc.WorkerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in stub.Connect(iter(()), timeout=10):
                pass
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        tail = admin_pb2_grpc.AdminServiceStub(channel).TailInvocations(
            admin_pb2.TailInvocationsRequest(), timeout=10
        )
        await tail.initial_metadata()
        await broker.administration.credentials.revoke(
            broker.credentials[CredentialClass.OPERATOR], name, reason="stolen"
        )
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            async for _ in tail:
                pass
        assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await code_of(port, mine) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.RFC822Name("spiffe@shop.example"),),
        (DNS("shop.example"),),
        (URI("spiffe://shop.example/worker/"),),
        (URI("spiffe://SHOP.example/worker"),),
        (x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SPIFFE)])),),
        (x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x04test"),),
    ],
    ids=str,
)
async def test_a_name_of_another_kind_never_passes_for_the_bound_one(broker, port, names):
    """The authority signs mailboxes and hosts for me; I choose them to look like the worker."""
    await issue(broker, certificate_san=f"uri:{SPIFFE}", digest=b"")
    code = await code_of(port, AUTHORITY.sign(*names))
    assert code is grpc.StatusCode.UNAUTHENTICATED


def test_names_are_told_apart_by_their_kind():
    """A host name that reads like a URI is a host name."""
    _, pem = AUTHORITY.sign(DNS("Worker.Shop.Example"), URI(SPIFFE))
    names = certificate_names({"x509_pem_cert": [pem]})
    assert names == {"dns:worker.shop.example", f"uri:{SPIFFE}"}
    for nothing in ({}, {"x509_pem_cert": []}, {"x509_pem_cert": [pem, pem]}):
        assert certificate_names(nothing) == frozenset()
    assert certificate_names({"x509_pem_cert": [b"nonsense"]}) == frozenset()
    assert certificate_names({"x509_subject_alternative_name": [SPIFFE.encode()]}) == frozenset()


@pytest.mark.parametrize("client", ["none", "another authority's"])
async def test_nobody_gets_through_the_handshake_without_a_certificate_of_the_authority(
    broker, port, client
):
    """I have every token there is, and no certificate, or one that I have signed."""
    mine = None if client == "none" else STRANGER.sign(URI(SPIFFE))
    code = await code_of(port, mine, *broker.by(CredentialClass.OPERATOR))
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_token_without_a_bound_certificate_goes_beside_any(broker, port):
    """No attack: the listener asks everybody for a certificate, and most tokens name none."""
    code = await code_of(port, AUTHORITY.sign(), *broker.by(CredentialClass.OPERATOR))
    assert code is grpc.StatusCode.OK


async def test_a_worker_joins_by_its_certificate_alone(broker, port):
    """No attack."""
    await broker.issue(
        CredentialClass.WORKER, "workers/9", certificate_san=f"uri:{SPIFFE}", digest=b""
    )
    offer = worker_pb2.ToolOffer(
        name="refund", parameters_schema_json=json.dumps(REFUND["arguments"]).encode()
    )
    hello = worker_pb2.WorkerHello(slots=1, tools=[offer])
    async with shown(port, AUTHORITY.sign(URI(SPIFFE))) as channel:
        stream = worker_pb2_grpc.WorkerServiceStub(channel).Connect(timeout=10)
        await stream.write(worker_pb2.ConnectRequest(hello=hello))
        answer = await stream.read()
        assert answer.WhichOneof("message") == "welcome"
        stream.cancel()
