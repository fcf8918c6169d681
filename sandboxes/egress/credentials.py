"""A credential is read where it is used, goes to the hosts that it is for, and nowhere else."""

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.rules import is_host_within

SECRET_BYTES_MAX = 8192
SECRET_CHARACTERS_MIN = 8  # a shorter one is guessed, and found in answers by chance
_SECRET = re.compile(rb"[!-~]+(?: [!-~]+)*")
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


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

    @property
    def is_per_subject(self) -> bool:
        """Whether each subject has one of its own."""
        return self.directory is not None

    def is_for(self, host: str) -> bool:
        """Whether it may be sent there."""
        return any(is_host_within(pattern, host) for pattern in self.hosts)


def read_secret(credential: Credential, *, host: str, subject: str) -> str:
    """Read it from disk, for one request. It blocks.

    Raises:
        EgressRefused: EGRESS_CREDENTIAL_MISSING: it is not for this host, not there for this
            subject, open to others, or no secret.
    """
    if not credential.is_for(host):
        raise _missing("is not for this host")
    try:
        content = _content(_path(credential, subject))
    except OSError:
        raise _missing("cannot be read") from None
    secret = content.rstrip(b"\r\n")
    if len(secret) < SECRET_CHARACTERS_MIN or not _SECRET.fullmatch(secret):
        raise _missing("is no line of at least eight printable characters")
    return secret.decode("ascii")


def _path(credential: Credential, subject: str) -> Path:
    if credential.directory is not None:
        if not subject:
            raise _missing("is kept per subject, and the call names none")
        return credential.directory / hashlib.sha256(subject.encode()).hexdigest()
    if credential.file is None:
        raise _missing("has no file")
    return credential.file


def _content(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & _OF_OTHERS:
            raise _missing("is no plain file of mode 0600")
        if found.st_uid not in {0, os.geteuid()}:
            raise _missing("belongs to another user")
        return opened.read(SECRET_BYTES_MAX)


def _missing(why: str) -> EgressRefused:
    return EgressRefused("EGRESS_CREDENTIAL_MISSING", f"The credential {why}.", status=503)
