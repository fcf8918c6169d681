"""Files: the host's, the engine's, and every place where something may be left."""
# ruff: noqa: PTH108, PTH115, PTH118, PTH123, PTH207, PTH208, SIM905 - as plain as an attacker writes

import ctypes
import glob
import os
import stat

from kit import GIVEN, call, probe, scratch

AT_FDCWD = -100
SYSTEM = ("/", "/etc", "/usr", "/usr/bin", "/var", "/root", "/home", "/opt", "/lib", "/run", "/dev",
          "/callbroker", "/proc", "/sys", "/srv", "/mnt")  # fmt: skip
DEVICES = {"full", "null", "random", "tty", "urandom", "zero", "ptmx"}
WAYS_TO_CHANGE_THE_HOST = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
    "/proc/sys/kernel/hostname", "/sys/kernel/uevent_helper", "/sys/kernel/mm/ksm/run",
    "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max",
)  # fmt: skip
HOST_FACTS = """
buddyinfo cgroups cmdline config.gz consoles cpuinfo crypto devices diskstats filesystems
interrupts iomem ioports kallsyms kcore keys key-users kmsg loadavg locks meminfo misc
modules mtrr pagetypeinfo partitions schedstat slabinfo softirqs stat swaps timer_list
uptime version vmallocinfo vmstat zoneinfo
""".split()


def try_to_leave_a_file(folder):
    path = os.path.join(folder, ".left")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink(path)
    return folder


def first_that_opens(paths, flags):
    for path in paths:
        try:
            os.close(os.open(path, flags))
        except OSError:
            continue
        return path
    return None


def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@probe
def fs__canary():
    """A file lies on the host. I try its path, from every root and descriptor that I have."""
    path, token = GIVEN["canary_path"], GIVEN["canary"]
    roots = ["", "/host", "/proc/1/root", "/proc/1/cwd", "/proc/self/root", "/mnt", "/rootfs"]
    roots += [f"/proc/self/fd/{n}" + "/.." * up for n in range(32) for up in (1, 4, 8)]
    roots += [f"/proc/self/cwd{'/..' * up}" for up in range(8)]
    for root in roots:
        try:
            with open(root + path) as handle:
                if token in handle.read():
                    return root + path
        except OSError:
            continue
    return None


@probe
def fs__inherited_descriptors():
    """The runtime forgot to close something of the host's (CVE-2024-21626)."""
    mine = [int(n) for n in os.listdir("/proc/self/fd")]
    named = {n: os.readlink(f"/proc/self/fd/{n}") for n in mine if n > 2 and is_open(n)}
    beside = {n: to for n, to in named.items() if not to.startswith(("pipe:", "/proc/"))}
    return str(beside) if beside else None


@probe
def fs__file_handles():
    """I open the host's root by the number that it has in its file system ("shocker")."""
    handle = (ctypes.c_char * 16).from_buffer_copy(
        (8).to_bytes(4, "little") + (1).to_bytes(4, "little") + (2).to_bytes(4, "little") + bytes(4)
    )
    folder = os.open("/etc", os.O_RDONLY)
    return f"descriptor {call('open_by_handle_at', folder, handle, 0)}"


@probe
def fs__handle_names():
    """I learn such numbers from a file that the host shares with me."""
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little") + bytes(140))
    mount_id = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, b"/etc/passwd", handle, ctypes.byref(mount_id), 0)
    return "name_to_handle_at"


@probe
def fs__engine_socket():
    """Whoever speaks to the engine is root on the host."""
    found = glob.glob("/run/**/*.sock", recursive=True) + glob.glob("/var/run/*.sock")
    return next(iter(found), None)


@probe
def fs__abstract_sockets():
    """Services of the host listen on names that no file system guards."""
    with open("/proc/net/unix") as handle:
        names = [line.split()[-1] for line in handle if "@" in line]
    return str(names[:5]) if names else None


