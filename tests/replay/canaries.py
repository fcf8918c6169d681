"""What the host and its engine look like, so that a look before can be compared with one after.

Only what stands still by itself is looked at: files that nobody writes to in passing, a server that
nobody should speak to, a process that nobody should end, another container, and what the engine
has. Whoever ran code that reached any of it has changed an answer here.
"""

import contextlib
import hashlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from tests.engine_api import ContainerEngine
from tests.replay.running import until

# Where somebody who got out would settle.
_WATCHED: Final = (
    *("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/hosts"),
    *("/etc/sudoers", "/etc/sudoers.d", "/etc/profile", "/etc/profile.d", "/etc/bash.bashrc"),
    *("/etc/crontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily"),
    *("/etc/ssh", "/etc/ld.so.preload", "/etc/systemd/system", "/etc/init.d", "/etc/docker"),
)
_OF_HOME: Final = (".bashrc", ".profile", ".bash_profile", ".ssh", ".config/autostart")
_BAIT: Final[Mapping[str, bytes]] = {
    "passwords.txt": b"not a password\n",
    "id_rsa": b"not a key\n",
    "documents/report.txt": b"A report.\n",
    "documents/data.csv": b"a,b\n1,2\n",
    "run.sh": b"#!/bin/sh\nexit 0\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look.

    Attributes:
        files: path → kind, mode, owner and digest.
        visits: how often anybody connected to the server on every address of this machine.
        bystander: whether a process that belongs to nobody in particular still lives.
        neighbour: what another container of the same engine says of its own file, and that it was
            never started again.
        engine: what the engine is and has.
        strays: processes whose user no container should have left.
    """

    files: Mapping[str, str]
    visits: int
    bystander: bool
    neighbour: str
    engine: Mapping[str, Any]
    strays: tuple[str, ...]


def differences(before: Look, after: Look) -> list[str]:
    """What changed, a line each; empty where nothing did."""
    return [
        f"{field.name}: {getattr(before, field.name)!r} -> {getattr(after, field.name)!r}"
        for field in fields(Look)
        if getattr(before, field.name) != getattr(after, field.name)
    ]


class Canaries:
    """Lays out the bait and looks at it."""

    def __init__(
        self,
        *,
        engine: ContainerEngine,
        neighbour: str,
        bait: tuple[Path, ...],
        server: "_Server",
        bystander: "subprocess.Popen[bytes]",
        uids: range,
    ) -> None:
        self._engine = engine
        self._neighbour = neighbour
        self._bait = bait
        self._server = server
        self._bystander = bystander
        self._uids = uids

    def look(self) -> Look:
        """How everything is now; for moments at which no node runs."""
        return Look(
            files=dict(_files((*_places(), *self._bait))),
            visits=self._server.visits,
            bystander=self._bystander.poll() is None,
            neighbour=self._ask_neighbour(),
            engine=_inventory(self._engine),
            strays=tuple(_strays(self._uids)),
        )

    def _ask_neighbour(self) -> str:
        told = self._engine.ask("GET", f"/containers/{self._neighbour}/json")
        seen = self._engine.ask(
            "GET", f"/containers/{self._neighbour}/top?ps_args={quote('-o pid,user,comm')}"
        )
        changes = self._engine.ask("GET", f"/containers/{self._neighbour}/changes")
        state = told["State"]
        return f"{state['Running']} {state['StartedAt']} {seen['Processes']} {changes}"


@contextlib.contextmanager
def laid_out(engine: ContainerEngine, image: str, *, label: str, uids: range) -> Iterator[Canaries]:
    """Bait, bystander, server and neighbour; all of it is gone afterwards.

    Args:
        engine: runs the node's containers and the neighbour.
        image: that a neighbour can be made from, with /usr/bin/python3.
        label: `key=value`, of the neighbour.
        uids: that the node gives to its containers.
    """
    with contextlib.ExitStack() as stack:
        bait = tuple(
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-", dir=place)))
            for place in dict.fromkeys((tempfile.gettempdir(), str(Path.home()), "/var/tmp"))
        )
        for directory in bait:
            _lay(directory)
        server = stack.enter_context(_Server())
        bystander = stack.enter_context(_process())
        neighbour = stack.enter_context(_neighbour(engine, image, label))
        yield Canaries(
            engine=engine,
            neighbour=neighbour,
            bait=bait,
            server=server,
            bystander=bystander,
            uids=uids,
        )


def _lay(directory: Path) -> None:
    directory.chmod(0o777)  # whoever gets out may write here, and is seen
    for name, content in _BAIT.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o777)
        path.write_bytes(content)
        path.chmod(0o666)


def _places() -> Iterator[Path]:
    yield from (Path(name) for name in _WATCHED)
    yield from (Path.home() / name for name in _OF_HOME)


def _files(places: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    for place in places:
        yield str(place), _told(place)
        if place.is_dir() and not place.is_symlink():
            yield from ((str(path), _told(path)) for path in sorted(place.rglob("*")))


def _told(path: Path) -> str:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "absent"
    content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {digest}"


def _inventory(engine: ContainerEngine) -> dict[str, Any]:
    images = engine.ask("GET", "/images/json?all=1")
    volumes = engine.ask("GET", "/volumes")["Volumes"] or []
    networks = engine.ask("GET", "/networks")
    return {
        "id": engine.ask("GET", "/info")["ID"],
        "containers": sorted(engine.containers()),
        "images": sorted(image["Id"] for image in images),
        "volumes": sorted(volume["Name"] for volume in volumes),
        "networks": sorted(network["Id"] for network in networks),
    }


def _strays(uids: range) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid in uids:
                    yield (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()


class _Server:
    """Counts whoever connects to it, by any address of this machine, until it is left."""

    def __init__(self) -> None:
        self.visits = 0
        self._socket = socket.create_server(("", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                visitor, _ = self._socket.accept()
                visitor.close()
                self.visits += 1


@contextlib.contextmanager
def _process() -> Iterator["subprocess.Popen[bytes]"]:
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    process = subprocess.Popen(waits, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


@contextlib.contextmanager
def _neighbour(engine: ContainerEngine, image: str, label: str) -> Iterator[str]:
    """A container that is bounded by nothing but the engine's own defaults, and sleeps."""
    key, _, value = label.partition("=")
    made = engine.ask(
        "POST",
        "/containers/create",
        {
            "Image": image,
            "Labels": {key: value},
            "Entrypoint": ["/usr/bin/python3", "-I", "-S", "-B", "-c"],
            "Cmd": ["open('/canary', 'w').write('sings'); import time; time.sleep(100000)"],
            "User": "0:0",
            "HostConfig": {"NetworkMode": "none"},
        },
    )
    try:
        engine.ask("POST", f"/containers/{made['Id']}/start")
        until(
            lambda: "/canary" in str(engine.ask("GET", f"/containers/{made['Id']}/changes")),
            "the neighbour has not laid its canary out",
        )
        yield made["Id"]
    finally:
        engine.ask("DELETE", f"/containers/{made['Id']}?force=1&v=1")
