"""The server: where it listens, how it speaks, how it ends."""

import asyncio
import datetime as dt
import ipaddress

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker.core.credentials import CredentialClass
from broker.rpc.server import AddressRefused, RpcServer, Tls
from broker.v1 import admin_pb2, admin_pb2_grpc
from tests.served import Served, server_of


def another(broker: Served) -> RpcServer:
    return server_of(broker.world, broker.workers, broker.administration, instance="brokers/2")


def certificate() -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return Tls(
        certificate_chain=made.public_bytes(serialization.Encoding.PEM),
        private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


async def ask(broker: Served, channel: grpc.aio.Channel) -> admin_pb2.GetStatusResponse:
    return await admin_pb2_grpc.AdminServiceStub(channel).GetStatus(
        admin_pb2.GetStatusRequest(), metadata=broker.by(CredentialClass.OPERATOR), timeout=10
    )


async def test_with_a_certificate_it_speaks_tls_and_nothing_else(broker):
    tls = certificate()
    server = another(broker)
    port = server.bind("127.0.0.1:0", tls)
    await server.start()
    address = f"127.0.0.1:{port}"
    trusting = grpc.ssl_channel_credentials(tls.certificate_chain)
    async with grpc.aio.secure_channel(address, trusting) as channel:
        assert (await ask(broker, channel)).broker == "brokers/1"
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(broker, channel)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    await server.stop(grace_s=0.1)


async def test_an_address_that_is_taken_is_refused(broker):
    with pytest.raises(AddressRefused):
        another(broker).bind(f"127.0.0.1:{broker.port}")


async def test_a_method_that_there_is_not_is_unimplemented(broker):
    call = broker.channel.unary_unary("/broker.v1.AdminService/DropEverything")
    with pytest.raises(grpc.aio.AioRpcError) as none:
        await call(b"", metadata=broker.by(CredentialClass.OPERATOR))
    assert none.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_stopping_gives_what_is_under_way_its_time(broker):
    server = another(broker)
    port = server.bind("127.0.0.1:0")
    await server.start()
    going_on = asyncio.Event()
    counts = broker.world.store.counts

    class Slow:
        async def counts(self):
            going_on.set()
            await asyncio.sleep(0.2)
            return await counts()

    broker.administration.overview._store = Slow()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        asked = asyncio.create_task(ask(broker, channel))
        await going_on.wait()
        await server.stop(grace_s=5.0)
        assert (await asked).broker == "brokers/1"
