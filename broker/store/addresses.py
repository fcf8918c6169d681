"""An address names its database; the driver of a server is loaded for a server alone.

`sqlite:///<path>` is a file; `postgresql://…` a server (`server_addresses`). A password is never
said.
"""

from typing import Final

import sqlalchemy as sa

from broker.store import sqlite
from broker.store.dialects import Dialect

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
    # The server's driver takes 9 MB, which a broker on a file need not have.
    from broker.store import postgres, server_addresses  # noqa: PLC0415

    server_addresses.require_tls(parsed)
    return postgres.DIALECT


def is_file(url: str) -> bool:
    """Whether the database is a file of this machine."""
    return not dialect_of(url).is_shared


def shown(url: str) -> str:
    """The address as it may be said to anybody: without a password."""
    return sa.make_url(url).render_as_string(hide_password=True)
