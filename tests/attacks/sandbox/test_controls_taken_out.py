"""The operator, or a later change of ours, leaves one control out. The attacker notices.

A control that nobody misses when it is gone proves nothing by being there. So each is taken out of
the body that a node sends, or out of the list of system calls, and the probe that it stops has to
get through. Where two controls stop the same, the other one is taken out with it, and the table
says so.
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sandboxes.spec import READ_ONLY_PATHS
from tests.attacks.sandbox.prober import Body, opened, shipped, tried
from tests.engine_api import ContainerEngine

SECCOMP = "seccomp="
WIDE = {
    "core": 4096,
    "cpu": 3600,
    "fsize": 64 << 20,
    "memlock": 1 << 20,
    "msgqueue": 8192,
    "nofile": 1024,
    "nproc": 1024,
    "sigpending": 1024,
}
PROCESSOR_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Control:
    """One control, how it is taken out, and the probes that get through without it."""

    name: str
    take_out: Callable[[Body], Any]
    opens: tuple[str, ...]
    profile: str = "strict"


def host(**changed: Any) -> Callable[[Body], None]:
    """Other host settings; None takes one out."""

    def change(body: Body) -> None:
        for name, value in changed.items():
            body["HostConfig"][name] = value
            if value is None:
                del body["HostConfig"][name]

    return change


def top(**changed: Any) -> Callable[[Body], None]:
    """Other settings beside those."""

    def change(body: Body) -> None:
        for name, value in changed.items():
            body[name] = value
            if value is None:
                del body[name]

    return change


def both(*changes: Callable[[Body], None]) -> Callable[[Body], None]:
    """One after the other."""

    def change(body: Body) -> None:
        for each in changes:
            each(body)

    return change


def allowing(*calls: str) -> Callable[[Body], None]:
    """A list that allows some calls whatever their arguments."""

    def change(listed: dict[str, Any]) -> None:
        for rule in listed["syscalls"]:
            rule["names"] = [name for name in rule["names"] if name not in calls]
        listed["syscalls"] = [rule for rule in listed["syscalls"] if rule["names"]]
        listed["syscalls"].append({"names": list(calls), "action": "SCMP_ACT_ALLOW"})

    return listing(change)


def listing(edit: Callable[[dict[str, Any]], None]) -> Callable[[Body], None]:
    """Another list of system calls."""

    def change(body: Body) -> None:
        options = body["HostConfig"]["SecurityOpt"]
        (given,) = (each for each in options if each.startswith(SECCOMP))
        listed = json.loads(given.removeprefix(SECCOMP))
        edit(listed)
        options[options.index(given)] = f"{SECCOMP}{json.dumps(listed)}"

    return change


def without_option(prefix: str) -> Callable[[Body], None]:
    """Without one of the security options."""

    def change(body: Body) -> None:
        options = body["HostConfig"]["SecurityOpt"]
        body["HostConfig"]["SecurityOpt"] = [o for o in options if not o.startswith(prefix)]

    return change


def without_limit(*names: str) -> Callable[[Body], None]:
    """Some limits wider."""

    def change(body: Body) -> None:
        limits = body["HostConfig"]["Ulimits"]
        body["HostConfig"]["Ulimits"] = [each for each in limits if each["Name"] not in names]
        # What the engine itself has may be as tight as ours: more, but no more than it may give.
        body["HostConfig"]["Ulimits"] += [
            {"Name": name, "Soft": WIDE[name], "Hard": WIDE[name]} for name in names
        ]

    return change


def scratch(old: str, new: str) -> Callable[[Body], None]:
    """Another option of the scratch space."""

    def change(body: Body) -> None:
        mounted = body["HostConfig"]["Tmpfs"]
        assert old in mounted["/tmp"]
        mounted["/tmp"] = mounted["/tmp"].replace(old, new)

    return change


def unmasked(*paths: str) -> Callable[[Body], None]:
    """Some paths as they are."""

    def change(body: Body) -> None:
        masked = body["HostConfig"]["MaskedPaths"]
        assert set(paths) <= set(masked)
        body["HostConfig"]["MaskedPaths"] = [path for path in masked if path not in paths]

    return change


def writable_mounts(body: Body) -> None:
    for mount in body["HostConfig"]["Mounts"]:
        mount["ReadOnly"] = False


UNCONFINED = both(without_option(SECCOMP), lambda b: b["HostConfig"]["SecurityOpt"].append(
    "seccomp=unconfined"
))  # fmt: skip

CONTROLS = (
    Control(
        "list of system calls", UNCONFINED,
        ("id.system_calls_unfiltered", "ns.user", "code.memory_file", "code.execute_a_descriptor",
         "k.splice", "proc.trace_me", "net.netlink", "k.load_of_the_host", "k.flush_of_the_host"),
    ),
    Control("AF_UNIX alone", allowing("socket"), ("net.internet", "net.netlink")),
    Control("no urgent data", allowing("sendto"), ("k.urgent_data",)),
    Control("few socket options", allowing("setsockopt"), ("k.filter_of_a_socket",)),
    Control("no namespaces by clone", allowing("clone"), ("ns.user_by_clone",)),
    Control("clone3 is absent", allowing("clone3"), ("ns.user_by_clone3",)),
    Control("plain futexes", allowing("futex"), ("k.priority_inheritance",)),
    Control("harmless advice on memory", allowing("madvise"), ("k.pages_pushed_out",)),
    Control("few requests of fcntl", allowing("fcntl"), ("k.greater_pipes",)),
    Control("few requests of ioctl", allowing("ioctl"), ("proc.type_for_another",)),
    Control("few requests of prctl", allowing("prctl"), ("k.filter_of_my_own", "k.memory_map")),
    Control("no setuid bits", allowing("chmod", "fchmod", "fchmodat"), ("code.setuid_bit",)),
    Control("plain pipes", allowing("pipe2"), ("k.notification_pipe",)),
    Control("real-time timer alone", allowing("setitimer"), ("k.profiling_timer",)),
    Control("no sendfile", allowing("sendfile"), ("k.sendfile_into_a_pipe",)),
    Control("no copy_file_range", allowing("copy_file_range"), ("k.copy_within_the_kernel",)),
    Control("no timers", allowing("timer_create"), ("k.timers_of_processor_time",)),
    Control("a user that is not root", top(User="0:0"), ("id.root", "id.host_user")),
    Control("no capabilities", host(CapDrop=None), ("id.capabilities",)),
    Control(
        "no new privileges: without it, runtimes start under the list and need more than is on it",
        both(without_option("no-new-privileges"), UNCONFINED), ("id.no_new_privileges",),
    ),
    Control("read-only root", host(ReadonlyRootfs=False), ("fs.image_is_mounted_for_writing",)),
    Control("no shared memory", host(IpcMode="private"), ("fs.shared_memory",)),
    Control("cgroup of one's own", host(CgroupnsMode="host"), ("fs.cgroup_path",)),
    Control("processes of one's own", host(PidMode="host"), ("proc.of_the_host",)),
    Control(
        "no network", both(host(NetworkMode="host"), top(NetworkDisabled=None)),
        ("net.of_the_engine",),
    ),
    Control(
        "no resolver: network off, a dead one given, and the file masked",
        both(host(Dns=["192.0.2.53"]), top(NetworkDisabled=None), unmasked("/etc/resolv.conf")),
        ("fs.resolver",),
    ),
    Control("masked /proc", unmasked("/proc/version", "/proc/meminfo"), ("fs.host_facts",)),
    Control("masked /proc/sys", unmasked("/proc/sys"), ("fs.kernel_settings",)),
    Control("masked /sys", unmasked("/sys"), ("fs.hardware",)),
    Control("masked terminals", unmasked("/dev/pts"), ("fs.terminals",)),
    Control(
        "read-only /proc/sys: the mask hides it, and only root may write",
        both(top(User="0:0"), host(ReadonlyPaths=[]), unmasked(*READ_ONLY_PATHS)),
        ("fs.change_the_host",),
    ),
    Control("nothing executes in /tmp", scratch("noexec", "exec"),
            ("code.program", "code.program_by_the_loader", "code.library")),
    Control("no setuid in /tmp", scratch("nosuid", "suid"), ("fs.scratch_flags",)),
    Control("no devices in /tmp", scratch("nodev", "dev"), ("fs.scratch_flags",)),
    Control("bytes of /tmp", scratch("size=16777216", "size=64m"), ("res.scratch_bytes",)),
    Control("files of /tmp", scratch("nr_inodes=1024", "nr_inodes=8192"), ("res.scratch_files",)),
    Control("memory", host(Memory=None, MemorySwap=None), ("res.memory",)),
    Control(
        "processes: two bounds, of the container and of its user",
        both(host(PidsLimit=None), without_limit("nproc")),
        ("res.processes", "id.limit_of_processes_of_a_user"),
    ),
    Control("rank when memory is short", host(OomScoreAdj=0), ("proc.die_last",)),
    Control(
        "size of a file", both(without_limit("fsize"), scratch("size=16777216", "size=64m")),
        ("res.file_size",),
    ),
    Control("open files", without_limit("nofile"), ("res.open_files",)),
    Control("core dumps", without_limit("core"), ("id.limit_of_core_dumps",)),
    Control("locked memory", both(without_limit("memlock"), allowing("mlock")),
            ("id.limit_of_locked_memory", "res.locked_memory")),
    Control("queued signals", without_limit("sigpending"), ("id.limit_of_queued_signals",)),
    Control("message queues", without_limit("msgqueue"), ("id.limit_of_message_queues",)),
    Control("processor time", without_limit("cpu"), ("id.limit_of_processor_time",)),
    Control("bare environment", lambda body: body["Env"].append("TOKEN=x"), ("id.environment",)),
    Control("a name that says nothing", top(Hostname=None), ("id.container_name",)),
    Control("way out for reading", writable_mounts, ("fs.way_out_is_mounted_for_writing",),
            profile="egress"),
)  # fmt: skip

OF_X86 = (
    Control(
        "native entry alone",
        listing(lambda listed: listed["architectures"].append("SCMP_ARCH_X86")),
        ("code.32_bit_entry",),
    ),
)
HERE = CONTROLS + (OF_X86 if platform.machine() == "x86_64" else ())


@pytest.mark.parametrize("control", HERE, ids=lambda control: control.name)
def test_without_a_control_what_it_stops_gets_through(
    control: Control, container_engine: ContainerEngine, base_image: str
) -> None:
    rows = tried(
        container_engine,
        base_image,
        shipped(control.profile),
        change=control.take_out,
        only=control.opens,
    )
    assert opened(rows).keys() == set(control.opens), rows


def test_without_its_share_a_container_takes_the_processors(
    container_engine: ContainerEngine, base_image: str
) -> None:
    until_s = time.monotonic() + PROCESSOR_DEADLINE_S  # others may be using them just now
    got: dict[str, str] = {}
    while not got and time.monotonic() < until_s:
        got = opened(
            tried(
                container_engine,
                base_image,
                shipped("strict"),
                change=host(NanoCpus=None),
                only=("res.processor",),
            )
        )
    assert got
