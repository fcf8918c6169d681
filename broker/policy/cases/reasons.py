"""Why a family said something else than its case expects, in the values that decided it."""

from pathlib import Path

from broker.core.explanation import Condition
from broker.policy.bundle import PolicyBundle
from broker.policy.cases.running import Outcome
from broker.policy.cases.tables import Case
from broker.policy.explaining.asking import NotFollowed, asking
from broker.policy.explaining.searching import followed


def reasons(opa: Path, bundle: PolicyBundle, case: Case, outcome: Outcome) -> tuple[Condition, ...]:
    """What kept the codes from being said that are missing, and what gave those that are too many.

    Blocks while OPA is run a few times. Empty where the rules could not be followed.

    Raises:
        PolicyUnavailable: OPA cannot be run.
    """
    if outcome.error or not isinstance(case.question, dict):
        return ()
    missing = [code for code in case.expected.codes if code not in outcome.codes]
    extra = [code for code in outcome.codes if code not in case.expected.codes]
    with asking(bundle, opa=opa, parameters=case.parameters, families=(case.family,)) as asked:
        try:
            (opinion,) = asked.opinions([case.question])
            follower = followed(asked, case.question, opinion)
            leaves = [
                leaf for code in missing for leaf in follower.unsaid(family=case.family, code=code)
            ]
            if not leaves:
                verdicts = [verdict for verdict in opinion.verdicts if verdict.code in extra]
                leaves = [leaf for verdict in verdicts for leaf in follower.verdict(verdict)[1]]
        except NotFollowed:
            return ()
        conditions = [leaf.condition() for leaf in leaves]
    return tuple(dict.fromkeys(conditions))
