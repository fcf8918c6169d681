"""An address names its database, and off this machine a server that has shown who it is.

`sqlite:///<path>` is a file; `postgresql://…` a server, asked with the same rules as libpq, from
whose environment and password file it takes what the address leaves out. A password is never said.
"""

import ipaddress
from typing import Final

import psycopg
import sqlalchemy as sa

from broker.store import postgres, sqlite
from broker.store.dialects import Dialect

TLS_DEMANDED: Final = "verify-full"

_DRIVER: Final = "postgresql+psycopg"
_FORMS: Final = (
    "The database is named as sqlite:///<path of a file> or postgresql://user@host/name."
)


def dialect_of(url: str) -> Dialect:
    """How the database of an address is used.

    Raises:
        ValueError: the address is of no database that is known here, or of a server that anybody
            on the way could stand in for.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except sa.exc.ArgumentError as error:
        raise ValueError(_FORMS) from error
    if backend == "sqlite":
        sqlite.path_of(url)
        return sqlite.DIALECT
    if parsed.drivername not in {"postgresql", _DRIVER}:
        raise ValueError(_FORMS)
    _require_tls(parsed)
    return postgres.DIALECT


def is_file(url: str) -> bool:
    """Whether the database is a file of this machine."""
    return not dialect_of(url).is_shared


def shown(url: str) -> str:
    """The address as it may be said to anybody: without a password."""
    return sa.make_url(url).render_as_string(hide_password=True)


def _require_tls(url: sa.URL) -> None:
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
