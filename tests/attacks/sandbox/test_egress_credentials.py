"""A tool asks through the proxy with a credential that it must never see, and tries to get it."""

import asyncio
import base64
import hashlib
from dataclasses import replace
from urllib.parse import quote

import pytest

from sandboxes.egress import lint
from sandboxes.egress.credentials import Credential
from sandboxes.egress.outside import trusting
from tests.outside_world import HOST, egress, gate, origin, outside, raw, rule, saying

SECRET = "correct-horse/battery+staple"


@pytest.fixture
def credential(tmp_path) -> Credential:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    (kept / "token").write_text(SECRET)
    (kept / "token").chmod(0o600)
    return Credential(name="shop", hosts=(HOST,), file=kept / "token")


@pytest.fixture
async def shop(tmp_path, credential):
    place = tmp_path / "gates"
    place.mkdir()
    async with origin() as host:
        way_out = egress(
            rule(host.port, path="/orders", credential="shop", methods=("GET", "POST")),
            rule(host.port, path="/open/*"),
        )
        async with gate(place, way_out, outside(credential)) as tool:
            yield tool, host


def echo(spelled: bytes, split: int = 0):
    """An answer with this in it, in two pieces that come one after the other."""
    body = b'{"you sent": "' + spelled + b'", "more": "' + b"x" * 5000 + b'"}'
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    at = body.index(spelled) + split
    pieces = [piece for piece in (body[:at], body[at:]) if piece]

    async def answered(_, writer):
        writer.write(head)
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.05)  # as two pieces on the line as well
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    return answered


SPELLINGS = [
    SECRET.encode(),
    b"Bearer " + SECRET.encode(),
    quote(SECRET, safe="").encode(),
    SECRET.replace("/", "\\/").encode(),
    base64.b64encode(SECRET.encode()),
    base64.b64encode(b"Bearer " + SECRET.encode()),
    SECRET.encode().hex().encode(),
]


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("split", [0, 1, 9])
async def test_a_host_that_repeats_what_it_was_sent_gives_nothing_away(shop, spelled, split):
    """The API has a page that shows my own request's fields, or quotes them in an error."""
    tool, host = shop
    host.script = echo(spelled, split)
    authority = f"{HOST}:{host.port}"
    said = await tool.says(
        f"GET https://{authority}/orders HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
    )
    ((request,), _) = await tool.gate.close()
    assert host.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    assert not any(spelled[:size] in said for size in range(8, len(spelled) + 1))
    assert (request.code, request.allowed) == ("EGRESS_CREDENTIAL_ECHOED", True)


@pytest.mark.parametrize(
    "field", [f"X-Echo: {SECRET}", f"Location: https://evil.test/?{quote(SECRET)}", f"{SECRET}: 1"]
)
async def test_a_field_that_repeats_it_gives_nothing_away(shop, field: str):
    """The host redirects and takes the credential along in the address, or names it in a field."""
    tool, host = shop
    host.script = saying(b"", field, status="302 Found")
    code = await tool.refused(host.url("/orders"))
    assert code in {"EGRESS_CREDENTIAL_ECHOED", "EGRESS_ANSWER_BROKEN"}


async def test_an_answer_that_cannot_be_looked_through_does_not_pass(shop):
    """I have the host compress its echo: nobody finds the credential in it."""
    tool, host = shop
    host.script = saying(b"\x1f\x8b...", "Content-Encoding: gzip")
    assert await tool.refused(host.url("/orders")) == "EGRESS_ANSWER_BROKEN"
    assert host.asked[0].headers["accept-encoding"] == "identity"


async def test_it_does_not_come_in_slices(shop):
    """I ask for the echo byte by byte, in ranges too short to be recognised."""
    tool, host = shop
    code = await tool.refused(host.url("/orders"), headers={"Range": "bytes=0-3"})
    assert (code, host.connections) == ("EGRESS_UNSUPPORTED", 0)


async def test_it_goes_with_its_rule_alone(shop):
    """I ask the same host for another page, whose log I can read."""
    tool, host = shop
    await tool.fetch(host.url("/open/page"))
    assert "authorization" not in host.asked[0].headers


async def test_my_own_words_do_not_stand_beside_it(shop):
    """I send the field myself, twice or in other letters, so that the host takes mine."""
    tool, host = shop
    for name in ("Authorization", "authorization", "AUTHORIZATION", "Proxy-Authorization"):
        await tool.fetch(host.url("/orders"), headers={name: "Bearer mine"})
    assert {asked.headers["authorization"] for asked in host.asked} == {f"Bearer {SECRET}"}
    assert not any("proxy-authorization" in asked.headers for asked in host.asked)


