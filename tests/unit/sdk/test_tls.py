import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.sdk import Unavailable, Worker, connect
from tests.fakes.broker_server import BrokerServer


def certificate() -> tuple[bytes, bytes]:
    """A key and a certificate for this machine that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)  # noqa: TID251 - certificates live by the wall clock
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, signed.public_bytes(pem)


async def test_tls_is_used_with_the_authority_that_was_named(tmp_path: Path) -> None:
    """Somebody between client and broker shows a certificate of their own."""
    key, signed = certificate()
    authority, another = tmp_path / "ca.pem", tmp_path / "other.pem"
    authority.write_bytes(signed)
    another.write_bytes(certificate()[1])
    async with BrokerServer(grpc.ssl_server_credentials([(key, signed)])) as server:
        async with connect(server.address, host_token="h", ca_file=authority) as broker:
            await broker.create_mandate(principal="p", agent="agents/a")
        worker = Worker(server.address, "w", ca_file=authority, drain_s=0.05)
        worker.tool("refund")(lambda: None)
        async with worker.serving():
            pass
        seen = len(server.seen)
        async with connect(server.address, host_token="h", ca_file=another) as broker:
            with pytest.raises(Unavailable):
                await broker.create_mandate(principal="p", agent="agents/a")
        assert len(server.seen) == seen