@probe
def fs__write_to_the_image():
    """I change the image's files, for those who come after me."""
    for folder in SYSTEM:
        try:
            return try_to_leave_a_file(folder)
        except OSError:
            continue
    return None


@probe
def fs__image_is_mounted_for_writing():
    """It is only my number that keeps me from writing: the next bug in that is enough."""
    return None if os.statvfs("/").f_flag & os.ST_RDONLY else "mounted for writing"


@probe
def fs__scratch():
    """There is a place where I can keep things."""
    return try_to_leave_a_file("/tmp")


@probe
def fs__scratch_flags():
    """Devices and setuid programs work in that place."""
    flags = os.statvfs("/tmp").f_flag
    missing = {"nosuid": os.ST_NOSUID, "nodev": os.ST_NODEV, "noexec": os.ST_NOEXEC}
    left = [name for name, flag in missing.items() if not flags & flag]
    return f"without {left}" if left else None


@probe
def fs__shared_memory():
    """/dev/shm is a second place, as large as it likes."""
    return try_to_leave_a_file("/dev/shm")


@probe
def fs__message_queue():
    """A message queue is a third."""
    return f"descriptor {call('mq_open', b'left', os.O_CREAT | os.O_RDWR, 0o600, None)}"


@probe
def fs__sysv_memory():
    """Shared memory of System V is a fourth, and outlives me."""
    return f"segment {call('shmget', 0, 4096, 0o1600)}"


@probe
def fs__way_out_is_mounted_for_writing():
    """I put a socket of my own where the proxy's is looked for."""
    return try_to_leave_a_file("/callbroker/egress")


@probe
def fs__change_the_host():
    """Some of these files are the host's, whoever writes them."""
    return first_that_opens(WAYS_TO_CHANGE_THE_HOST, os.O_WRONLY)


@probe
def fs__host_facts():
    """/proc tells of the host: kernel, load, devices, addresses."""
    told = []
    for name in HOST_FACTS:
        try:
            with open(f"/proc/{name}", "rb") as handle:
                if handle.read(1):
                    told.append(name)
        except OSError:
            continue
    return " ".join(told) or None


@probe
def fs__kernel_settings():
    """/proc/sys tells how the kernel is set, and which boot this is."""
    return f"{len(os.listdir('/proc/sys'))} trees" if os.listdir("/proc/sys") else None


@probe
def fs__hardware():
    """/sys tells of hardware, and names what else runs."""
    return str(os.listdir("/sys")) if os.listdir("/sys") else None


@probe
def fs__devices():
    """A device of the host is in /dev."""
    kinds = {stat.S_IFBLK, stat.S_IFCHR}
    there = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir("/dev")}
    found = [name for name, is_ in there.items() if stat.S_IFMT(is_.st_mode) in kinds]
    found = sorted(set(found) - DEVICES)
    return str(found) if found else None


@probe
def fs__make_a_device():
    """I make one."""
    os.mknod(scratch("device"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    return "made"


@probe
def fs__terminals():
    """Terminals are counted by the host: who takes them all leaves none."""
    os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    return "opened one"


@probe
def fs__mounts():
    """My list of mounts names where the engine keeps its files."""
    with open("/proc/self/mountinfo") as handle:
        named = [word for line in handle for word in line.split() if "upperdir=" in word]
    return named[0] if named else None


@probe
def fs__cgroup_path():
    """The path of my cgroup names me on the host."""
    with open("/proc/self/cgroup") as handle:
        paths = {line.strip().split(":", 2)[2] for line in handle}
    return str(sorted(paths - {"/"})) if paths - {"/"} else None


@probe
def fs__resolver():
    """The host's resolver is named to me."""
    with open("/etc/resolv.conf") as handle:
        servers = [line.split()[1] for line in handle if line.startswith("nameserver")]
    return str(servers) if set(servers) - {"127.0.0.1"} else None


@probe
def fs__attributes():
    """Attributes of files go where no limit counts."""
    path = scratch("attributed")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    call("setxattr", path.encode(), b"user.left", b"x", 1, 0)
    return "set"
