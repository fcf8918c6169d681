"""Runs the probes of `inside/` in a container made from a body, and says what each of them met.

The body is the one that a node would send, and only what is asked to be changed is: instead of the
image's entry point the probes are run, by its own Python, and nothing is sent to it.
"""

import contextlib
import copy
import functools
import json
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import docker

from sandboxes import profiles, seccomp, spec
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
    """What one probe met: probe, verdict ("open", "blocked", "error"), detail."""


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
            given = _limits(profile) | {"canary": token, "canary_path": path, "probes": names}
            given["engine_network"] = _engine_network(engine.url, image)
            said, errors = _run(engine, _body(profile, image, engine, change), group, given)
            rows |= {row["probe"]: row for row in said}
            for name in names:
                rows.setdefault(name, Row(probe=name, verdict="error", detail=errors[-300:]))
    return rows


def opened(rows: Mapping[str, Row]) -> dict[str, str]:
    """Those that got through, with what they got."""
    return {name: row["detail"] for name, row in rows.items() if row["verdict"] == "open"}


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
        said = _said(engine.url, body)
    return [Row(json.loads(line)) for line in said[1].splitlines()], said[2]


def _said(url: str, body: Body) -> dict[int, str]:
    """What a container wrote on standard output (1) and error (2) until it ended."""
    api = docker.APIClient(base_url=url, version="auto", timeout=ANSWER_DEADLINE_S)
    with contextlib.closing(api):
        name = f"callbroker-probe-{secrets.token_hex(6)}"
        container = api.create_container_from_config(body, name=name)["Id"]
        said = {1: b"", 2: b""}
        try:
            with contextlib.closing(_attached(api, container)) as stream:
                api.start(container)
                for out, error in stream:
                    said[1] += out or b""
                    said[2] += error or b""
        finally:
            api.remove_container(container, force=True, v=True)
    return {number: text.decode(errors="replace") for number, text in said.items()}


@functools.cache
def _engine_network(url: str, image: str) -> str:
    """Which network namespace is the engine's own, by a container that is let into it."""
    program = ["/usr/bin/python3", "-c", "import os; print(os.readlink('/proc/self/ns/net'))"]
    body = {"Image": image, "Entrypoint": program[:1], "Cmd": program[1:], "AttachStdout": True}
    body |= {"Labels": {LABEL: "probes"}, "HostConfig": {"NetworkMode": "host"}}
    return _said(url, body)[1].strip()


def _attached(api: docker.APIClient, container: str) -> Any:
    return api.attach(container, stdout=True, stderr=True, stream=True, demux=True)


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
