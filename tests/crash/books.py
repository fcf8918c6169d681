"""What must hold once a broker that was killed has come back: ledger, log and rows agree."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from broker.core import limits
from broker.core.audit import EntryKind
from broker.core.audit_lines import EntryLine, read_line
from broker.core.audit_verification import verify
from broker.core.calls import Invocation
from broker.core.floor import exclusive_keys
from broker.core.lifecycle import InvocationState
from broker.ports import InvocationQuery
from broker.store import load_or_create, signature_holds
from broker.store.heads import HEADS_FILE, notes_of
from tests.crash.ledger import Ledger, Line
from tests.crash.scenario import IDEMPOTENT, Day

_NEVER = frozenset(
    {
        InvocationState.DENIED,
        InvocationState.REJECTED,
        InvocationState.EXPIRED,
        InvocationState.CANCELLED,
        InvocationState.HELD,
        InvocationState.FAILED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What the verified log says, entry for entry."""

    entries: list[dict[str, Any]]

    def of(self, invocation: str, kind: EntryKind) -> list[dict[str, Any]]:
        """The entries of one call and kind."""
        return [e for e in self.entries if e["invocation"] == invocation and e["kind"] == kind]


async def findings(one: Day) -> list[str]:
    """Every sentence that is wrong; none is the only good."""
    logged, wrong = await _log(one)
    query = InvocationQuery(page_size=500)
    there = {i.name: i for i in await one.world.store.list_invocations(query)}
    return [
        *wrong,
        *_effects(one.ledger, there, logged),
        *_attempts(one.ledger, there, logged),
        *_states(one.ledger, there),
        *await _keys(one, there),
    ]


async def _log(one: Day) -> tuple[Logged, list[str]]:
    exported = one.world.store.export(since=0, include_contents=True)
    lines = b"".join([chunk async for chunk in exported]).splitlines()
    keys = load_or_create(one.path / "state")
    kept = one.path / "state" / "checkpoints" / HEADS_FILE
    heads = notes_of(kept.read_bytes()) if kept.exists() else []  # nothing may have been said yet
    report = verify(lines, keys.public_key, signature_holds=signature_holds, checkpoints=heads)
    wrong = [] if report.ok else [f"the log does not verify: {report.first_broken}"]
    read = [read_line(line) for line in lines]
    return Logged(entries=[dict(r.said) for r in read if isinstance(r, EntryLine)]), wrong


def _effects(ledger: Ledger, there: dict[str, Invocation], logged: Logged) -> Iterator[str]:
    for name, count in Counter(ledger.effects()).items():
        if count > 1:
            yield f"{name} had its effect {count} times"
    for line in ledger.lines():
        one = there.get(line.invocation)
        if one is None:
            yield f"{line.invocation} took effect and is not recorded"
            continue
        begun = logged.of(one.name, EntryKind.ATTEMPT_STARTED)
        if sum(entry["body"]["attempt"] == line.attempt for entry in begun) != 1:
            yield f"{one.name}: attempt {line.attempt} is not in the log once"
        if (line.state, line.attempts) != ("RUNNING", line.attempt):
            yield (
                f"{one.name} took effect while {line.state or 'not there'} with {line.attempts} "
                f"attempts in the log"
            )
        if line.is_effect and one.state in _NEVER:
            yield f"{one.name} took effect and is {one.state}"


def _attempts(ledger: Ledger, there: dict[str, Invocation], logged: Logged) -> Iterator[str]:
    by_name = itertools.groupby(sorted(ledger.lines(), key=_name), key=_name)
    for name, found in by_name:
        lines = list(found)
        if len({line.fence for line in lines}) != len(lines):
            yield f"{name}: one fencing token came twice"
        if len(lines) > 1 and lines[0].tool not in IDEMPOTENT:
            yield f"{name}: {lines[0].tool} was handed over {len(lines)} times"
    for one in there.values():
        begun = [e["body"]["attempt"] for e in logged.of(one.name, EntryKind.ATTEMPT_STARTED)]
        if begun != [*range(1, one.attempt + 1)] or one.attempt > limits.ATTEMPTS_MAX:
            yield f"{one.name}: attempts {begun}, and it says {one.attempt}"


def _states(ledger: Ledger, there: dict[str, Invocation]) -> Iterator[str]:
    effects = set(ledger.effects())
    for one in there.values():
        if one.state is InvocationState.RUNNING:
            yield f"{one.name} is RUNNING for ever"
        if one.state is InvocationState.SUCCEEDED and one.name not in effects:
            yield f"{one.name} is said to have SUCCEEDED, and nothing happened"
        is_spent = one.attempt >= limits.ATTEMPTS_MAX
        unknown = one.state is InvocationState.UNKNOWN
        if unknown and one.call.tool in IDEMPOTENT and not is_spent:
            yield f"{one.name}: {one.call.tool} could have been tried again"


async def _keys(one: Day, there: dict[str, Invocation]) -> list[str]:
    tools = one.world.room.current().tools
    names = {
        key for i in there.values() for key in exclusive_keys(tools[i.call.tool].manifest, i.call)
    }
    wrong = []
    for key, had in (await one.world.store.keys(sorted(names))).items():
        holder = there.get(had.invocation)
        if had.invocation and (holder is None or holder.state is not InvocationState.UNKNOWN):
            wrong.append(f"{key} is taken for {had.invocation}, which has ended")
    return wrong


def _name(line: Line) -> str:
    return line.invocation
