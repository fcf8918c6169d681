"""An exclusive key has a value's digest in its name, and not the value: contents are erased.

Brokers of before name the same thing otherwise, and must not run beside newer ones.
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_DIGEST = "sha256:"
_KEYS = sa.table("keys", sa.column("key", sa.Text()))


def upgrade() -> None:
    """Go forward."""
    connection = op.get_bind()
    for (key,) in connection.execute(sa.select(_KEYS.c.key)).fetchall():
        renamed = by_digest(key)
        if renamed != key:
            rename = sa.update(_KEYS).where(_KEYS.c.key == key).values(key=renamed)
            connection.execute(rename)


def by_digest(key: str) -> str:
    """The key as it is named from here on: it was `name=value`, and `=` may be in both."""
    name, _, value = key.partition("=")
    while value and not value.startswith(_DIGEST):
        try:
            json.loads(value)
        except ValueError:
            more, _, value = value.partition("=")
            name = f"{name}={more}"
        else:
            return f"{name}={_DIGEST}{hashlib.sha256(value.encode()).hexdigest()}"
    return key
