"""Other processes, of the container and of the host, and rank among them."""
# ruff: noqa: PTH123, PTH208 - as plain as an attacker writes

import ctypes
import os
import signal
import time

from kit import call, probe, reached

PTRACE_TRACEME, PTRACE_ATTACH = 0, 16
TIOCSTI = 0x5412
RLIMIT_NOFILE = 7
SCHED_FIFO = 1
ENGINE = ("dockerd", "containerd")  # whoever starts containers is in none of them


def sibling():
    """A process of the same user, as another call's would be."""
    child = os.fork()
    if child == 0:
        time.sleep(20)
        os._exit(0)
    return child


@probe
def proc__trace_me():
    """I have myself traced."""
    return f"returned {call('ptrace', PTRACE_TRACEME, 0, 0, 0)}"


@probe
def proc__trace_a_sibling():
    """I trace another of my user and make it do what I like."""
    child = sibling()
    try:
        return f"returned {call('ptrace', PTRACE_ATTACH, child, 0, 0)}"
    finally:
        os.kill(child, signal.SIGKILL)


@probe
def proc__trace_the_first():
    """I trace the first process, which has seen the call."""
    return f"returned {call('ptrace', PTRACE_ATTACH, 1, 0, 0)}"


@probe
def proc__read_memory():
    """I read another's memory by a call."""
    child = sibling()
    try:
        return reached("process_vm_readv", child, None, 0, None, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)


@probe
def proc__read_memory_by_file():
    """I read it by its file."""
    child = sibling()
    try:
        with open(f"/proc/{child}/maps") as maps:
            start = int(maps.readline().split("-")[0], 16)
        handle = os.open(f"/proc/{child}/mem", os.O_RDONLY)
        return f"{len(os.pread(handle, 16, start))} bytes"
    finally:
        os.kill(child, signal.SIGKILL)


@probe
def proc__take_a_descriptor():
    """I take another's open file."""
    child = sibling()
    try:
        return f"descriptor {call('pidfd_getfd', call('pidfd_open', child, 0), 0, 0)}"
    finally:
        os.kill(child, signal.SIGKILL)


@probe
def proc__compare():
    """kcmp() compares kernel addresses for me."""
    return reached("kcmp", os.getpid(), os.getppid(), 1, 0, 0)


@probe
def proc__environment_of_the_first():
    """The first process may have been given a secret."""
    with open("/proc/1/environ", "rb") as handle:
        return f"{len(handle.read())} bytes"


@probe
def proc__of_the_host():
    """I see processes that are not of my container."""
    seen = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    with open("/proc/1/cmdline", "rb") as handle:
        first = handle.read()
    others = [pid for pid in seen if pid > 4096 or name_of(pid).startswith(ENGINE)]
    return f"{others[:5]}" if others or b"python" not in first else None


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as handle:
            return handle.read()
    except OSError:
        return ""  # it has ended


@probe
def proc__type_for_another():
    """I type into the terminal of whoever started me."""
    return reached("ioctl", 0, TIOCSTI, b"x")


@probe
def proc__go_first():
    """I take a rank before others."""
    call("setpriority", 0, 0, -10)
    return "raised"


@probe
def proc__real_time():
    """I take the processor and never give it back."""
    priority = ctypes.c_int(1)
    call("sched_setscheduler", 0, SCHED_FIFO, ctypes.byref(priority))
    return "set"


@probe
def proc__choose_a_processor():
    """I sit beside whom I want to listen to."""
    mask = (ctypes.c_ulong * 16)(1)
    return f"returned {call('sched_setaffinity', 0, ctypes.sizeof(mask), mask)}"


@probe
def proc__raise_a_limit():
    """I raise my own limits."""
    both = (ctypes.c_ulong * 2)(1 << 20, 1 << 20)
    call("prlimit64", 0, RLIMIT_NOFILE, both, None)
    return "raised"


@probe
def proc__die_last():
    """When memory is short, somebody else is to be killed."""
    with open("/proc/self/oom_score_adj") as handle:
        given = int(handle.read())
    if given < 500:
        return f"killed no sooner than others: {given}"
    with open("/proc/self/oom_score_adj", "w") as handle:
        handle.write("-1")
    return "killed after others"


@probe
def proc__queue_signals():
    """A signal with a message that pretends to come from the kernel."""
    return reached("rt_sigqueueinfo", os.getpid(), 0, bytes(128))
