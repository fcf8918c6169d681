"""Only public addresses are connected to, and only if the name has no others."""

import ipaddress

import pytest

from sandboxes.egress import addresses
from sandboxes.egress.outside import SystemResolver
from sandboxes.egress.refusals import EgressRefused


def judged(*found: str, exceptions: tuple[str, ...] = (), own: tuple[str, ...] = ()):
    mine = {ipaddress.ip_address(text) for text in own}
    made = addresses.judge(
        found, exceptions=addresses.blocks(exceptions), is_own=lambda address: address in mine
    )
    return tuple(map(str, made))


@pytest.mark.parametrize("found", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "2a00:1450::5"])
def test_a_public_address_is_used(found: str):
    assert judged(found) == (found,)


@pytest.mark.parametrize(
    "found",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "not an address",
        "127.1",
        "0177.0.0.1",
        "2130706433",
    ],
)
def test_any_other_address_refuses_the_name(found: str):
    for answer in ((found,), ("93.184.215.14", found), (found, "93.184.215.14")):
        with pytest.raises(EgressRefused) as refused:
            judged(*answer)
        assert refused.value.code == "EGRESS_ADDRESS_REFUSED"


def test_the_nodes_own_public_address_is_refused():
    with pytest.raises(EgressRefused):
        judged("93.184.215.14", own=("93.184.215.14",))


def test_an_exception_opens_its_block_and_no_other():
    assert judged("10.1.2.3", exceptions=("10.1.0.0/16",)) == ("10.1.2.3",)
    assert judged("127.0.0.1", exceptions=("127.0.0.1/32",), own=("127.0.0.1",)) == ("127.0.0.1",)
    with pytest.raises(EgressRefused):
        judged("10.2.2.3", exceptions=("10.1.0.0/16",))
    with pytest.raises(EgressRefused):
        judged("169.254.169.254", exceptions=("169.254.0.0/16",))


def test_a_name_without_addresses_is_unknown():
    with pytest.raises(EgressRefused) as refused:
        judged()
    assert refused.value.code == "EGRESS_NAME_UNKNOWN"


def test_the_kernel_says_which_addresses_are_its_own():
    assert addresses.is_own_address(ipaddress.ip_address("127.0.0.1"))
    assert addresses.is_own_address(ipaddress.ip_address("127.8.8.8"))
    assert not addresses.is_own_address(ipaddress.ip_address("93.184.215.14"))


async def test_the_system_is_asked_for_names():
    assert "127.0.0.1" in await SystemResolver().addresses("localhost", 443)
    with pytest.raises(OSError, match=r".+"):
        await SystemResolver().addresses("nowhere.invalid", 443)
