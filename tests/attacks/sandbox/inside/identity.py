"""Who the attacker is once he runs: every right that he was left is a way on."""
# ruff: noqa: PTH123 - as plain as an attacker writes

import os
import resource

from kit import GIVEN, call, probe, reached

ADDR_NO_RANDOMIZE = 0x0040000


def status(name):
    """One line of the process's own status."""
    with open("/proc/self/status") as handle:
        for line in handle:
            if line.startswith(f"{name}:"):
                return line.split()[1]
    raise FileNotFoundError(name)


@probe
def id__root():
    """I am root in here: half of all kernel bugs need no more."""
    return "uid 0" if 0 in {os.getuid(), os.geteuid(), os.getgid(), os.getegid()} else None


@probe
def id__host_user():
    """My number is one that people or services of the host have: their files would be mine."""
    return f"uid {os.getuid()}" if os.getuid() < 65536 else None


@probe
def id__capabilities():
    """Some capability was left to me, or to whatever I start."""
    sets = {name: status(name) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    left = {name: value for name, value in sets.items() if int(value, 16)}
    return str(left) if left else None


@probe
def id__no_new_privileges():
    """A program with a setuid bit or file capabilities would make me more than I am."""
    return "not set" if status("NoNewPrivs") != "1" else None


@probe
def id__system_calls_unfiltered():
    """The whole kernel is there to be tried."""
    return "no filter" if status("Seccomp") != "2" else None


@probe
def id__become_root():
    """I ask to be root."""
    call("setuid", 0)
    return f"uid {os.getuid()}"


@probe
def id__become_another():
    """I take another container's user, and so its quotas, processes and files."""
    call("setresuid", 700_001, 700_001, 700_001)
    return f"uid {os.getuid()}"


@probe
def id__groups():
    """I join group 0, or was left in some group of the host's."""
    beside = set(os.getgroups()) - {os.getgid()}
    if beside:
        return f"member of {sorted(beside)}"
    call("setgroups", 0, None)
    return "setgroups"


@probe
def id__environment():
    """A token or an address lies in my environment."""
    usual = {"PATH", "LANG", "HOME", "HOSTNAME", "PWD", "SHLVL", "LC_CTYPE"}
    beside = set(os.environ) - usual
    return f"{sorted(beside)}" if beside else None


@probe
def id__container_name():
    """The host's name for me is what I need to speak of myself to its engine."""
    name = os.uname().nodename
    return name if name != "sandbox" else None


@probe
def id__personality():
    """Without random addresses one exploit fits every run."""
    return reached("personality", ADDR_NO_RANDOMIZE)


def limit(number, most):
    """The hard bound of a resource, where it is above what it should be."""
    hard = resource.getrlimit(number)[1]
    return f"{hard}" if hard == resource.RLIM_INFINITY or hard > most else None


@probe
def id__limit_of_core_dumps():
    """My crash writes all that I hold to a disk, or starts the host's crash handler."""
    return limit(4, 0)


@probe
def id__limit_of_locked_memory():
    """Locked memory is taken from everybody."""
    return limit(8, 0)


@probe
def id__limit_of_queued_signals():
    """Queued signals are kernel memory, counted by user."""
    return limit(11, GIVEN["processes_max"])


@probe
def id__limit_of_message_queues():
    """Message queues are kernel memory, counted by user."""
    return limit(12, 0)


@probe
def id__limit_of_processor_time():
    """I go on computing for as long as I like, wall clock or not."""
    return limit(0, GIVEN["cpu_s_max"] + 1)


@probe
def id__limit_of_processes_of_a_user():
    """Where the container's own bound fails, the user's holds."""
    return limit(6, GIVEN["processes_max"])
