"""A hold as its reviewer reads it: what will happen, for whom, why it stopped, what it binds.

Every value is exact. What an agent wrote is told from what the broker looked up by its column, and
a text stands in quotation marks that nothing inside it can close.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from broker.cli.erased_line import erased_line
from broker.cli.files import named_file
from broker.cli.hold_changes import narrowed_lines, preview_lines, take_back_line, taken_line
from broker.cli.json_output import enum_word
from broker.cli.names import short
from broker.cli.observed import observed_lines
from broker.cli.screen import (
    Around,
    beside,
    columns,
    labelled,
    ours,
    shown_before,
    state,
    theirs,
)
from broker.cli.shown_values import MONEY, quoted, value
from broker.cli.times import clock, epoch, length
from broker.core.text import visible
from broker.v1.review_pb2 import EarlierCall, Hold, HoldArgument, HoldRequirement, LookedUp, Review
from broker.v1.types_pb2 import Effect, Invocation

DIGEST_DIGITS: Final = 8
_INDENT: Final = 9
_SEPARATED: Final = 2
_PICTURE_WIDTH_MAX: Final = 100
# A pointer that means nothing to a shell.
_BARE_POINTER: Final = re.compile(r"(?:/[A-Za-z0-9_.-]+)+")
_WHOLE: Final = re.compile(r"[0-9]{1,17}")
_SUSPECT: Final = frozenset({"untrusted_result", "lookalike", "unseen"})


def hold_picture(hold: Hold, shown: Around) -> list[Text]:
    """The lines of `holds show`."""
    width = min(shown.width, _PICTURE_WIDTH_MAX)
    title = hold.tool if hold.HasField("erase_time") else hold.summary
    lines = beside(shown_before(title, "bold"), headline(hold, shown), width=width)
    through = ours(", through ") + theirs(hold.agent)
    for_whom = theirs(hold.principal) + through + ours(", ") + ours(short(hold.session))
    lines += labelled("For", for_whom, indent=_INDENT, width=width)
    lines += _many("Erased", erased_line(hold, shown), width)
    lines += _many("Words", [quoted(words) for words in hold.words], width)
    lines += _stopped(hold.requirements, width)
    lines += _many("Observed", observed_lines(hold.observed), width)
    lines += _many("Narrowed", narrowed_lines(hold), width)
    lines += _arguments(hold.arguments, width)
    lines += _many("Preview", preview_lines(hold), width)
    lines += _many("Files", [named_file(file) for file in hold.files], width)
    lines += _before(hold, shown, width)
    lines += _many("Taken", taken_line(hold, shown), width)
    lines += _many("Review", _reviews(hold, shown), width)
    lines += _many("Runs", take_back_line(hold, shown), width)
    lines += _many("Binds", _binds(hold, width - _INDENT), width)
    return lines + _commands(hold)


def _commands(hold: Hold) -> list[Text]:
    """A line each, to be copied whole, and never folded: half a command is another one."""
    if hold.state != Hold.STATE_PENDING or not hold.eligible:
        return []
    shown = f"{short(hold.name)} --etag {visible(hold.etag)}"
    lines = [f"approve {shown}", f'reject {shown} --reason "..."']
    if hold.narrowing:
        bare = next((p for p in sorted(hold.narrowing) if _BARE_POINTER.fullmatch(p)), "POINTER")
        lines.append(f"narrow {shown} --less {bare}={_present(hold, bare)}")
    return [ours(f"callbroker holds {line}", "bold") for line in lines]


def _present(hold: Hold, pointer: str) -> str:
    """A whole number as it is now, which shows its unit and is refused as it is; else dots."""
    values = [one.value_json for one in hold.arguments if one.pointer == pointer]
    return next((value for value in values if _WHOLE.fullmatch(value)), "...")


def headline(hold: Hold, shown: Around) -> Text:
    """Where it is and how long that lasts."""
    word = enum_word(Hold.State.DESCRIPTOR, hold.state)
    if hold.state == Hold.STATE_PENDING:
        return state(word) + ours(f", expires {_until(epoch(hold.decide_by_time), shown)}")
    if hold.state == Hold.STATE_APPROVED:
        return state(word) + ours(f", to run by {_until(epoch(hold.run_by_time), shown)}")
    if hold.invocation_state:
        call = enum_word(Invocation.State.DESCRIPTOR, hold.invocation_state)
        return state(word) + ours(", the call is ") + state(call)
    return state(word)


def digest(text: str) -> str:
    """The first digits of a digest."""
    return text.removeprefix("sha256:")[:DIGEST_DIGITS]


def _until(at: float, shown: Around) -> str:
    left_s = at - shown.now
    left = length(left_s) if left_s > 0 else "any moment"
    return f"{clock(at, now=shown.now, zone=shown.zone)} ({left})"


def _many(label: str, values: Sequence[Text], width: int) -> list[Text]:
    lines: list[Text] = []
    for number, one in enumerate(values):
        lines += labelled("" if number else label, one, indent=_INDENT, width=width)
    return lines


def _stopped(requirements: Sequence[HoldRequirement], width: int) -> list[Text]:
    rows = [
        [ours("" if number else "Stopped", "bold"), theirs(r.message), theirs(r.code, "yellow")]
        for number, r in enumerate(requirements)
    ]
    return columns(rows, width=width)


def _arguments(arguments: Sequence[HoldArgument], width: int) -> list[Text]:
    heads = ("Argument", "Value", "Looked up", "Where it came from")
    rows = [[ours(head, "bold") for head in heads]]
    for argument in arguments:
        names = _fact_names(argument.looked_up)
        currency = MONEY.fullmatch(argument.rendered)
        facts = [
            _looked_up(fact, name, currency[1] if currency else "")
            for fact, name in zip(argument.looked_up, names, strict=True)
        ]
        pointer = theirs(argument.pointer)
        said = value(argument.value_json, argument.rendered)
        rows.append([pointer, said, _listed(facts), _came_from(argument)])
    if not any(argument.provenance for argument in arguments):  # nobody looked, or it is erased
        rows = [row[:-1] for row in rows]
    return columns(rows, width=width)


def _came_from(argument: HoldArgument) -> Text:
    """In policy's words; then the tools, facts and directories that have it."""
    source = argument.provenance
    named = dict.fromkeys(origin.tool or origin.name for origin in argument.origins)
    told = theirs(source, "yellow" if source in _SUSPECT else "")
    return told + ours("  ") + theirs(", ".join(named)) if named else told


