"""Puts a node together, and runs it until it is told to stop.

One node a state directory: another one with the same id would remove this one's containers.
"""

import asyncio
import contextlib
import fcntl
import grp
import os
import re
import secrets
import signal
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import structlog

from sandboxes import profiles
from sandboxes.containers import Surroundings
from sandboxes.docker_engine import DockerEngine
from sandboxes.egress import lint
from sandboxes.egress.credentials import Credential, read_secret
from sandboxes.egress.outside import Outside, trusting
from sandboxes.egress.refusals import EgressRefused
from sandboxes.node import Node, NodeOrder, new_node_id
from sandboxes.pool import PoolLimits
from sandboxes.profile import Profile
from sandboxes.server import NodeServer
from sandboxes.settings import SandboxdSettings
from sandboxes.traces import Traces
from sandboxes.uids import Uids

READY_LINE: Final = "sandboxd_listens"
_NODE_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_log = structlog.get_logger()


class StartRefused(Exception):
    """The node cannot start; `str` says what to do."""


def run(settings: SandboxdSettings) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        StartRefused: it cannot start.
    """
    before = os.umask(0o077)  # the socket is nobody else's from its first moment on
    try:
        asyncio.run(_until_told(settings))
    finally:
        os.umask(before)


async def _until_told(settings: SandboxdSettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with serving(settings):
        await stopping.wait()
        _log.info("sandboxd_stops", within_s=settings.stop_within_s)
    _log.info("sandboxd_stopped")


@contextlib.asynccontextmanager
async def serving(settings: SandboxdSettings) -> AsyncIterator[str]:
    """A node that listens; gives the address.

    Raises:
        StartRefused: it cannot start.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_locked(settings.state))
        node = Node(DockerEngine(settings.engine), _order(settings))
        _warn_of_credentials(node.order.around.outside.credentials.values())
        server = NodeServer(node)
        address = _bind(server, settings)
        stack.push_async_callback(node.close)
        await node.start()
        await server.start()
        stack.push_async_callback(server.stop, grace_s=settings.stop_within_s)
        _open_to_group(settings)
        _log.info(READY_LINE, address=address, node=node.order.around.node_id, problem=node.problem)
        yield address