async def test_a_redirect_does_not_take_it_along(shop):
    """The host sends the proxy on to mine, and the credential with it."""
    tool, host = shop
    host.script = saying(b"", "Location: https://evil.test/", status="307 Temporary Redirect")
    answer = await tool.fetch(host.url("/orders"), "POST", body=b"{}")
    assert (answer.status, len(host.asked)) == (307, 1)


async def test_a_profile_cannot_send_it_elsewhere(tmp_path, credential):
    """I write a profile: the credential's name is known, so I list a host of mine with it."""
    place = tmp_path / "gates"
    place.mkdir()
    async with origin() as host:
        mine = egress(rule(host.port, host="mine.example.com", path="/", credential="shop"))
        with pytest.raises(ValueError, match="not for this host"):
            async with gate(place, mine, outside(credential)):
                pass
    assert list(place.iterdir()) == []


async def test_a_template_cannot_send_it_elsewhere(tmp_path, credential):
    """The host is a template, so no lint knows where it leads: my argument leads to me."""
    place = tmp_path / "gates"
    place.mkdir()
    async with origin() as host:
        way_out = egress(rule(host.port, host="{/shop}.example.com", path="/", credential="shop"))
        given = b'{"shop":"mine"}'
        async with gate(place, way_out, outside(credential), input_json=given) as tool:
            code = await tool.refused(f"https://mine.example.com:{host.port}/")
    assert (code, host.connections) == ("EGRESS_CREDENTIAL_MISSING", 0)


def test_a_wildcard_does_not_spend_what_everybody_shares(credential):
    """The profile says "anything of this host" with the operator's own token: so I ask for all."""
    for given in ({"host": "*.example.com"}, {"path": "/*"}, {"path": "/orders/*"}):
        wild = egress(replace(rule(443, path="/", credential="shop"), **given))
        shared = replace(credential, hosts=(HOST, "*.example.com"))
        own = replace(shared, file=None, directory=credential.file.parent)
        assert any("wildcard" in found for found in lint.findings(wild, {"shop": shared}))
        assert lint.findings(wild, {"shop": own}) == ()


async def test_one_subjects_credential_is_not_anothers(tmp_path):
    """I am called for one customer and ask with another's credential, or with none named."""
    kept, place = tmp_path / "kept", tmp_path / "gates"
    kept.mkdir(mode=0o700)
    place.mkdir()
    theirs = kept / hashlib.sha256(b"customers/c-2").hexdigest()
    for file in (theirs, kept / hashlib.sha256(b"").hexdigest()):
        file.write_text(SECRET)
        file.chmod(0o600)
    credential = Credential(name="own", hosts=(HOST,), directory=kept)
    async with origin() as host:
        way_out = egress(rule(host.port, credential="own"))
        for subject in ("customers/c-1", "", "../kept/" + theirs.name, theirs.name):
            async with gate(place, way_out, outside(credential), subject=subject) as tool:
                assert await tool.refused(host.url("/")) == "EGRESS_CREDENTIAL_MISSING"
        assert host.connections == 0
        async with gate(place, way_out, outside(credential), subject="customers/c-2") as tool:
            assert (await tool.fetch(host.url("/"))).status == 200


async def test_who_pretends_to_be_the_host_does_not_get_it(tmp_path, credential):
    """I answer for the host's name, with a certificate of my own."""
    place = tmp_path / "gates"
    place.mkdir()
    async with origin(tls=False) as mine, origin() as host:
        for there in (mine, host):
            stranger = replace(outside(credential), tls=trusting())
            listed = rule(there.port, path="/", credential="shop")
            way_out = egress(listed, request_deadline_s=0.5)
            async with gate(place, way_out, stranger) as tool:
                assert await tool.refused(there.url("/")) in {
                    "EGRESS_UNREACHABLE",
                    "EGRESS_TOO_LATE",
                }
        assert mine.asked == host.asked == []


async def test_it_is_in_no_record_and_no_message(shop, capfd):
    """I read the record, the log and every error for it."""
    tool, host = shop
    host.script = raw(SECRET.encode() + b"\r\n\r\n")
    answer = await tool.refused(host.url("/orders"))
    requests, _ = await tool.gate.close()
    out, err = capfd.readouterr()
    assert SECRET not in repr((answer, requests, tool.gate.__dict__)) + out + err
