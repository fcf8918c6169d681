"""What a replay came to, loosest class first: how many, for which reasons, some of the calls."""

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from broker.cli.hold_picture import digest
from broker.cli.names import short
from broker.cli.screen import Around, columns, list_width, ours, shown_before, state, theirs
from broker.policy.replay_tally import MEANINGS, ChangeClass, ClassTally, Replay, Side

GROUPS_MAX: Final = 10
_STYLES: Final = {ChangeClass.DENY_TO_ALLOW: "bold red", ChangeClass.HOLD_TO_ALLOW: "red"}


def replay_picture(found: Replay, shown: Around, *, revision: str, preset: str) -> Iterator[Text]:
    """The lines of `policy replay`."""
    changed = found.asked - found.unchanged
    yield (
        ours(f"{found.asked:,} of {_decisions(found.decisions)} taken again under policy ")
        + theirs(digest(revision), "bold")
        + theirs(f" ({preset})")
        + ours(f": {found.unchanged:,} unchanged, {changed:,} changed.")
    )
    yield from _left_out(found)
    for kind in ChangeClass:
        if kind in found.changes:
            yield ours("")
            yield from _class_picture(kind, found.changes[kind], width=list_width(shown))


def _left_out(found: Replay) -> Iterator[Text]:
    for count, why in (
        (found.spared, "had been refused before policy was asked, and stay refused"),
        (found.erased, "have no contents any more, so nobody knows what was asked"),
        (found.other_form, "were asked in another form than rules read now"),
    ):
        if count:
            yield ours(f"{count:,} {why}.")


def _class_picture(kind: ChangeClass, tally: ClassTally, *, width: int) -> Iterator[Text]:
    head = ours(f"{kind}  {tally.count:,}", _STYLES.get(kind, "bold"))
    yield head + ours(f"  {MEANINGS[kind]}")
    groups = tally.groups.most_common()
    rows = [
        [ours(f"  {count:,}"), _side(before) + ours(" -> ") + _side(after)]
        for (before, after), count in groups[:GROUPS_MAX]
    ]
    yield from columns(rows, width=width)
    if len(groups) > GROUPS_MAX:
        more = sum(count for _, count in groups[GROUPS_MAX:])
        yield ours(f"  {more:,} for other reasons: --json has them all")
    rows = [
        [
            ours(f"  {short(example.invocation)}"),
            theirs(example.tool),
            shown_before(example.summary),
        ]
        for example in tally.examples
    ]
    yield from columns(rows, width=width)


def _side(side: Side) -> Text:
    return state(side.effect.name) + theirs(f" {', '.join(side.reasons)}".rstrip())


def _decisions(count: int) -> str:
    return f"{count:,} decision" if count == 1 else f"{count:,} decisions"
