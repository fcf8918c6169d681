"""Which addresses a webhook may go to, whatever a name resolves to."""

import pytest

from broker.notices.destinations import DestinationRefused, addresses_of, refusal


def resolving(*addresses):
    async def resolve(host, port):
        del host, port
        return list(addresses)

    return resolve


PRIVATE = ["10.0.0.7", "172.16.3.4", "192.168.1.1", "100.64.0.1", "fd00::1", "198.18.0.1"]
NEVER = [
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "ff02::1",
    "0.0.0.0",
    "::",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
DISGUISED = ["::ffff:10.0.0.7", "64:ff9b::a00:7", "2002:a00:7::1"]
HERE = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_a_public_address_may_be_spoken_to(address):
    assert refusal(address, is_here=False, allow_private=False) == ""


@pytest.mark.parametrize("address", PRIVATE + DISGUISED)
def test_a_private_one_only_where_the_setting_says_so(address):
    assert "allow_private" in refusal(address, is_here=False, allow_private=False)
    assert refusal(address, is_here=False, allow_private=True) == ""


@pytest.mark.parametrize("address", NEVER)
def test_where_clouds_keep_credentials_never(address):
    assert refusal(address, is_here=False, allow_private=True)


@pytest.mark.parametrize("address", HERE)
def test_this_machine_only_where_the_url_says_so(address):
    assert refusal(address, is_here=False, allow_private=True)
    assert refusal(address, is_here=True, allow_private=False) == ""


def test_what_is_no_address_is_refused():
    assert refusal("0x7f.1", is_here=False, allow_private=True)


async def test_of_several_addresses_only_those_that_may_be_spoken_to_are():
    found = await addresses_of(
        "x.example.com",
        443,
        allow_private=False,
        resolve=resolving("10.0.0.7", "93.184.216.34", "127.0.0.1"),
    )
    assert found == ("93.184.216.34",)


async def test_a_name_that_is_nowhere_public_is_refused_in_our_words():
    with pytest.raises(DestinationRefused, match=r"10\.0\.0\.7 is not public"):
        await addresses_of("x.example.com", 443, allow_private=False, resolve=resolving("10.0.0.7"))


async def test_an_address_in_the_url_is_asked_of_nobody_and_judged_the_same():
    with pytest.raises(DestinationRefused):
        await addresses_of("169.254.169.254", 443, allow_private=True, resolve=resolving())
    assert await addresses_of("[::1]", 80, allow_private=False, resolve=resolving()) == ("::1",)


async def test_a_name_that_nobody_knows_is_refused():
    async def unknown(host, port):
        raise OSError(host, port)

    with pytest.raises(DestinationRefused, match="not known"):
        await addresses_of("x.example.com", 443, allow_private=False, resolve=unknown)
    with pytest.raises(DestinationRefused, match="no address"):
        await addresses_of("x.example.com", 443, allow_private=False, resolve=resolving())
