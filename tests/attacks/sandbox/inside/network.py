"""A way to anybody outside, or to the kernel's network code."""
# ruff: noqa: PTH115, PTH123 - as plain as an attacker writes

import os
import socket

from kit import GIVEN, probe

AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK, AF_UNIX = 16, 17, 38, 40, 1
FAMILIES = range(2, 46)
WAIT_S = 2.0


def open_family(family, kind=socket.SOCK_DGRAM, protocol=0):
    socket.socket(family, kind, protocol).close()
    return f"family {family}"


def reach(address):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as handle:
        handle.settimeout(WAIT_S)
        handle.connect(address)
    return f"connected to {address}"


@probe
def net__internet():
    """I speak to the world."""
    return open_family(socket.AF_INET, socket.SOCK_STREAM)


@probe
def net__internet_6():
    """The same by its younger protocol."""
    return open_family(socket.AF_INET6, socket.SOCK_STREAM)


@probe
def net__netlink():
    """Routes, addresses and filters are set by netlink, and its parsers are many."""
    return open_family(AF_NETLINK, socket.SOCK_RAW)


@probe
def net__netfilter():
    """nf_tables is reached by it."""
    return open_family(AF_NETLINK, socket.SOCK_RAW, 12)


@probe
def net__packets():
    """I read and write the wire."""
    return open_family(AF_PACKET, socket.SOCK_RAW)


@probe
def net__raw():
    """I write headers of my own."""
    return open_family(socket.AF_INET, socket.SOCK_RAW, 1)


@probe
def net__hypervisor():
    """AF_VSOCK reaches the machine's host: no network mode covers it."""
    return open_family(AF_VSOCK, socket.SOCK_STREAM)


@probe
def net__kernel_ciphers():
    """AF_ALG hands my pages to the kernel's ciphers."""
    return open_family(AF_ALG, socket.SOCK_SEQPACKET)


@probe
def net__other_families():
    """Some family that nobody thought of."""
    opened = []
    for family in FAMILIES:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                opened.append(open_family(family, kind))
                break
            except OSError:
                continue
    return ", ".join(opened) or None


@probe
def net__metadata():
    """The cloud's metadata service gives keys to whoever asks."""
    return reach(("169.254.169.254", 80))


@probe
def net__public_address():
    """I send what I have to an address of mine."""
    return reach(("1.1.1.1", 443))


@probe
def net__resolver():
    """A name that I ask for says what I know."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.settimeout(WAIT_S)
        handle.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1", ("8.8.8.8", 53))
    return "sent"


@probe
def net__interfaces():
    """There is an interface beside the loopback."""
    with open("/proc/net/dev") as handle:
        names = [line.split(":")[0].strip() for line in handle if ":" in line]
    idle = {"lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0"}
    return str(sorted(set(names) - idle)) if set(names) - idle else None


@probe
def net__of_the_engine():
    """My network is the one in which the engine lives."""
    mine = os.readlink("/proc/self/ns/net")
    return mine if mine == GIVEN["engine_network"] else None
