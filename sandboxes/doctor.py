"""Whether this machine can hold a hostile tool: what is found of each part, and what mends it.

Pure: `sandboxes.doctor_facts` looks, this judges. What breaks a promise of a profile, or lets a
tool or a stranger out, is refused; what weakens a second line of defence is a warning.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sandboxes.engine import Limit, security_names
from sandboxes.known_flaws import Part, flaws_of, release_of

API_MIN: Final = (1, 41)
KERNEL_MIN: Final = (5, 10)
DRIVERS_SLOW: Final = frozenset({"vfs", "devicemapper", "aufs"})

_UPGRADE: Final = {
    "runc": "apt-get update && apt-get install --only-upgrade runc; where that brings nothing "
    "newer: Docker's own package containerd.io",
    "containerd": "apt-get update && apt-get install --only-upgrade containerd; where that brings "
    "nothing newer: Docker's own package containerd.io",
    "engine": "apt-get update && apt-get install --only-upgrade docker.io; where that brings "
    "nothing newer: Docker's own package docker-ce",
}
_LIMIT_WORDS: Final = {
    "memory": "memory cannot be limited",
    "pids": "processes cannot be limited",
    "cpu": "processor time cannot be limited",
    "swap": "swap cannot be limited: a container may use it beside its memory",
}


class Level(enum.StrEnum):
    """How bad; the order is that of severity."""

    OK = "ok"
    WARNING = "warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one part.

    Attributes:
        part: "runc", "kernel", …; a part may have several findings.
        said: one line, for people.
        mend: what to run or change; empty where all is well.
        names: CVE names, where a flaw is known.
        source: where to read about it.
    """

    level: Level
    part: str
    said: str
    mend: str = ""
    names: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketFacts:
    """Who may use the engine's socket, which is to say: who is root.

    Attributes:
        mode: permission bits alone.
        members: of its group, besides the owner; empty where the group may not write.
    """

    path: str
    owner: str
    group: str
    mode: int
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """What the engine says of itself.

    Attributes:
        runc, containerd: their versions, with the distribution's build where it is told.
        security: "name=seccomp,profile=default", "name=apparmor", "name=rootless", …
        limits_missing: what the kernel cannot limit.
        warnings: the engine's own, cleaned.
    """

    version: str
    api_version: str
    system: str
    architecture: str
    kernel: str
    runc: str
    containerd: str
    default_runtime: str
    runtimes: tuple[str, ...]
    security: tuple[str, ...]
    cgroup_version: int
    storage_driver: str
    live_restore: bool
    limits_missing: tuple[Limit, ...]
    authorization_plugins: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is judged.

    Attributes:
        engine: None where it cannot be asked; `problem` says why.
        lsm: the kernel's security modules, as /sys/kernel/security/lsm lists them.
        debootstrap: whether base images can be made without a registry.
    """

    engine: EngineReport | None
    problem: str = ""
    socket: SocketFacts | None = None
    lsm: tuple[str, ...] = ()
    debootstrap: bool = False


def findings(facts: Facts) -> tuple[Finding, ...]:
    """Judges; each part has at least one finding, so that what is well is told too."""
    return tuple(_all(facts))


def worst(found: tuple[Finding, ...]) -> Level:
    """The severest level among them."""
    order = list(Level)
    return max((finding.level for finding in found), key=order.index, default=Level.OK)


def _all(facts: Facts) -> Iterator[Finding]:
    engine = facts.engine
    if engine is None:
        yield _refused(
            "engine",
            facts.problem or "it does not answer",
            "apt-get install docker.io; systemctl start docker; or name another: --engine URL",
        )
    else:
        yield from _engine(engine)
        yield from _versions(engine)
        yield from _kernel(engine)
        yield from _security(engine, facts.lsm)
        yield from _limits(engine)
        yield from _storage(engine)
        yield from _gvisor(engine)
    if facts.socket is not None:
        yield from _socket(facts.socket)
    yield from _images(debootstrap=facts.debootstrap)


def _engine(engine: EngineReport) -> Iterator[Finding]:
    told = f"{engine.version}, API {engine.api_version}, {engine.system} {engine.architecture}"
    api = release_of(engine.api_version)
    if api is None or api[:2] < API_MIN:
        yield _refused(
            "engine",
            f"{told}: older than API {'.'.join(map(str, API_MIN))}, which nothing was tried with",
            _UPGRADE["engine"],
        )
    else:
        yield _ok("engine", told)
    for warning in engine.warnings:
        if "without encryption" in warning or "root access" in warning:
            yield _refused(
                "engine", warning, 'take tcp:// out of "hosts" in /etc/docker/daemon.json'
            )
    if engine.live_restore:
        yield _warning(
            "live-restore",
            "containers outlive a restart of the engine: nobody holds them until they are reaped",
            'set "live-restore": false in /etc/docker/daemon.json',
        )
    else:
        yield _ok("live-restore", "off: containers end with the engine")
    if engine.authorization_plugins:
        yield _ok("authorization", f"plugins: {', '.join(engine.authorization_plugins)}")


def _versions(engine: EngineReport) -> Iterator[Finding]:
    versions: dict[Part, str] = {
        "runc": engine.runc,
        "containerd": engine.containerd,
        "engine": engine.version,
    }
    if engine.default_runtime != "runc":
        yield _warning(
            "runc",
            f"the default runtime is {engine.default_runtime}; sandboxes ask for runc by name",
            'set "default-runtime": "runc" in /etc/docker/daemon.json',
        )
    for part, version in versions.items():
        flaws = flaws_of(part, version)
        for flaw in flaws:
            yield Finding(
                level=Level.REFUSED if flaw.reachable else Level.WARNING,
                part=part,
                said=f"{version or 'unknown version'} has {', '.join(flaw.names)}: {flaw.said}",
                mend=_UPGRADE[part],
                names=flaw.names,
                source=flaw.source,
            )
        if not flaws and part != "engine":
            yield _ok(part, version)


def _kernel(engine: EngineReport) -> Iterator[Finding]:
    release = release_of(engine.kernel)
    if release is None or release[:2] < KERNEL_MIN:
        yield _warning(
            "kernel",
            f"{engine.kernel}: older than {'.'.join(map(str, KERNEL_MIN))}, and shared with tools",
            "apt-get install --only-upgrade linux-image-amd64, then reboot",
        )
    else:
        yield _ok("kernel", f"{engine.kernel}, shared with every tool but those under gVisor")
    if engine.cgroup_version == 1:
        yield _warning(
            "cgroups",
            "version 1, which engines give up and where a limit is spread over several trees",
            "boot with systemd.unified_cgroup_hierarchy=1",
        )
    else:
        yield _ok("cgroups", f"version {engine.cgroup_version}")


def _security(engine: EngineReport, lsm: tuple[str, ...]) -> Iterator[Finding]:
    named = security_names(engine.security)
    if "seccomp" in named:
        yield _ok("seccomp", "there; each profile brings a list of its own")
    else:
        yield _refused(
            "seccomp",
            "the engine has none: tools could ask anything of the kernel",
            "use a kernel with CONFIG_SECCOMP_FILTER and an engine that was built with seccomp",
        )
    modules = sorted(named & {"apparmor", "selinux"})
    if modules:
        yield _ok("lsm", f"{', '.join(modules)}, used by the engine")
    else:
        there = sorted({*lsm} & {"apparmor", "selinux"})
        yield _warning(
            "lsm",
            f"{there[0]} is in the kernel and the engine does not use it"
            if there
            else "neither AppArmor nor SELinux: one wall less behind a flaw of the kernel",
            "apt-get install apparmor, boot with security=apparmor, then restart the engine",
        )
    if "rootless" in named:
        yield _ok("user namespaces", "the engine is rootless: root in there is nobody out here")
    elif "userns" in named:
        yield _warning(
            "user namespaces",
            "remapped: containers start only with uids inside the range of the remapped user",
            "let /etc/subuid and /etc/subgid give it 800000 ids, or set uid_first and uid_last",
        )
    else:
        yield _ok(
            "user namespaces",
            "not remapped: each container has a uid of its own instead, and never 0",
        )


def _limits(engine: EngineReport) -> Iterator[Finding]:
    for limit in engine.limits_missing:
        said, mend = _LIMIT_WORDS[limit], "boot with cgroup_enable=memory swapaccount=1"
        if limit == "swap":
            yield _warning("limits", said, f"{mend}, or swapoff --all")
        else:
            yield _refused("limits", said, mend if limit == "memory" else "use a newer kernel")
    if not engine.limits_missing:
        yield _ok("limits", "memory, swap, processes and processor time can be limited")


def _storage(engine: EngineReport) -> Iterator[Finding]:
    if engine.storage_driver in DRIVERS_SLOW:
        yield _warning(
            "storage",
            f"{engine.storage_driver}: each container costs a copy of its image",
            'set "storage-driver": "overlay2" in /etc/docker/daemon.json, data on ext4 or xfs',
        )
    else:
        yield _ok("storage", engine.storage_driver)


def _gvisor(engine: EngineReport) -> Iterator[Finding]:
    if any(name.startswith("runsc") for name in engine.runtimes):
        yield _ok("gvisor", "runsc is a runtime of the engine")
    else:
        yield _ok("gvisor", "absent, so the profile gvisor is refused: apt-get install runsc")


def _socket(socket: SocketFacts) -> Iterator[Finding]:
    shown = f"{socket.path} {socket.owner}:{socket.group} {socket.mode:04o}"
    if socket.mode & 0o002:
        yield _refused(
            "socket",
            f"{shown}: every user of this machine may use it, and so is root",
            f"chmod o= {socket.path}",
        )
    elif socket.members:
        yield _warning(
            "socket",
            f"{shown}: {', '.join(socket.members)} may use it, and so is root",
            f"gpasswd --delete USER {socket.group}; leave only the user of `callbroker sandboxd`",
        )
    else:
        yield _ok("socket", f"{shown}, nobody else")


def _images(*, debootstrap: bool) -> Iterator[Finding]:
    if debootstrap:
        yield _ok("debootstrap", "there: base images can be made without a registry")
    else:
        yield _warning(
            "debootstrap",
            "absent: base images can be had from a registry only",
            "apt-get install debootstrap",
        )


def _ok(part: str, said: str) -> Finding:
    return Finding(level=Level.OK, part=part, said=said)


def _warning(part: str, said: str, mend: str) -> Finding:
    return Finding(level=Level.WARNING, part=part, said=said, mend=mend)


def _refused(part: str, said: str, mend: str) -> Finding:
    return Finding(level=Level.REFUSED, part=part, said=said, mend=mend)
