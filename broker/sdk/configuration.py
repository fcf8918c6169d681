"""Tokens cross a network only under TLS: off this machine, no CA file means no connection.

Every setting is an argument or, where that is None, an environment variable: CALLBROKER_ADDRESS,
CALLBROKER_HOST_TOKEN, CALLBROKER_AGENT_TOKEN, CALLBROKER_WORKER_TOKEN, CALLBROKER_CA_FILE. Where
the broker asks its clients for certificates, this process's own is in CALLBROKER_CERTIFICATE_FILE
and CALLBROKER_KEY_FILE, from the environment alone; a token may then be left out.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import grpc

from broker.sdk.errors import PlaintextRefused, Unauthenticated

Audience = Literal["host", "agent", "worker"]

ADDRESS_DEFAULT: Final = "127.0.0.1:7400"
MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024

# What gRPC itself knows; of any other word before `://` it makes a host's name that nobody has.
_SCHEMES: Final = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")
_HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]\s]+\]|[^\[\]\s:/]+):[0-9]{1,5}")

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC's own pauses between connection attempts grow to two minutes; a restart takes seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Repeating is the client's own: it alone knows what may be repeated.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
)
# A proxy from the environment would otherwise be sent even loopback's plaintext, tokens included.
_PLAINTEXT_OPTIONS: Final = (*_OPTIONS, ("grpc.enable_http_proxy", 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the broker is and who this process is.

    Attributes:
        address: `host:port` or `unix:path`.
        tokens: by audience; only those that this process has.
        ca: the CA file's bytes, PEM; None for plaintext on loopback.
        certificate: this process's own chain and key, PEM; None where it shows none.
    """

    address: str
    tokens: Mapping[str, str] = field(repr=False)
    ca: bytes | None = field(repr=False, default=None)
    certificate: tuple[bytes, bytes] | None = field(repr=False, default=None)

    def metadata(self, audience: Audience) -> tuple[tuple[str, str], ...]:
        """What authenticates an RPC of one audience.

        Raises:
            Unauthenticated: this process has no such token; says where to get one.
        """
        token = self.tokens.get(audience)
        if not token and self.certificate is not None:
            return ()
        if not token:
            raise Unauthenticated(
                f"There is no {audience} token: set CALLBROKER_{audience.upper()}_TOKEN or pass "
                f"it; `callbroker token create {audience}` makes one."
            )
        return (("authorization", f"Bearer {token}"),)

    def options(self) -> tuple[tuple[str, int], ...]:
        """Channel options."""
        return _OPTIONS if self.ca else _PLAINTEXT_OPTIONS

    def credentials(self) -> grpc.ChannelCredentials | None:
        """TLS credentials; None for plaintext."""
        if self.ca is None:
            return None
        chain, key = self.certificate or (None, None)
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca, private_key=key, certificate_chain=chain
        )


def settings_from(
    environment: Mapping[str, str] | None = None,
    *,
    address: str | None = None,
    ca_file: str | Path | None = None,
    **tokens: str | None,
) -> Settings:
    """Reads what is not given from the environment.

    Args:
        environment: the process's own where left out.
        address: `host:port` or `unix:path`.
        ca_file: PEM file of the authority that signed the broker's certificate.
        **tokens: by audience.

    Raises:
        PlaintextRefused: the address is none, or is not loopback and there is no CA file.
        OSError: the CA file cannot be read.
    """
    environment = os.environ if environment is None else environment
    address = address or environment.get("CALLBROKER_ADDRESS") or ADDRESS_DEFAULT
    ca_path = ca_file or environment.get("CALLBROKER_CA_FILE")
    ca = Path(ca_path).read_bytes() if ca_path else None
    if not _is_address(address, needs_port=ca is None):
        raise PlaintextRefused(
            f"{address} is no address: host:port, such as {ADDRESS_DEFAULT}, without http://. "
            "CALLBROKER_ADDRESS says where the broker is."
        )
    if ca is None and not is_this_machine(address):
        raise PlaintextRefused(
            f"{address} is not this machine, and tokens do not cross a network in the clear: "
            "set CALLBROKER_CA_FILE to the PEM file of the broker's authority."
        )
    found = {
        audience: tokens.get(audience) or environment.get(f"CALLBROKER_{audience.upper()}_TOKEN")
        for audience in ("host", "agent", "worker")
    }
    return Settings(
        address=address,
        ca=ca,
        tokens={k: v.strip() for k, v in found.items() if v},
        certificate=_certificate(environment) if ca is not None else None,
    )


def _certificate(environment: Mapping[str, str]) -> tuple[bytes, bytes] | None:
    chain = environment.get("CALLBROKER_CERTIFICATE_FILE")
    key = environment.get("CALLBROKER_KEY_FILE")
    return (Path(chain).read_bytes(), Path(key).read_bytes()) if chain and key else None


def _is_address(address: str, *, needs_port: bool) -> bool:
    """Whether gRPC can make something of it; under TLS the port may be left to it."""
    if address.startswith(_SCHEMES):
        return True
    is_whole = _HOST_AND_PORT.fullmatch(address) is not None
    return is_whole if needs_port else "://" not in address


def is_this_machine(address: str) -> bool:
    """Whether an address can only be reached from this machine; when in doubt, it is not."""
    if address.startswith("unix:"):
        return True
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return False
    if host == "localhost":  # RFC 6761 §6.3
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
