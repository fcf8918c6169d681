"""What every probe in a container has: raw system calls, and one line of JSON for each attempt.

The attacker runs any code that he likes in the container. Each probe is one thing that he would
try, in a process of its own, and stops at the first sign that the way is there. A probe that
returns text got through ("open"); one that returns nothing, or meets an OSError, did not
("blocked").
Anything else is "error", and proves nothing. The standard library is all there is.
"""
# ruff: noqa: PTH118 - as plain as an attacker writes

import contextlib
import ctypes
import errno
import json
import os
import platform
import select
import signal
import sys
import time

TIME_MAX_S = 30
DETAIL_CHARACTERS_MAX = 300
X86 = platform.machine() == "x86_64"
NOT_REACHED = {errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EOPNOTSUPP}

PROBES = {}
GIVEN = {}  # what the host says of canary and limits

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# name: (x86_64, aarch64); one number where they agree.
NUMBERS = {
    "accept4": (288, 242), "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280),
    "chroot": (161, 51), "clock_settime": (227, 112), "clone": (56, 220), "clone3": 435,
    "copy_file_range": (326, 285), "delete_module": (176, 106), "execveat": (322, 281),
    "fanotify_init": (300, 262), "fchmod": (91, 52), "fcntl": (72, 25), "finit_module": (313, 273),
    "fsopen": 430, "futex": (202, 98), "init_module": (175, 105), "inotify_init1": (294, 26),
    "io_uring_setup": 425,
    "ioctl": (16, 29), "ioperm": (173, None), "iopl": (172, None), "kcmp": (312, 272),
    "kexec_load": (246, 104), "keyctl": (250, 219), "landlock_create_ruleset": 444,
    "listns": 470, "lookup_dcookie": (212, 18), "madvise": (28, 233), "mbind": (237, 235),
    "membarrier": (324, 283), "memfd_create": (319, 279), "memfd_secret": 447,
    "mincore": (27, 232), "mlock": (149, 228), "modify_ldt": (154, None), "mount": (165, 40),
    "mount_setattr": 442, "move_mount": 429, "move_pages": (279, 239), "mq_open": (240, 180),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "open_tree": 428,
    "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": 438,
    "pidfd_open": 434, "pipe2": (293, 59), "pivot_root": (155, 41), "pkey_alloc": (330, 289),
    "prctl": (157, 167), "preadv2": (327, 286), "prlimit64": (302, 261),
    "process_madvise": 440, "process_vm_readv": (310, 270), "ptrace": (101, 117),
    "quotactl": (179, 60), "reboot": (169, 142), "remap_file_pages": (216, 234),
    "request_key": (249, 218), "rt_sigqueueinfo": (129, 138), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "seccomp": (317, 277), "sendfile": (40, 71),
    "setdomainname": (171, 162), "setgroups": (116, 159), "sethostname": (170, 161),
    "setns": (308, 268), "setpriority": (141, 140), "setresuid": (117, 147),
    "setuid": (105, 146), "setxattr": (188, 5), "shmget": (29, 194), "signalfd4": (289, 74),
    "splice": (275, 76), "swapon": (167, 224), "sync": (162, 81), "syncfs": (306, 267),
    "sysinfo": (99, 179), "syslog": (103, 116), "tee": (276, 77), "timer_create": (222, 107),
    "timerfd_create": (283, 85), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282), "vmsplice": (278, 75),
}  # fmt: skip


def probe(function):
    """Register one; its name begins with its group."""
    name = function.__name__.replace("__", ".", 1)
    if name in PROBES:
        raise ValueError(name)
    PROBES[name] = function
    return function


def call(name, *arguments):
    """A raw system call; raises OSError with what the kernel said."""
    numbers = NUMBERS[name]
    number = numbers if isinstance(numbers, int) else numbers[0 if X86 else 1]
    if number is None:
        raise OSError(errno.ENOSYS, "not on this architecture")
    ctypes.set_errno(0)
    made = [a if isinstance(a, bytes | ctypes._SimpleCData) or not isinstance(a, int)
            else ctypes.c_long(a) for a in arguments]  # fmt: skip
    result = _libc.syscall(ctypes.c_long(number), *made)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def reached(name, *arguments):
    """Whether a call that is made to fail gets as far as being looked at."""
    try:
        return f"{name} returned {call(name, *arguments)}"
    except OSError as error:
        if error.errno in NOT_REACHED:
            raise
        return f"{name} was looked at: {errno.errorcode.get(error.errno, error.errno)}"


def scratch(name):
    """A path in the one place that may be written."""
    return os.path.join("/tmp", name)


def in_child(function):
    """Run in a process of its own: what it printed as text, or how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        said = {"verdict": "error", "detail": "said nothing"}
        try:
            got = function()
            said = {"verdict": "open" if got else "blocked", "detail": got or "nothing got through"}
        except MemoryError:
            said = {"verdict": "blocked", "detail": "MemoryError"}
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error))
            said = {"verdict": "blocked", "detail": f"{name} {error.strerror or ''}".strip()}
        except BaseException as error:  # noqa: BLE001 - whatever it was, it is told
            said = {"verdict": "error", "detail": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    text = _read(reading)
    os.close(reading)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if text:
        return json.loads(text)
    ended = f"killed by {signal.Signals(status & 127).name}" if status & 127 else "no answer"
    # A filter or a limit may kill: that is a way of being stopped. Crashes prove nothing.
    stopped = status & 127 in {signal.SIGSYS, signal.SIGKILL, signal.SIGXCPU, signal.SIGXFSZ}
    return {"verdict": "blocked" if stopped else "error", "detail": ended}


def _read(reading):
    text, until = b"", time.monotonic() + TIME_MAX_S
    while select.select([reading], [], [], max(0, until - time.monotonic()))[0]:
        got = os.read(reading, 65536)
        if not got:
            break
        text += got
    return text


def main(given):
    """Try all that were asked for, in order; one line each."""
    GIVEN.update(given)
    for name in given["probes"]:
        said = in_child(PROBES[name])
        said["detail"] = said["detail"][:DETAIL_CHARACTERS_MAX]
        sys.stdout.write(json.dumps({"probe": name, **said}) + "\n")
        sys.stdout.flush()
