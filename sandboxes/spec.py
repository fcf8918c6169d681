"""What a container is made with: every control, in one value, and nothing that a caller chose.

`body` is what is posted to `/containers/create`. It is the same for each container of a profile
but for image, uid, labels and the directory of the way out. It names no command, entry point,
device, capability, namespace of another or directory of the host beside that one; an image's own
fixed entry point runs. What each control stops is named by a test in `tests/attacks/sandbox`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sandboxes.profile import Profile, Runtime

EGRESS_TARGET: Final = "/callbroker/egress"
SCRATCH: Final = "/tmp"  # noqa: S108 - inside the container, and its own
# What the engine calls the runtimes that a profile may ask for.
RUNTIMES: Final[Mapping[Runtime, str]] = {"runc": "runc", "gvisor": "runsc"}
# What a runtime runs itself inside the container's bound: gVisor's kernel has threads.
OWN_PROCESSES: Final[Mapping[Runtime, int]] = {"runc": 0, "gvisor": 64}

# Of /proc, a process sees processes. All else there and in /sys tells of the host or, where it can
# be written, changes it. Runtimes pass over what a kernel does not have.
_OF_THE_HOST: Final = (
    "acpi asound buddyinfo bus cgroups cmdline config.gz consoles cpuinfo crypto devices"
    " diskstats dma driver dynamic_debug execdomains fb filesystems fs interrupts iomem ioports"
    " irq kallsyms kcore key-users keys kmsg kpagecgroup kpagecount kpageflags latency_stats"
    " loadavg locks mdstat meminfo misc modules mtrr pagetypeinfo partitions pressure"
    " sched_debug schedstat scsi slabinfo softirqs stat swaps sys sysrq-trigger sysvipc"
    " timer_list timer_stats tty uptime version vmallocinfo vmstat zoneinfo"
)
MASKED_PATHS: Final = (
    *(f"/proc/{name}" for name in _OF_THE_HOST.split()),
    "/sys",
    "/dev/pts",  # ptys are counted by the host, not by the container
    "/etc/resolv.conf",  # whatever resolver the machine had on which the image was made
)
READ_ONLY_PATHS: Final = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


def body(
    profile: Profile,
    *,
    image: str,
    uid: int,
    seccomp: str,
    labels: Mapping[str, str],
    egress_directory: Path | None = None,
) -> dict[str, Any]:
    """The body of `POST /containers/create`.

    Args:
        profile: how much it gets.
        image: "sha256:…", never a tag.
        uid: user and group; of no other container that runs, and not 0.
        seccomp: the allow-list's JSON, for the engine's architecture.
        labels: for finding it again.
        egress_directory: holds the socket of its proxy; given if and only if the profile has a way
            out.

    Raises:
        ValueError: image, uid or directory is none of these.
    """
    if not image.startswith("sha256:"):
        raise ValueError("an image is named by its digest")
    if uid <= 0:
        raise ValueError("a container has a uid of its own, and not that of root")
    if (egress_directory is None) != profile.isolated:
        raise ValueError("a way out belongs to a profile with egress, and to no other")
    return {
        "Image": image,
        "User": f"{uid}:{uid}",
        "Labels": dict(labels),
        "Hostname": "sandbox",
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"],
        "WorkingDir": SCRATCH,
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGKILL",
        # The engine makes no network at all, which is also what takes it longest at a start.
        "NetworkDisabled": True,
        "HostConfig": _host(profile, seccomp, egress_directory),
    }


def _host(profile: Profile, seccomp: str, egress_directory: Path | None) -> dict[str, Any]:
    return {
        "NetworkMode": "none",
        "Dns": ["127.0.0.1"],
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={seccomp}"],
        "IpcMode": "none",
        "CgroupnsMode": "private",
        "Init": False,
        "AutoRemove": False,  # how it ended is read before it is removed
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "none", "Config": {}},
        "Memory": profile.memory_bytes,
        "MemorySwap": profile.memory_bytes,  # the sum of both: no swap
        "PidsLimit": profile.processes_max + OWN_PROCESSES[profile.runtime],
        "NanoCpus": round(profile.cpus * 1_000_000_000),
        "OomScoreAdj": 800,  # before anything of the host's
        "Ulimits": _ulimits(profile),
        "Tmpfs": {
            SCRATCH: f"rw,noexec,nosuid,nodev,size={profile.scratch_bytes}"
            f",nr_inodes={profile.scratch_inodes},mode=1777"
        },
        "MaskedPaths": list(MASKED_PATHS),
        "ReadonlyPaths": list(READ_ONLY_PATHS),
        "Mounts": [] if egress_directory is None else [_way_out(egress_directory)],
        "Runtime": RUNTIMES[profile.runtime],
    }


def _ulimits(profile: Profile) -> list[dict[str, Any]]:
    exact = {
        "core": 0,
        "fsize": profile.file_bytes_max,
        "memlock": 0,
        "msgqueue": 0,
        "nofile": profile.open_files_max,
        "nproc": profile.processes_max,
        "sigpending": profile.processes_max,
    }
    return [
        *({"Name": name, "Soft": most, "Hard": most} for name, most in exact.items()),
        # SIGXCPU first, which says why; SIGKILL a second later to whoever does not listen.
        {"Name": "cpu", "Soft": profile.cpu_s_max, "Hard": profile.cpu_s_max + 1},
    ]


def _way_out(directory: Path) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": str(directory),
        "Target": EGRESS_TARGET,
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate"},
    }
