"""Runs the probes of `inside/` in a container made from a body, and says what each of them met.

The body is the one that a node would send, and only what is asked to be changed is: instead of the
image's entry point the probes are run, by its own Python, and nothing is sent to it.
"""

import contextlib
import copy
import functools
import json
import secrets
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from sandboxes import profiles, seccomp, spec
from sandboxes.docker_engine import DockerEngine
from sandboxes.profile import Profile
from tests.engine_api import ContainerEngine

INSIDE = Path(__file__).with_name("inside")
GROUPS = (
    "identity",
    "filesystem",
    "code",
    "namespaces",
    "kernel",
    "network",
    "processes",
    "resources",
)
LABEL = "callbroker.test"
UIDS = iter(range(740_001, 760_000))
ANSWER_DEADLINE_S = 120
_HEAD = struct.Struct(">B3xI")
# What stands at the beginning of the program that the container runs: it has no file of its own.
BOOT = """
import json, sys, types
given = json.loads(sys.argv[3])
for name, text in (("kit", sys.argv[1]), ("group", sys.argv[2])):
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules["kit"].main(given)
"""

Body = dict[str, Any]
Change = Callable[[Body], None]


class Row(dict[str, str]):
    """What one probe met: probe, verdict ("open", "blocked", "ended", "error"), detail."""


@functools.cache
def probes_of(group: str) -> Mapping[str, str]:
    """Names of a group's probes, with the attacker's plan of each."""
    kit = _module("kit", {})
    _module(group, {"kit": kit})
    return {name: (function.__doc__ or "").strip() for name, function in kit.PROBES.items()}


def all_probes() -> Mapping[str, str]:
    """Names and plans of all."""
    return {name: plan for group in GROUPS for name, plan in probes_of(group).items()}


def tried(
    engine: ContainerEngine,
    image: str,
    profile: Profile,
    *,
    change: Change | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, Row]:
    """Run probes under a profile, each group in a container of its own.

    Args:
        engine: where.
        image: with Python, by digest.
        profile: whose body is used.
        change: made to the body first, such as a control taken out.
        only: names of probes; all where it is None.
    """
    rows: dict[str, Row] = {}
    with _canary() as (path, token):
        for group in GROUPS:
            names = [name for name in probes_of(group) if only is None or name in only]
            if not names:
                continue
            given = _limits(profile) | {"canary": token, "canary_path": path}
            given["engine_network"] = _engine_network(engine, image)
            made = _body(profile, image, engine, change)
            while names:
                said, errors = _run(engine, made, group, given | {"probes": names})
                rows |= {row["probe"]: row for row in said}
                names = names[len(said) :]
                if names:  # the container ended in the middle of one; the rest is tried in another
                    rows[names[0]] = Row(probe=names[0], verdict="ended", detail=errors[-300:])
                    names = names[1:]
    return rows


def opened(rows: Mapping[str, Row]) -> dict[str, str]:
    """Those that got through, with what they got."""
    return {name: row["detail"] for name, row in rows.items() if row["verdict"] == "open"}


def ended(rows: Mapping[str, Row]) -> dict[str, str]:
    """Those with which the container ended."""
    return {name: row["detail"] for name, row in rows.items() if row["verdict"] == "ended"}


def broken(rows: Mapping[str, Row]) -> dict[str, str]:
    """Those that proved nothing."""
    return {name: row["detail"] for name, row in rows.items() if row["verdict"] == "error"}


def _body(
    profile: Profile, image: str, engine: ContainerEngine, change: Change | None
) -> Callable[[], contextlib.AbstractContextManager[Body]]:
    @contextlib.contextmanager
    def made() -> Iterator[Body]:
        architecture = engine.ask("GET", "/info")["Architecture"]
        # Whatever the mode of this folder: that the mount is read-only must be what holds.
        with tempfile.TemporaryDirectory(prefix="callbroker-way-") as folder:
            Path(folder).chmod(0o777)
            body = spec.body(
                profile,
                image=image,
                uid=next(UIDS),
                seccomp=seccomp.stored(architecture),
                labels={LABEL: "probes"},
                egress_directory=None if profile.isolated else Path(folder),
            )
            body = copy.deepcopy(body)
            if change is not None:
                change(body)
            yield body

    return made


