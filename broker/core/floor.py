"""The floor that no policy can lift: what scopes bind, what limits allow, what an absent row means.

A binding needs both of its sides: one that is missing, or whose look-up failed, denies. A failed
fact that no scope needs gives no verdict here; a rule that needs it cannot allow. Finding nothing
is silence, never an ALLOW.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.core.arguments import JsonValue
from broker.core.calls import Caller, Fact, ToolCall, Usage
from broker.core.canonical import canonical_bytes, digest
from broker.core.decision import STAGE_FLOOR, Effect, HoldTerms, Verdict
from broker.core.known import Known
from broker.core.limits import INTEGER_MAX
from broker.core.manifest import Limit, ScopeRequirement, ToolManifest
from broker.core.pointers import Missing
from broker.core.scopes import EffectiveScope, covers

KEY_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterKey:
    """What a call adds to one counter.

    Attributes:
        key: the store's name of the counter: of this tool, limit, subject and currency alone.
        window_s: length of the sliding window, seconds.
        amount: 1, or the amount in minor units; never negative.
        limit: the most that the window may hold, this call included.
    """

    key: str
    window_s: int
    amount: int
    limit: int


def floor(
    call: ToolCall,
    manifest: ToolManifest,
    effective: Mapping[str, EffectiveScope],
    facts: Mapping[str, Fact],
    usage: Mapping[str, Usage],
    caller: Caller,
    *,
    hold_terms: HoldTerms,
) -> tuple[Verdict, ...]:
    """What refuses or holds the call once everything has been looked up.

    Args:
        call: screened already.
        manifest: of its tool.
        effective: the scopes that principal, agent and session all have, by name.
        facts: by name, as gathered.
        usage: by limit, read for the keys that `counter_keys` gives.
        caller: who asks.
        hold_terms: for a fact whose absence is held.
    """
    known = Known(arguments=call.arguments, session=caller.session, facts=facts)
    return (
        *_bound(manifest, effective, known),
        *_absent(manifest, facts, hold_terms),
        *_limited(call, manifest, usage, caller),
    )


def exclusive_keys(manifest: ToolManifest, call: ToolCall) -> tuple[str, ...]:
    """The keys that this call's effect excludes others by, sorted, each once.

    A key is a name and a value's digest, since it stays when what was said in the call is erased.
    It says nothing of the tool: whoever names the key alike excludes each other. An array gives one
    key per element.
    """
    arguments = dict(call.arguments)
    keys: set[str] = set()
    for exclusive in manifest.exclusive:
        value = exclusive.pointer.resolve(arguments)
        if not isinstance(value, Missing):
            elements = value if isinstance(value, list) else [value]
            keys.update(_key(exclusive.name, element) for element in elements)
    return tuple(sorted(keys))


def counter_keys(
    manifest: ToolManifest,
    call: ToolCall,
    caller: Caller,
) -> Mapping[str, CounterKey]:
    """What this call adds to each of the tool's counters, by limit.

    A limit whose amount or currency is invalid is left out: `floor` denies such a call.
    """
    keys = {
        name: _counter(manifest, limit, call, caller) for name, limit in manifest.limits.items()
    }
    return {name: key for name, key in keys.items() if key is not None}


def _bound(
    manifest: ToolManifest,
    effective: Mapping[str, EffectiveScope],
    known: Known,
) -> tuple[Verdict, ...]:
    verdicts = []
    for scope in manifest.scopes:
        held = effective.get(scope.name)
        if held is None or not covers(held, known.values_of):
            verdicts.append(
                _deny(
                    "SCOPE_NOT_BOUND",
                    f"What is held of {scope.name} is not for these values{_failed(known)}.",
                    concealed=True,
                ),
            )
        verdicts.extend(_unequal(scope, known))
    return tuple(verdicts)


def _unequal(scope: ScopeRequirement, known: Known) -> tuple[Verdict, ...]:
    return tuple(
        _deny(
            "SCOPE_NOT_BOUND",
            f"{scope.name} is for {left} that is {right}, and it is not{_failed(known)}.",
            concealed=True,
        )
        for left, right in scope.where.items()
        if not known.equal(left, right)
    )


def _failed(known: Known) -> str:
    failed = [f"{fact.name}: {fact.error}" for fact in known.facts.values() if fact.error]
    return f" ({', '.join(failed)})" if failed else ""


def _absent(
    manifest: ToolManifest,
    facts: Mapping[str, Fact],
    hold_terms: HoldTerms,
) -> tuple[Verdict, ...]:
    verdicts = []
    for name, spec in manifest.facts.items():
        fact = facts.get(name)
        if fact is None or fact.error or not fact.absent or spec.absent == "NULL":
            continue
        if spec.absent == "HOLD":
            message = "Something that this call names was not found; a person decides."
            verdicts.append(
                Verdict(
                    effect=Effect.HOLD,
                    stage=STAGE_FLOOR,
                    code="FACT_ABSENT",
                    message=message,
                    terms=hold_terms,
                ),
            )
        else:
            verdicts.append(_deny("FACT_ABSENT", f"There is no such {name}.", concealed=True))
    return tuple(verdicts)


def _limited(
    call: ToolCall,
    manifest: ToolManifest,
    usage: Mapping[str, Usage],
    caller: Caller,
) -> tuple[Verdict, ...]:
    keys = counter_keys(manifest, call, caller)
    verdicts = []
    for name in manifest.limits:
        if name not in keys:
            message = f"What {name} adds up is not a whole amount of a known currency."
            verdicts.append(_deny("AMOUNT_INVALID", message))
        elif name not in usage or usage[name].key != keys[name].key:
            verdicts.append(_deny("USAGE_UNKNOWN", f"How much of {name} is used is not known."))
        elif usage[name].used + keys[name].amount > keys[name].limit:
            verdicts.append(_deny("LIMIT_EXCEEDED", f"This would pass the limit {name}."))
    return tuple(verdicts)


def _counter(
    manifest: ToolManifest,
    limit: Limit,
    call: ToolCall,
    caller: Caller,
) -> CounterKey | None:
    arguments = dict(call.arguments)
    amount = 1
    currency = ""
    if limit.sum is not None:
        found = limit.sum.resolve(arguments)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= INTEGER_MAX:
            return None
        amount = found
    if limit.currency is not None:
        code = limit.currency.resolve(arguments)
        if not isinstance(code, str):
            return None
        currency = code
    subject = {
        "principal": caller.principal.id,
        "agent": caller.agent.id,
        "session": caller.session.name,
        "tool": "",
    }[limit.per]
    return CounterKey(
        key=_short([manifest.name, limit.name, limit.per, subject, currency]),
        window_s=limit.window_s,
        amount=amount,
        limit=limit.maximum,
    )


def _key(name: str, value: JsonValue) -> str:
    return f"{name}={digest(value)}"


def _short(value: JsonValue) -> str:
    text = canonical_bytes(value).decode()
    return text if len(text) <= KEY_CHARACTERS_MAX else digest(value)


def _deny(code: str, message: str, *, concealed: bool = False) -> Verdict:
    return Verdict(
        effect=Effect.DENY, stage=STAGE_FLOOR, code=code, message=message, concealed=concealed
    )
