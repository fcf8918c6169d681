"""What a command finds around it: the settings, the time, the terminal."""

import time
from datetime import UTC, datetime, tzinfo

from broker.cli.failures import CommandFailed, ExitCode
from broker.config import ConfigurationRefused, Settings, load


def settings() -> Settings:
    """The settings of this directory and environment.

    Raises:
        CommandFailed: they cannot be used.
    """
    try:
        return load()
    except ConfigurationRefused as refused:
        raise CommandFailed(
            "The configuration cannot be used:",
            exit_code=ExitCode.USAGE,
            findings=refused.findings,
        ) from None


def now() -> float:
    """POSIX seconds."""
    return time.time()  # noqa: TID251 - the command line is an edge; what renders is given it


def local_zone() -> tzinfo:
    """The zone that whoever reads is in."""
    return datetime.now(UTC).astimezone().tzinfo or UTC  # noqa: TID251 - as `now`