def _order(settings: SandboxdSettings) -> NodeOrder:
    directory, traces = settings.state / "egress", settings.state / "containers"
    for each in (directory, traces):
        each.mkdir(mode=0o700, exist_ok=True)
        if each.is_symlink():  # all in it is removed: nobody says that it is elsewhere
            raise StartRefused(f"{each} is a link: remove it.")
    credentials = _credentials(settings)
    return NodeOrder(
        around=Surroundings(
            node_id=_node_id(settings.state / "node_id"),
            directory=directory,
            uids=Uids(settings.uid_first, settings.uid_last, offset=secrets.randbits(32)),
            outside=Outside(
                now=lambda: _now().timestamp(),
                credentials=credentials,
                tls=trusting(settings.egress_ca_file),
            ),
            now=_now,
            traces=Traces(traces),
        ),
        profiles=_looked_through(_profiles(settings.profiles), credentials),
        limits=PoolLimits(
            warm=settings.warm,
            containers_max=settings.containers_max,
            idle_s=settings.idle_s,
            recycle_s=settings.recycle_s,
        ),
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the root hands the clock to all others


def _profiles(directory: Path | None) -> Mapping[str, Profile]:
    try:
        return profiles.shipped() if directory is None else profiles.read(directory)
    except profiles.ProfileRefused as refused:
        raise StartRefused(f"A profile in {directory} cannot be used:\n{refused}") from refused
    except OSError as missing:
        raise StartRefused(f"{directory}: {missing.strerror}") from missing


def _credentials(settings: SandboxdSettings) -> Mapping[str, Credential]:
    return {
        name: Credential(
            name=name,
            hosts=each.hosts,
            file=each.file,
            directory=each.directory,
            header=each.header,
            prefix=each.prefix,
        )
        for name, each in settings.credentials.items()
    }


def _warn_of_credentials(credentials: Iterable[Credential]) -> None:
    """They may come later, and are read when used; an operator would rather know now."""
    for one in credentials:
        if one.file is None:
            continue
        try:
            read_secret(one, host=one.hosts[0].replace("*", "any"), subject="")
        except EgressRefused as refused:
            _log.warning("credential_unusable", name=one.name, file=str(one.file), why=str(refused))


def _looked_through(
    found: Mapping[str, Profile], credentials: Mapping[str, Credential]
) -> Mapping[str, Profile]:
    """The profiles, once nothing is wrong with their ways out: at its call it would be too late."""
    wrong = [each for one in credentials.values() for each in lint.credential_findings(one)]
    for profile in found.values():
        if profile.egress is not None:
            told = lint.findings(profile.egress, credentials)
            wrong += [f"Profile {profile.name}: {each}" for each in told]
    if wrong:
        raise StartRefused("\n".join(wrong))
    return found


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = state.stat()
        if found.st_uid != os.geteuid():
            raise StartRefused(f"The state directory {state} belongs to another user.")
        state.chmod(0o700)
        if found.st_mode & _WRITABLE_BY_OTHERS and any(state.iterdir()):
            state.chmod(stat.S_IMODE(found.st_mode))
            raise StartRefused(
                f"Others could write to the state directory {state}, and something is in it: "
                "remove it, or name another."
            )
    except OSError as failed:
        raise StartRefused(f"The state directory {state}: {failed.strerror}.") from failed
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartRefused(
                f"Another sandboxd runs with {state}: stop it, or give this one another `state`."
            ) from None
        yield


def _node_id(path: Path) -> str:
    if path.is_file():
        found = path.read_text().strip()
        if not _NODE_ID.fullmatch(found):
            raise StartRefused(f"{path} holds no node's id: remove it, and a new one is made.")
        return found
    made = new_node_id()
    beside = path.with_suffix(".new")  # whole or not at all: half an id would be another node's
    beside.write_text(f"{made}\n")
    beside.replace(path)
    return made


def _bind(server: NodeServer, settings: SandboxdSettings) -> str:
    path = settings.socket
    try:
        if path is not None:
            _require_free(path)
            server.bind_socket(path)
            return settings.listen
        certificate = _read(settings.tls_certificate_file)
        key = _read(settings.tls_key_file)
        clients = _read(settings.tls_client_ca_file)
        _require_usable(settings)
        port = server.bind_address(
            settings.listen, certificate=certificate, key=key, clients=clients
        )
    except RuntimeError as failed:
        raise StartRefused(
            f"Cannot listen on {settings.listen}: another process does, or this machine does not "
            "have that address. Stop the other, or choose another `listen`."
        ) from failed
    return f"{settings.listen.rpartition(':')[0]}:{port}"


def _require_usable(settings: SandboxdSettings) -> None:
    """Files that TLS cannot use are told by name; gRPC says the same as of a taken address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    try:
        context.load_cert_chain(cast("Path", certificate), key, password=lambda: "")
    except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
        raise StartRefused(
            f"tls_certificate_file = {certificate} and tls_key_file = {key} are no pair: one is no "
            "certificate, or no key without a password, in PEM, or they do not belong together."
        ) from wrong
    try:
        context.load_verify_locations(cast("Path", settings.tls_client_ca_file))
    except (OSError, ValueError) as wrong:
        raise StartRefused(
            f"tls_client_ca_file = {settings.tls_client_ca_file} holds no certificate in PEM."
        ) from wrong


def _require_free(path: Path) -> None:
    """A socket that nobody listens on any more makes way; gRPC would take anybody's."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as failed:
        raise StartRefused(f"{path.parent}: {failed.strerror}.") from failed
    if not stat.S_ISSOCK(kind):
        raise StartRefused(f"{path} is there and is no socket: remove it, or choose another.")
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise StartRefused(f"Another process listens on {path}: stop it, or choose another `listen`.")


def _open_to_group(settings: SandboxdSettings) -> None:
    path = settings.socket
    if path is None:
        return
    path.chmod(0o600)
    if not settings.socket_group:
        return
    try:
        os.chown(path, -1, grp.getgrnam(settings.socket_group).gr_gid)
        path.chmod(0o660)
    except (KeyError, OSError) as failed:
        raise StartRefused(f"socket_group = {settings.socket_group}: {failed}") from failed


def _read(path: Path | None) -> bytes:
    if path is None:
        raise StartRefused("The tls files are not all there.")
    try:
        return path.read_bytes()
    except OSError as failed:
        raise StartRefused(f"{path}: {failed.strerror}.") from failed
