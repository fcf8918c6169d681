"""One request's way out and its answer's way in, in an order that lets nothing out unchecked.

    head -> rule -> body, whole -> credential -> addresses -> [out] -> answer, looked through

Until "out" every failure means that nothing left the node. A request that was allowed keeps that
mark whatever happens after.
"""

import asyncio
from dataclasses import dataclass

import aiohttp

from sandboxes.egress import addresses, heads, rules, upstream
from sandboxes.egress.addresses import Address, Block
from sandboxes.egress.budget import Budget
from sandboxes.egress.credentials import Credential, read_secret
from sandboxes.egress.echoes import EchoGuard, Wanted, spellings
from sandboxes.egress.heads import Head
from sandboxes.egress.journal import Entry
from sandboxes.egress.outside import Outside
from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.rules import BoundRule
from sandboxes.egress.targets import Target
from sandboxes.egress.tool_side import ToolSide
from sandboxes.egress.upstream import Asked
from sandboxes.profile import EgressRule

_SWITCHING = 101
_WITHOUT_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What one call may ask for.

    Attributes:
        exceptions: blocks of private addresses that may be connected to.
        subject: for whom.
    """

    rules: tuple[BoundRule, ...]
    exceptions: tuple[Block, ...]
    subject: str
    budget: Budget
    request_deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Injected:
    fields: tuple[tuple[str, str], ...] = ()
    guard: EchoGuard


def read_head(said: bytes, entry: Entry) -> Head:
    """Read what is asked, and note it as far as it can be made out.

    Raises:
        EgressRefused: it is no plain request.
    """
    method, spelled = heads.method_and_target(said)
    entry.note(method=method[:32], path=spelled)
    asked = heads.read(said)
    entry.note(host=asked.target.host, port=asked.target.port, path=asked.target.path)
    return asked


async def carry(
    asked: Head, *, tool: ToolSide, permit: Permit, outside: Outside, entry: Entry
) -> None:
    """Carry one request out and its answer in. The caller has a deadline on it.

    Args:
        asked: as `read_head` read it.
        tool: where the body comes from and the answer goes to.
        permit: of the call.
        outside: of the node.
        entry: where it is noted.

    Raises:
        EgressRefused: it does not pass, or was cut.
        OSError: the tool hung up.
    """
    rule = rules.first_match(permit.rules, asked.method, asked.target)
    permit.budget.take_sent(asked.length_bytes)
    body = await tool.read_body(asked.length_bytes)
    injected = await _injected(rule, asked, permit, outside)
    found = await _addresses(asked.target, permit, outside)
    await _pace(permit.budget, len(body))
    entry.note(allowed=True, sent_bytes=len(body), credential=rule.credential)
    own = {name.lower() for name, _ in injected.fields}
    fields = [field for field in asked.passing(rule.headers) if field[0] not in own]
    going = Asked(
        method=asked.method,
        target=asked.target,
        addresses=found,
        fields=(*fields, *injected.fields),
        body=body,
    )
    async with upstream.asking(
        going, tls=outside.tls, on_address=lambda address: entry.note(address=address)
    ) as response:
        entry.note(response_code=response.status)
        await _answer(response, asked, tool=tool, permit=permit, guard=injected.guard, entry=entry)


async def _injected(rule: EgressRule, head: Head, permit: Permit, outside: Outside) -> _Injected:
    if not rule.credential:
        return _Injected(guard=EchoGuard(Wanted()))
    credential = outside.credentials.get(rule.credential)
    if credential is None or head.target.scheme != "https":
        raise EgressRefused(
            "EGRESS_CREDENTIAL_MISSING", "The rule's credential is not to be had.", status=503
        )
    if any(name == "range" for name, _ in head.fields):
        raise EgressRefused(
            "EGRESS_UNSUPPORTED", "With a credential there are no ranges.", status=501
        )  # an echo in pieces would not be noticed
    return await asyncio.to_thread(_injected_from, credential, head.target.host, permit.subject)


def _injected_from(credential: Credential, host: str, subject: str) -> _Injected:
    secret = read_secret(credential, host=host, subject=subject)
    return _Injected(
        fields=((credential.header, credential.prefix + secret),),
        guard=EchoGuard(spellings(secret, credential.prefix)),
    )


async def _addresses(target: Target, permit: Permit, outside: Outside) -> tuple[Address, ...]:
    try:
        found = await outside.resolver.addresses(target.host, target.port)
    except (OSError, UnicodeError):
        raise EgressRefused("EGRESS_NAME_UNKNOWN", "The host has no address.", status=502) from None
    return addresses.judge(found, exceptions=permit.exceptions, is_own=outside.is_own)


async def _answer(
    response: aiohttp.ClientResponse,
    head: Head,
    *,
    tool: ToolSide,
    permit: Permit,
    guard: EchoGuard,
    entry: Entry,
) -> None:
    if response.status == _SWITCHING:
        raise EgressRefused("EGRESS_ANSWER_BROKEN", "The host switches protocols.", status=502)
    if guard.is_looking and response.headers.get("Content-Encoding", "identity") != "identity":
        raise EgressRefused(
            "EGRESS_ANSWER_BROKEN",
            "The answer is encoded, so it cannot be looked through.",
            status=502,
        )
    fields = upstream.passing_fields(response)
    for name, value in fields:
        guard.require_none_in(f"{name}: {value}".encode("latin-1"))
    has_body = head.method != "HEAD" and response.status not in _WITHOUT_BODY
    length = response.content_length
    if has_body and length is not None:
        permit.budget.require_received(length)
    elif not has_body:
        length = length or 0
    await tool.answer(response.status, fields, length)
    while has_body and (piece := await response.content.read(upstream.PIECE_BYTES)):
        permit.budget.take_received(len(piece))
        entry.note(received_bytes=entry.request.received_bytes + len(piece))
        await _pace(permit.budget, len(piece))
        await tool.write(guard.feed(piece))
    await tool.write(guard.finish())
    await tool.finish()


async def _pace(budget: Budget, size: int) -> None:
    wait_s = budget.wait_s(size, asyncio.get_running_loop().time())
    if wait_s > 0:
        await asyncio.sleep(wait_s)