def _run(
    engine: ContainerEngine,
    made: Callable[[], contextlib.AbstractContextManager[Body]],
    group: str,
    given: Mapping[str, Any],
) -> tuple[list[Row], str]:
    texts = [(INSIDE / f"{name}.py").read_text(encoding="utf-8") for name in ("kit", group)]
    program = ["/usr/bin/python3", "-I", "-B", "-c", BOOT, *texts, json.dumps(given)]
    with made() as body:
        body |= {"Entrypoint": program[:1], "Cmd": program[1:], "OpenStdin": False}
        body |= {"AttachStdin": False, "StdinOnce": False}
        said = _said(engine, body)
    return [Row(json.loads(line)) for line in said[1].splitlines()], said[2]


def _said(engine: ContainerEngine, body: Body) -> dict[int, str]:
    """What a container wrote on standard output (1) and error (2) until it ended."""
    name = f"callbroker-probe-{secrets.token_hex(6)}"
    container = engine.ask("POST", f"/containers/create?name={name}", body)["Id"]
    said = {1: b"", 2: b""}
    try:
        with _attached(engine, container) as stream:
            engine.ask("POST", f"/containers/{container}/start")
            while head := stream.read(_HEAD.size):
                number, size = _HEAD.unpack(head)
                said[number] += stream.read(size)
    finally:
        engine.ask("DELETE", f"/containers/{container}?force=1&v=1")
    return {number: text.decode(errors="replace") for number, text in said.items()}


@contextlib.contextmanager
def _attached(engine: ContainerEngine, container: str) -> Iterator[BinaryIO]:
    """Its streams as the engine mixes them: one byte of number, three empty, four of length."""
    path = f"/containers/{container}/attach?stream=1&stdout=1&stderr=1"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_DEADLINE_S)
        connection.connect(str(engine.socket))
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: engine\r\n\r\n".encode())
        with connection.makefile("rb") as stream:
            while stream.readline() not in {b"\r\n", b""}:
                pass
            yield stream


@functools.cache
def _engine_network(engine: ContainerEngine, image: str) -> str:
    """Which network namespace is the engine's own, by a container that is let into it."""
    program = ["/usr/bin/python3", "-c", "import os; print(os.readlink('/proc/self/ns/net'))"]
    body = {"Image": image, "Entrypoint": program[:1], "Cmd": program[1:], "AttachStdout": True}
    body |= {"Labels": {LABEL: "probes"}, "HostConfig": {"NetworkMode": "host"}}
    return _said(engine, body)[1].strip()


def _limits(profile: Profile) -> dict[str, Any]:
    names = (
        "cpus", "cpu_s_max", "memory_bytes", "processes_max", "open_files_max", "file_bytes_max",
        "scratch_bytes", "scratch_inodes",
    )  # fmt: skip
    return {name: getattr(profile, name) for name in names}


@contextlib.contextmanager
def _canary() -> Iterator[tuple[str, str]]:
    token = secrets.token_hex(16)
    with tempfile.NamedTemporaryFile("w", prefix="callbroker-canary-") as canary:
        canary.write(token)
        canary.flush()
        Path(canary.name).chmod(0o644)
        yield canary.name, token


def _module(name: str, beside: Mapping[str, ModuleType]) -> ModuleType:
    """A module of `inside/`, loaded here to read what it says."""
    before = {n: sys.modules.get(n) for n in beside}
    sys.modules.update(beside)
    try:
        module = ModuleType(name)
        text = (INSIDE / f"{name}.py").read_text(encoding="utf-8")
        exec(compile(text, name, "exec"), module.__dict__)
    finally:
        for n, was in before.items():
            if was is None:
                del sys.modules[n]
            else:
                sys.modules[n] = was
    return module


def shipped(name: str) -> Profile:
    """A shipped profile."""
    return profiles.shipped()[name]


async def refusal(engine: ContainerEngine, name: str) -> str:
    """Why an engine cannot give a shipped profile; empty where it can."""
    asked = DockerEngine(engine.url)
    try:
        return profiles.unavailable_because(shipped(name), await asked.facts())
    finally:
        await asked.close()
