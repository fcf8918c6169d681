"""A credential is read where it is used, goes to the hosts that it is for, and nowhere else."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret that the proxy puts into requests; the tool never has it.

    Attributes:
        hosts: where it may ever be sent, whatever a profile says: exact, or "*.example.com".
        file: holds it, readable by the node's own user alone; or
        directory: holds one file for each subject, named by the SHA-256 (hex) of the subject.
        header, prefix: how it is sent.
    """

    name: str
    hosts: Sequence[str]
    file: Path | None = None
    directory: Path | None = None
    header: str = "Authorization"
    prefix: str = "Bearer "
