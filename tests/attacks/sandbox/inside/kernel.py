"""Parts of the kernel that a tool never needs, and where the next bug will be."""
# ruff: noqa: PTH123 - as plain as an attacker writes

import ctypes
import errno
import mmap
import os
import signal
import socket

from kit import X86, call, probe, reached, scratch

O_NOTIFICATION_PIPE = 0x80
PR_SET_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_MODE_FILTER = 22, 1, 2
SO_ATTACH_FILTER, MSG_OOB = 26, 1
F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ = 1024, 1026, 1031
MADV_MERGEABLE, MADV_PAGEOUT = 12, 21
FUTEX_LOCK_PI, FUTEX_CMP_REQUEUE_PI = 6, 12
RWF_NOWAIT = 8
ITIMER_PROF = 2
PR_SET_MM, PR_SET_SPECULATION_CTRL = 35, 53
CLOCK_PROCESS_CPUTIME_ID = 2
# allow everything: a filter of one instruction, and its head
_ALLOW = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f", 8)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def a_filter():
    return _Program(1, ctypes.addressof(_ALLOW))


def a_file(text=b"x" * 4096):
    path = scratch("source")
    with open(path, "wb") as handle:
        handle.write(text)
    return os.open(path, os.O_RDWR)


@probe
def k__bpf():
    """I load a program into the kernel."""
    return reached("bpf", 0, bytes(72), 72)


@probe
def k__perf():
    """I count what others do, at a resolution that tells their keys."""
    return reached("perf_event_open", bytes(128), 0, -1, -1, 0)


@probe
def k__userfaultfd():
    """I stop the kernel in the middle of a copy, and win every race."""
    return f"descriptor {call('userfaultfd', 1)}"


@probe
def k__io_uring():
    """I ask by a ring: what I ask for there, no filter sees."""
    params = ctypes.create_string_buffer(120)
    return f"descriptor {call('io_uring_setup', 2, params)}"


@probe
def k__keyrings():
    """Keyrings are not of any namespace: I look for keys of the host's services."""
    for name, *arguments in (
        ("keyctl", 0, -3, 1, 0, 0),
        ("add_key", b"user", b"x", b"y", 1, -2),
        ("request_key", b"user", b"x", None, -2),
    ):
        try:
            return f"{name} returned {call(name, *arguments)}"
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOSYS, errno.EACCES}:
                return f"{name} was looked at"
    return None


@probe
def k__log():
    """The kernel's log tells addresses and what goes on."""
    size = call("syslog", 3, ctypes.create_string_buffer(256), 256)
    return f"{size} bytes"


@probe
def k__modules():
    """I load or unload a module."""
    for name, *arguments in (
        ("init_module", b"", 0, b""),
        ("finit_module", -1, b"", 0),
        ("delete_module", b"none", 0),
    ):
        try:
            return reached(name, *arguments)
        except OSError:
            continue
    return None


@probe
def k__another_kernel():
    """I boot a kernel of mine; the numbers are wrong, so that this one would only say so."""
    for name, *arguments in (("kexec_load", 0, -1, None, -1), ("reboot", 0, 0, 0, None)):
        try:
            return reached(name, *arguments)
        except OSError:
            continue
    return None


@probe
def k__accounts_of_the_host():
    """Swap, accounting, quotas, clock and names are the host's."""
    tries = (
        ("swapon", b"/none", 0), ("acct", b"/none"), ("quotactl", 0x80000100, None, 0, None),
        ("clock_settime", 99, bytes(16)), ("sethostname", b"mine", 4),
        ("setdomainname", b"mine", 4),
    )  # fmt: skip
    for name, *arguments in tries:
        try:
            return reached(name, *arguments)
        except OSError:
            continue
    return None


@probe
def k__ports():
    """I speak to hardware by its ports."""
    for name, *arguments in (("iopl", 3), ("ioperm", 0x80, 1, 1)):
        try:
            return f"{name} returned {call(name, *arguments)}"
        except OSError:
            continue
    return None


@probe
def k__segments():
    """Descriptor tables are a corner of the processor that nobody tests."""
    return reached("modify_ldt", 0, bytes(16), 16) if X86 else None


@probe
def k__fanotify():
    """I watch the files of everybody who shares my disk."""
    return f"descriptor {call('fanotify_init', 0, 0)}"


@probe
def k__inotify():
    """Watches are counted by user, across containers."""
    return f"descriptor {call('inotify_init1', 0)}"


@probe
def k__numa():
    """I move pages, and learn where they lie."""
    tries = (("move_pages", 0, 0, None, None, None, 0), ("mbind", 0, 0, 0, None, 0, 0))
    for name, *arguments in tries:
        try:
            return reached(name, *arguments)
        except OSError:
            continue
    return None


@probe
def k__splice():
    """A page of the page cache goes into a pipe, and I write into the pipe ("Dirty Pipe")."""
    reading, writing = os.pipe()
    source = a_file()
    for name, *arguments in (
        ("splice", source, None, writing, None, 16, 0),
        ("tee", reading, writing, 16, 0),
        ("vmsplice", writing, (ctypes.c_long * 2)(), 1, 0),
    ):
        try:
            return reached(name, *arguments)
        except OSError:
            continue
    return None


