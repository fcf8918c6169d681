"""Finds what would have to differ, and says so only after the whole policy was asked with it.

Breadth first: one change before two. From each question the expressions that stop it propose
changes, and all of a round's questions are asked at once. Those that are not yet where they should
be are followed in turn, the most hopeful first, within fixed bounds; then nothing was found.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Effect, Opinion, Verdict
from broker.policy.explaining.asking import Asked
from broker.policy.explaining.following import Follower, Leaf
from broker.policy.explaining.meaning import Steps
from broker.policy.explaining.otherwise import Proposal, proposals, with_value
from broker.policy.explaining.steps import read_account

ROUNDS_MAX: Final = 4
_FOLLOWED_MAX: Final = 4
_ASKED_A_ROUND_MAX: Final = 80
_FOUND_MAX: Final = 3
# What somebody could ask otherwise, then what may come to differ, then what is declared.
_NEARNESS: Final = (
    "call",
    "session",
    "usage",
    "time",
    "facts",
    "principal",
    "scopes",
    "provenance",
)

Goal = Callable[[Opinion], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A question with changes, and what policy says of it."""

    proposals: tuple[Proposal, ...]
    question: Mapping[str, JsonValue]
    opinion: Opinion

    def places(self) -> frozenset[Steps]:
        """Where it differs."""
        return frozenset(proposal.at for proposal in self.proposals)


def stopping(opinion: Opinion) -> list[Verdict]:
    """The verdicts that are not ALLOW."""
    return [verdict for verdict in opinion.verdicts if verdict.effect is not Effect.ALLOW]


def effect_of(opinion: Opinion) -> Effect:
    """The strictest of what was said."""
    return min(verdict.effect for verdict in opinion.verdicts)


def followed(asked: Asked, question: Mapping[str, JsonValue], opinion: Opinion) -> Follower:
    """The steps to an answer, of the families that spoke, or of all where something is missing.

    Raises:
        NotFollowed: OPA did not tell them.
        PolicyUnavailable: it cannot be run.
    """
    spoken = {verdict.family for verdict in opinion.verdicts} & set(asked.families)
    allowed = any(verdict.effect is Effect.ALLOW for verdict in opinion.verdicts)
    families = sorted(spoken) if allowed else [*asked.families]
    account = read_account(asked.steps(question, families))
    packages = {query.path.rpartition(".")[0] for query in account.rules()}
    return Follower(
        asked=asked,
        account=account,
        question=question,
        documents=asked.documents(question, packages),
    )


def search(
    asked: Asked,
    start: Variant,
    *,
    follower: Follower,
    of: Callable[[Opinion], Iterable[Verdict]],
    goal: Goal,
    rounds_max: int = ROUNDS_MAX,
) -> list[Variant]:
    """Variants that reach a goal, by the fewest changes that do; empty where none was found.

    Args:
        asked: the policy.
        start: the question as it was.
        follower: its steps.
        of: which verdicts of an answer are to go.
        goal: what an answer has to be.
        rounds_max: the most changes at once.

    Raises:
        NotFollowed: OPA did not tell its steps, or the questions were too many.
        PolicyUnavailable: it cannot be run.
    """
    tried: set[tuple[tuple[Steps, str], ...]] = set()
    round_: list[tuple[Variant, Follower]] = [(start, follower)]
    for depth in range(rounds_max):
        children: list[Variant] = []
        for variant, steps in round_:
            leaves = _leaves(asked, variant, steps, of)
            children += _changed(asked, variant, leaves, tried)
        found = [child for child in children if goal(child.opinion)]
        if found:
            return _best(found)
        hopeful = sorted(children, key=_hope)[:_FOLLOWED_MAX] if depth + 1 < rounds_max else []
        round_ = [(one, followed(asked, one.question, one.opinion)) for one in hopeful]
    return []


def _leaves(
    asked: Asked,
    variant: Variant,
    steps: Follower,
    of: Callable[[Opinion], Iterable[Verdict]],
) -> list[Leaf]:
    leaves: list[Leaf] = []
    for verdict in of(variant.opinion):
        leaves += steps.verdict(verdict)[1]
    if not any(verdict.effect is Effect.ALLOW for verdict in variant.opinion.verdicts):
        leaves += steps.allowing(asked.families)
    return leaves


def _changed(
    asked: Asked,
    variant: Variant,
    leaves: Sequence[Leaf],
    tried: set[tuple[tuple[Steps, str], ...]],
) -> list[Variant]:
    made: list[tuple[tuple[Proposal, ...], dict[str, JsonValue]]] = []
    for proposal in sorted((p for leaf in leaves for p in proposals(leaf)), key=_nearness):
        together = (*(p for p in variant.proposals if p.at != proposal.at), proposal)
        key = tuple(sorted((p.at, repr(p.value)) for p in together))
        question = None if key in tried else with_value(variant.question, proposal)
        tried.add(key)
        if question is not None and len(made) < _ASKED_A_ROUND_MAX:
            made.append((together, question))
    opinions = asked.opinions([question for _, question in made])
    return [
        Variant(proposals=together, question=question, opinion=opinion)
        for (together, question), opinion in zip(made, opinions, strict=True)
    ]


def _best(found: Sequence[Variant]) -> list[Variant]:
    """One for each set of places, the nearest first."""
    by_places: dict[frozenset[Steps], Variant] = {}
    for variant in sorted(found, key=lambda v: (len(v.proposals), _far(v))):
        by_places.setdefault(variant.places(), variant)
    return list(by_places.values())[:_FOUND_MAX]


def _hope(variant: Variant) -> tuple[int, int, int]:
    return (-effect_of(variant.opinion), len(stopping(variant.opinion)), _far(variant))


def _far(variant: Variant) -> int:
    return sum(_nearness(proposal)[0] for proposal in variant.proposals)


def _nearness(proposal: Proposal) -> tuple[int, str]:
    first = str(proposal.at[0])
    rank = _NEARNESS.index(first) if first in _NEARNESS else len(_NEARNESS)
    # Something that anything else would do for says more than one value that happens to.
    return (rank, "" if proposal.otherwise else repr(proposal.at))
