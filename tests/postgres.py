"""A PostgreSQL server of the tests' own: real, durable, on a socket in a directory that goes away.

It starts with the first test that asks for a database, and ends with the process that started it,
however that ends. Each asker has a database of its own, a copy of one that was migrated once.
"""

import atexit
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import psycopg

from broker.store import upgrade

START_DEADLINE_S: Final = 30.0
STOP_DEADLINE_S: Final = 20.0
ROLE: Final = "callbroker"
EMPTY: Final = "template0"

_PROGRAMS: Final = "/usr/lib/postgresql"
# What is tested stays as it is for everybody: fsync, full pages, synchronous commits.
_SETTINGS: Final = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "150",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "deadlock_timeout": "100ms",
    "log_min_messages": "warning",
}


class PostgresMissingError(Exception):
    """There are no programs of a server on this machine."""


class Server:
    """A server that runs; `kill` and `start` it as a machine would lose and regain its power."""

    def __init__(self, *, beside: str | None = None, **settings: str) -> None:
        """Make its files below a directory, or where temporary ones are, and start it."""
        self._settings = {**_SETTINGS, **settings}
        self._programs = programs()
        self._user = "postgres" if os.geteuid() == 0 else None
        # Short: a socket's path has 107 bytes at most.
        self.directory: Final = Path(tempfile.mkdtemp(prefix="callbroker-pg-", dir=beside))
        self._process: subprocess.Popen[bytes] | None = None
        self._counted = itertools.count(1)
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        # An order of names that no broker may depend on.
        self._run(
            "initdb",
            f"--pgdata={self.directory}/data",
            f"--username={ROLE}",
            "--encoding=UTF8",
            "--locale-provider=icu",
            "--icu-locale=en",
            "--locale=C.UTF-8",
            "--auth=trust",
            "--no-sync",
        )
        self.start()

    def start(self) -> None:
        """Run it, and wait until it answers. It ends with the thread that it is started from."""
        settings = {**self._settings, "unix_socket_directories": str(self.directory)}
        log = (self.directory / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig=INT",
                    "--",
                    str(self._programs / "postgres"),
                    "-D",
                    f"{self.directory}/data",
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_user(),
            )
        until = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    said = (self.directory / "log").read_text("utf-8", "replace")
                    raise AssertionError(f"The server did not start: {said[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """All of it at once, as a loss of power would."""
        if self._process is not None:
            _signal_group(self._process.pid)
            self._process.wait(STOP_DEADLINE_S)
            self._process = None
            (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)

    def children(self) -> list[int]:
        """Its processes but the first: one for each connection, and its own."""
        if self._process is None:
            return []
        pid = self._process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        """End it, and remove what it kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://{ROLE}@/{database}?host={self.directory}"

    def run(self, statement: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser; its rows, if it has any."""
        with contextlib.closing(
            psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @functools.cached_property
    def _migrated(self) -> str:
        """A database that was migrated, made once: migrating costs more than most tests."""
        self.run("CREATE DATABASE migrated")
        upgrade(self.url("migrated"))
        return "migrated"

    @contextlib.contextmanager
    def database(self, template: str = "") -> Generator[str]:
        """The name of a database of one's own, a copy of `template`, or of a migrated one."""
        name = f"of_test_{next(self._counted)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template or self._migrated}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        ended = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self.directory,
            check=False,
            capture_output=True,
            timeout=START_DEADLINE_S,
            **self._as_user(),
        )
        assert ended.returncode == 0, ended.stderr.decode("utf-8", "replace")

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {}
        entry = pwd.getpwnam(self._user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def programs() -> Path:
    """Where the newest server's programs are.

    Raises:
        PostgresMissingError: there are none.
    """
    found = sorted(
        Path(_PROGRAMS).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    raise PostgresMissingError("No PostgreSQL server here: `apt-get install postgresql`.")


@functools.cache
def server() -> Server:
    """The one that tests share; who wants to kill it makes another."""
    made = Server()
    owner = os.getpid()
    atexit.register(lambda: made.stop() if os.getpid() == owner else None)
    return made


@contextlib.contextmanager
def address_of(kind: str, state: Path) -> Generator[str]:
    """Of a database that is yet to be made: `sqlite` in a state directory, or `postgres`."""
    if kind == "sqlite":
        yield f"sqlite:///{state}/callbroker.db"
        return
    with server().database(EMPTY) as name:
        yield server().url(name)


def _signal_group(pid: int) -> None:
    """Each backend is in the postmaster's session, but in a group of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    for each in (pid, *map(int, children)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
