"""A real OPA that is not a child of any broker: its own process, certificate and authorization."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.policy_trees import opa


@contextlib.asynccontextmanager
async def remote_opa(tmp_path, bundle):
    """An OPA that somebody else runs, with their certificate and authorization; gives its URL.

    Its token is `theirs`, and `cert.pem` in `tmp_path` is its authority.
    """
    _write_certificate(tmp_path)
    (tmp_path / "bundle.tar.gz").write_bytes(bundle.bundle)
    rules = tmp_path / "authorization" / "system" / "authz"
    rules.mkdir(parents=True)
    (tmp_path / "authorization" / ".manifest").write_text('{"roots": ["system/authz"]}')
    (rules / "authz.rego").write_text(
        'package system.authz\n\ndefault allow := false\n\nallow if input.identity == "theirs"\n'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(opa(), "run", "--server", f"--addr=127.0.0.1:{port}", "--log-level=error"),
        *("--authentication=token", "--authorization=basic", "--skip-version-check"),
        f"--tls-cert-file={tmp_path / 'cert.pem'}",
        f"--tls-private-key-file={tmp_path / 'key.pem'}",
        *("--bundle", tmp_path / "bundle.tar.gz", tmp_path / "authorization"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


def _write_certificate(directory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opa")])
    moment = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment)
        .not_valid_after(moment + dt.timedelta(days=365 * 100))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