@probe
def k__sendfile_into_a_pipe():
    """sendfile() into a pipe is splice() by another name."""
    _, writing = os.pipe()
    return f"{call('sendfile', writing, a_file(), None, 16)} bytes"


@probe
def k__copy_within_the_kernel():
    """copy_file_range() joins the pages of two files."""
    source = a_file()
    target = os.open(scratch("target"), os.O_CREAT | os.O_RDWR, 0o600)
    return f"{call('copy_file_range', source, None, target, None, 16, 0)} bytes"


@probe
def k__notification_pipe():
    """A pipe with watches (CVE-2022-0995)."""
    return reached("pipe2", (ctypes.c_int * 2)(), O_NOTIFICATION_PIPE)


@probe
def k__filter_of_my_own():
    """I load a filter of system calls: a program, and a way to confuse the one that is there."""
    program = a_filter()
    try:
        return f"returned {call('seccomp', SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(program))}"
    except OSError:
        call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))
        return "loaded by prctl"


@probe
def k__filter_of_a_socket():
    """A socket takes a program too."""
    one, _ = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(a_filter()))
    return "attached"


@probe
def k__urgent_data():
    """Urgent data on a local socket (CVE-2025-38236)."""
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return f"{one.send(b'x', MSG_OOB)} bytes"


@probe
def k__landlock():
    """Landlock is young, and not needed by who is locked in already."""
    return f"version {call('landlock_create_ruleset', None, 0, 1)}"


@probe
def k__timers_of_processor_time():
    """Timers of processor time race with the end of threads (CVE-2025-38352)."""
    timer = ctypes.c_int()
    return reached("timer_create", CLOCK_PROCESS_CPUTIME_ID, None, ctypes.byref(timer))


@probe
def k__profiling_timer():
    """The old interface to the same."""
    signal.setitimer(signal.ITIMER_PROF, 5)
    return "set"


@probe
def k__timer_descriptors():
    """Timers and signals as descriptors: more code, for nobody."""
    for name, *arguments in (("timerfd_create", 1, 0), ("signalfd4", -1, bytes(8), 8, 0)):
        try:
            return f"{name}: descriptor {call(name, *arguments)}"
        except OSError:
            continue
    return None


@probe
def k__priority_inheritance():
    """Futexes that inherit priorities are where the worst bugs were (CVE-2014-3153)."""
    word = ctypes.c_int(0)
    return f"returned {call('futex', ctypes.byref(word), FUTEX_LOCK_PI, 0, None, None, 0)}"


@probe
def k__merged_pages():
    """Merged pages tell by their timing what other containers hold."""
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return reached("madvise", ctypes.c_void_p(address), 4096, MADV_MERGEABLE)


@probe
def k__pages_pushed_out():
    """I push pages out and see who brings them back."""
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    call("madvise", ctypes.c_void_p(address), 4096, MADV_PAGEOUT)
    return "pushed"


@probe
def k__page_cache_is_seen():
    """Which pages of a shared file are in memory tells what others run."""
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    text = ctypes.create_string_buffer(16)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(text), 16)
    for name, *arguments in (
        ("mincore", ctypes.c_void_p(address), 4096, ctypes.create_string_buffer(1)),
        ("preadv2", a_file(), vector, 1, 0, 0, RWF_NOWAIT),
    ):
        try:
            return f"{name} returned {call(name, *arguments)}"
        except OSError:
            continue
    return None


@probe
def k__leases():
    """With a lease I hear of, and delay, whoever opens a file."""
    return reached("fcntl", a_file(), F_SETLEASE, 1)


@probe
def k__greater_pipes():
    """A pipe of a megabyte is kernel memory, and a spray."""
    reading, _ = os.pipe()
    return f"{call('fcntl', reading, F_SETPIPE_SZ, 1 << 20)} bytes"


@probe
def k__memory_map():
    """I rewrite what the kernel believes of my memory, or switch a mitigation off."""
    for option, *arguments in ((PR_SET_MM, 1, 0), (PR_SET_SPECULATION_CTRL, 0, 2)):
        try:
            return reached("prctl", option, *arguments)
        except OSError:
            continue
    return None


@probe
def k__barriers():
    """One call interrupts every processor of the host."""
    return f"returned {call('membarrier', 1, 0, 0)}"


@probe
def k__flush_of_the_host():
    """sync() makes the host write all that it holds."""
    return f"returned {call('sync')}"


@probe
def k__load_of_the_host():
    """One call tells memory, load and uptime of the host."""
    text = ctypes.create_string_buffer(128)
    call("sysinfo", text)
    return f"up {int.from_bytes(text.raw[:8], 'little')} s"


@probe
def k__memory_keys():
    """Protection keys: few, and forgotten."""
    return reached("pkey_alloc", 0, 0)


@probe
def k__old_calls():
    """What is left from old times is read by nobody."""
    for name, *arguments in (("remap_file_pages", 0, 0, 0, 0, 0), ("lookup_dcookie", 0, None, 0)):
        try:
            return reached(name, *arguments)
        except OSError:
            continue
    return None