def _fact_names(facts: Sequence[LookedUp]) -> list[str]:
    """The last word of each reference, where that tells them apart."""
    last = [fact.reference.rpartition("/")[2] for fact in facts]
    whole = [fact.reference for fact in facts]
    return last if all(last) and len(set(last)) == len(last) else whole


def _looked_up(fact: LookedUp, name: str, currency: str) -> Text:
    money = MONEY.fullmatch(fact.rendered)
    if money is None:
        return theirs(name) + ours(" ") + value(fact.value_json, fact.rendered)
    # The currency is told once, by the amount that it stands beside; another one is told again.
    amount = money[2] if money[1] == currency else fact.rendered
    return theirs(name.removesuffix("_minor")) + ours(" ") + theirs(amount)


def _listed(parts: Sequence[Text]) -> Text:
    return ours(", ").join(parts)


def _before(hold: Hold, shown: Around, width: int) -> list[Text]:
    told: list[Text] = []
    for (at, tool, effect), alike in itertools.groupby(hold.earlier, lambda c: _earlier(c, shown)):
        times = sum(1 for _ in alike)
        often = ours(f" {times} times") if times > 1 else ours("")
        told.append(ours(f"{at} ") + theirs(tool) + ours(" ") + state(effect) + often)
    lines = _packed(told, width - _INDENT, between=", ") or [ours("nothing in this session")]
    return _many("Before", lines, width)


def _earlier(call: EarlierCall, shown: Around) -> tuple[str, str, str]:
    at = clock(epoch(call.time), now=shown.now, zone=shown.zone)
    return at, call.tool, enum_word(Effect.DESCRIPTOR, call.effect)


def _packed(parts: Sequence[Text], cells: int, *, between: str) -> list[Text]:
    """Parts, as many on a line as fit; none is broken that fits by itself."""
    at_end = between.rstrip()
    gap = between[len(at_end) :]
    lines: list[Text] = []
    for number, part in enumerate(parts):
        ended = part + ours(at_end if number < len(parts) - 1 else "")
        if lines and lines[-1].cell_len + len(gap) + ended.cell_len <= cells:
            lines[-1] += ours(gap) + ended
        else:
            lines.append(ended)
    return lines


def _reviews(hold: Hold, shown: Around) -> list[Text]:
    lines = [
        _needed(requirement, named=len(hold.requirements) > 1) for requirement in hold.requirements
    ]
    if hold.state == Hold.STATE_PENDING and lines:
        if hold.eligible:
            lines[-1] += ours("; you may review")
        else:
            lines[-1] += ours("; you may not review: ") + theirs(hold.ineligible_reason)
    return lines + [_said(review, shown) for review in hold.reviews]


def _needed(requirement: HoldRequirement, *, named: bool) -> Text:
    groups = ours(" or ").join([theirs(group) for group in requirement.reviewers])
    needed = ours(f"{requirement.approvals_required} of ") + groups
    given = ours(f" needed, {requirement.approvals_given} given")
    fresh = ours(", each freshly signed in") if requirement.step_up else ours("")
    code = ours(" for ") + theirs(requirement.code) if named else ours("")
    return needed + given + fresh + code


def _said(review: Review, shown: Around) -> Text:
    verb = state("APPROVED" if review.approved else "REJECTED")
    at = clock(epoch(review.time), now=shown.now, zone=shown.zone)
    reason = ours(" ") + quoted(review.reason) if review.reason else ours("")
    late = ours("") if review.counted else ours(", too late to count")
    return ours(f"{at} ") + theirs(review.reviewer) + ours(" ") + verb + reason + late


def _binds(hold: Hold, cells: int) -> list[Text]:
    bound = {
        "call": digest(hold.call_digest),
        "tool": digest(hold.tool_revision),
        "policy": digest(hold.policy_revision),
        "facts": digest(hold.facts_digest),
        "preview": digest(hold.preview.digest),
        "etag": hold.etag,
    }
    told = [ours(f"{name} ") + theirs(one) for name, one in bound.items() if one]
    return _packed(told, cells, between=" " * _SEPARATED)
