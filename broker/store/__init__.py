"""The durable state: rows and the log of why they are as they are, in one transaction."""

from broker.store.backing_up import BackupRefused
from broker.store.checking import LogRefused
from broker.store.dialects import DatabaseInUse, DatabaseRefused
from broker.store.keys import AuditKeys, KeysRefused, load_or_create, signature_holds
from broker.store.schema import SchemaRefused, upgrade
from broker.store.store import SqlStore
from broker.store.writer import Cadence

__all__ = [
    "AuditKeys",
    "BackupRefused",
    "Cadence",
    "DatabaseInUse",
    "DatabaseRefused",
    "KeysRefused",
    "LogRefused",
    "SchemaRefused",
    "SqlStore",
    "load_or_create",
    "signature_holds",
    "upgrade",
]
