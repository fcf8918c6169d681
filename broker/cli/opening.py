"""What can be wrong with this machine's own files and ports becomes a sentence and an exit code."""

import contextlib
from collections.abc import Iterator

from sqlalchemy.exc import ArgumentError

from broker.cli.failures import CommandFailed, ExitCode
from broker.config import ConfigurationRefused
from broker.core.errors import BrokerError
from broker.policy.opa_binary import OpaBinaryError
from broker.rpc.server import AddressRefused
from broker.store import (
    BackupRefused,
    DatabaseInUse,
    DatabaseRefused,
    KeysRefused,
    LogRefused,
    SchemaRefused,
)

_OF_THE_MACHINE = (
    AddressRefused,
    BackupRefused,
    DatabaseInUse,
    DatabaseRefused,
    KeysRefused,
    LogRefused,
    OpaBinaryError,
    OSError,
    SchemaRefused,
)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Turn what a broker or a database says on opening into `CommandFailed`."""
    try:
        yield
    except ConfigurationRefused as refused:
        raise CommandFailed(
            "The configuration cannot be used:",
            exit_code=ExitCode.USAGE,
            findings=refused.findings,
        ) from refused
    except _OF_THE_MACHINE as refused:
        raise CommandFailed(str(refused), exit_code=ExitCode.USAGE) from refused
    except (ArgumentError, ValueError) as error:  # the address of a database, or a file of heads
        raise CommandFailed(str(error), exit_code=ExitCode.USAGE) from error
    except BrokerError as error:
        raise CommandFailed(str(error)) from error
