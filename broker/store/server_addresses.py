"""A server off this machine is spoken to only where it has shown who it is.

The address is read by the rules of libpq, from whose environment and password file comes what it
leaves out.
"""

import ipaddress
from typing import Final

import psycopg
import sqlalchemy as sa

TLS_DEMANDED: Final = "verify-full"


def require_tls(url: sa.URL) -> None:
    """Pass an address that nobody on the way could stand in for.

    Raises:
        ValueError: somebody could.
    """
    said = {option.keyword.decode(): option.val for option in psycopg.pq.Conninfo.get_defaults()}
    asked = {name: value.decode() for name, value in said.items() if value}
    for name, value in url.query.items():
        asked[name] = value if isinstance(value, str) else ",".join(value)
    if url.host:
        asked["host"] = url.host
    if "service" in asked:
        raise ValueError("The database's address names a service: name its host itself.")
    hosts = [*asked.get("host", "").split(","), *asked.get("hostaddr", "").split(",")]
    if all(_is_near(host) for host in hosts) or asked.get("sslmode") == TLS_DEMANDED:
        return
    raise ValueError(
        "The database is on another machine: add ?sslmode=verify-full to its address, "
        "and sslrootcert=<file> where its certificate is of an authority of your own.",
    )


def _is_near(host: str) -> bool:
    """Whether it is a socket of this machine, or its loopback."""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
