"""The first process of an engine's own namespaces: with it the kernel ends all that is in them.

Run by `tests.engine` under `unshare --pid --mount --net`, as root; it needs nothing but Python. It
mounts what an engine needs where only the engine sees it, then starts and signals the engine as
told, one JSON object a line on standard input, and answers each. Its standard input ends when the
tests' process does, however that ended.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
NEEDED_CONTROLLERS = ("cpu", "memory", "pids")
V1_CONTROLLERS = (*NEEDED_CONTROLLERS, "cpuacct", "cpuset", "devices", "freezer", "blkio")

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MNT_DETACH = 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p]


def main(data_root: str, log: str, command: list[str]) -> None:
    """Prepares the room, says which storage driver fits, and obeys until standard input ends."""
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bring_up_loopback()
    mount_cgroups()
    # Shims keep their sockets there, and an engine of this machine may have its own.
    Path("/run/containerd").mkdir(parents=True, exist_ok=True)
    mount("tmpfs", "/run/containerd", "tmpfs", MS_NOSUID | MS_NODEV)
    driver = storage_driver(Path(data_root))
    answer({"driver": driver})
    with Path(log).open("ab") as heard:
        obey([*command, f"--storage-driver={driver}"], heard.fileno())


def obey(command: list[str], log: int) -> None:
    """Starts and signals the engine as told; reaps whatever is orphaned in here."""
    engine: subprocess.Popen[bytes] | None = None
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    selector.register(waking, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fd == waking:
                with contextlib.suppress(BlockingIOError):
                    os.read(waking, 4096)
                reap(engine)
                continue
            line = sys.stdin.readline()
            if not line:
                return
            told = json.loads(line)
            if told["do"] == "start":
                engine = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
                )
            elif told["do"] == "signal" and engine is not None and engine.returncode is None:
                os.kill(engine.pid, told["signal"])
            elif told["do"] == "poll":
                reap(engine)
            elif told["do"] == "end":
                end_all(engine)
            elif told["do"] == "remove_cgroups":
                remove_cgroups(told["names"])
            answer({"engine": engine and engine.pid, "code": engine and engine.returncode})


def reap(engine: subprocess.Popen[bytes] | None) -> None:
    """Collects every child that ended: the engine's and, as first process, everybody's."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if engine is not None and pid == engine.pid:
            engine.returncode = os.waitstatus_to_exitcode(status)


def end_all(engine: subprocess.Popen[bytes] | None) -> None:
    """Ends every process but this one, and returns when they have ended."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if engine is not None and pid == engine.pid:
            engine.returncode = os.waitstatus_to_exitcode(status)


def remove_cgroups(names: list[str]) -> None:
    """Those of engines that have ended; here, for outside there may be no cgroups mounted."""
    for name in names:
        for parent in [*CGROUPS.glob(f"*/{name}"), CGROUPS / name]:
            below = sorted((each for each in parent.rglob("*") if each.is_dir()), reverse=True)
            for cgroup in [*below, parent]:
                with contextlib.suppress(OSError):
                    cgroup.rmdir()


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """mount(2).

    Raises:
        OSError: the kernel said no.
    """
    wanted = (source.encode(), target.encode(), kind.encode(), flags, options.encode())
    if _libc.mount(*wanted) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {kind} at {target}: {os.strerror(number)}")


def bring_up_loopback() -> None:
    """A new network namespace has one interface, and it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(handle, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def mount_cgroups() -> None:
    """Leaves what is there; else version 2, else one tree for each controller of version 1."""
    unified = CGROUPS / "cgroup.controllers"
    if unified.exists() or all((CGROUPS / name).is_dir() for name in NEEDED_CONTROLLERS):
        return
    if not CGROUPS.is_dir():
        mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("cgroup2", str(CGROUPS), "cgroup2")
    if set(NEEDED_CONTROLLERS) <= set(unified.read_text().split()):
        return
    if _libc.umount2(str(CGROUPS).encode(), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), f"cannot unmount {CGROUPS}")
    mount("tmpfs", str(CGROUPS), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755")
    for tree, options in version_1_trees():
        (CGROUPS / tree).mkdir()
        try:
            mount("cgroup", str(CGROUPS / tree), "cgroup", 0, options)
        except OSError:
            if tree in NEEDED_CONTROLLERS:
                raise
            (CGROUPS / tree).rmdir()
            continue
        controllers = tree.split(",")
        for controller in controllers if len(controllers) > 1 else []:
            (CGROUPS / controller).symlink_to(tree)


def version_1_trees() -> list[tuple[str, str]]:
    """Each tree's name and mount options: those in use, all of them or containerd sees no kill for
    memory, and one for each controller that is in none (cgroups(7), /proc/self/cgroup)."""
    lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    in_use = [controllers for _, controllers, _ in (line.split(":", 2) for line in lines)]
    trees = [
        (named.removeprefix("name="), f"none,{named}" if named.startswith("name=") else named)
        for named in in_use
        if named
    ]
    taken = {controller for named in in_use for controller in named.split(",")}
    return [*trees, *((name, name) for name in V1_CONTROLLERS if name not in taken)]


def storage_driver(data_root: Path) -> str:
    """overlay2 on the disk where that works, else in memory; else the slow one that always does."""
    if overlay_works(data_root):
        return "overlay2"
    mount("tmpfs", str(data_root), "tmpfs", MS_NODEV, "mode=711")
    return "overlay2" if overlay_works(data_root) else "vfs"


def overlay_works(directory: Path) -> bool:
    """Whether the directory's file system can be the upper half of an overlay."""
    trial = directory / "overlay-trial"
    halves = {name: trial / name for name in ("lower", "upper", "work", "merged")}
    for half in halves.values():
        half.mkdir(parents=True, exist_ok=True)
    options = ",".join(f"{name}dir={path}" for name, path in halves.items() if name != "merged")
    try:
        mount("overlay", str(halves["merged"]), "overlay", 0, options)
    except OSError:
        return False
    _libc.umount2(str(halves["merged"]).encode(), MNT_DETACH)
    return True


def answer(said: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
