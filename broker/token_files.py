"""Tokens of this machine lie in the state directory, a file a class, for their owner alone."""

import os
from pathlib import Path
from typing import Final

from broker.config import Settings

_DIRECTORY: Final = "tokens"


def token_path(settings: Settings, name: str) -> Path:
    """Where this machine keeps the token of a class: a file of the state directory."""
    return settings.state / _DIRECTORY / name


def save_token(path: Path, token: str) -> None:
    """Write a token for its owner's eyes alone, in place of the one before.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    temporary.replace(path)
