"""Whatever happens, in whatever order: no effect twice, none unannounced, none that was refused."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from broker.core.errors import BrokerError
from broker.core.lifecycle import HoldState, InvocationState
from tests.properties.town import LEADS, OPERATOR, ORDERS, OTHERS, OWNER, Town

OPEN = (HoldState.PENDING, HoldState.APPROVED)
amounts = st.sampled_from([1, 500, 6_000, 20_000])
orders = st.sampled_from([*ORDERS, "O-2002", "O-9999"])
opinions = st.sampled_from(["hold", "hold", "hold", "allow", "allow", "deny"])
replies = st.sampled_from(["answers", "answers", "answers", "fails", "is lost", "never starts"])
points = st.sampled_from(["before the effect", "after the effect"])
which = st.integers(0, 10)
flags = st.booleans()


class WholeBroker(RuleBasedStateMachine):
    """Agents, reviewers, operators and accidents, in turns."""

    def __init__(self) -> None:
        super().__init__()
        self.town = Town()

    def teardown(self) -> None:
        try:
            self.town.check_everything_ends()
            self.town.check()
            self.town.check_log()
        finally:
            self.town.close()

    @initialize()
    def somebody_is_there(self) -> None:
        self.town.open_session()

    @rule()
    @precondition(lambda self: len(self.town.callers) < 4)
    def another_session(self) -> None:
        self.town.open_session()

    @rule(at=which, amount=amounts, order=orders, opinion=opinions, reply=replies)
    def ask(self, at: int, amount: int, order: str, opinion: str, reply: Any) -> None:
        self.town.opine(opinion)
        self.town.ledger.reply = reply
        self.town.ask(self._caller(at), amount, order)

    @rule(amount=amounts, order=orders, who=st.sampled_from(LEADS), says=opinions, reply=replies)
    def ask_and_have_it_approved(
        self, amount: int, order: str, who: Any, says: str, reply: Any
    ) -> None:
        town = self.town
        town.opine("hold")
        town.ask(self._caller(0), amount, order)
        town.opine(says)
        town.ledger.reply = reply
        for held in town.holds(HoldState.PENDING)[-1:]:
            town.review(who, held, says_yes=True, etag=held.etag)

    @rule(at=which, amount=amounts)
    @precondition(lambda self: self.town.requests)
    def ask_again_with_the_same_name(self, at: int, amount: int) -> None:
        town = self.town
        caller, request, _, order = town.requests[at % len(town.requests)]
        before = len(town.ledger.lines)
        known = town.run(town.world.store.find_request(caller.session.name, request))
        answer = town.ask(caller, amount, order, request=request)
        if known is not None:
            assert len(town.ledger.lines) == before, "the same request ran again"
            assert isinstance(answer, BrokerError) or answer.name == known.name

    @rule()
    def policy_is_away_for_a_call(self) -> None:
        town = self.town
        before = len(town.ledger.lines)
        town.world.policy.away = True
        town.ask(self._caller(0), 1, "O-1001")
        town.world.policy.away = False
        assert len(town.ledger.lines) == before

    @rule()
    def facts_err_for_a_call(self) -> None:
        town = self.town
        before = len(town.ledger.lines)
        town.world.shop.error = "SOURCE_AWAY"
        town.ask(self._caller(0), 1, "O-1001")
        town.world.shop.error = ""
        assert len(town.ledger.lines) == before

    @rule(
        at=which,
        who=st.sampled_from([*LEADS, *OTHERS]),
        says_yes=st.sampled_from([True, True, False]),
        opinion=opinions,
        reply=replies,
    )
    def review(self, at: int, who: Any, *, says_yes: bool, opinion: str, reply: Any) -> None:
        self.town.opine(opinion)
        self.town.ledger.reply = reply
        holds = self.town.holds(*OPEN) or self.town.holds()
        if holds:
            held = holds[at % len(holds)]
            self.town.review(who, held, says_yes=says_yes, etag=held.etag)

    @rule(amount=amounts, order=orders, who=st.sampled_from([*LEADS, *OTHERS]))
    def ask_and_have_it_approved_by_whoever(self, amount: int, order: str, who: Any) -> None:
        town = self.town
        town.opine("hold")
        town.ask(self._caller(0), amount, order)
        for held in town.holds(HoldState.PENDING)[-1:]:
            answer = town.review(who, held, says_yes=True, etag=held.etag)
            assert isinstance(answer, BrokerError) or who in LEADS

    @rule(at=which, who=st.sampled_from(LEADS), seconds=st.sampled_from([1.0, 4_000.0]))
    def approve_while_policy_is_away(self, at: int, who: Any, seconds: float) -> None:
        town = self.town
        waiting = town.holds(HoldState.PENDING)
        if waiting:
            held = waiting[at % len(waiting)]
            town.world.policy.away = True
            town.review(who, held, says_yes=True, etag=held.etag)
            town.world.policy.away = False
            town.clock.advance(seconds)
            town.run(town.world.resuming.take_up(held.name))

    @rule(at=which, who=st.sampled_from(LEADS))
    def approve_what_was_shown_before_it_moved(self, at: int, who: Any) -> None:
        holds = self.town.holds(*OPEN)
        if holds:
            held = holds[at % len(holds)]
            answer = self.town.review(who, held, says_yes=True, etag=held.etag + 1)
            assert isinstance(answer, BrokerError)

    @rule(at=which)
    def cancel(self, at: int) -> None:
        town = self.town
        waiting = [o for o in town.invocations() if o.state is InvocationState.HELD]
        if waiting:
            name = waiting[at % len(waiting)].name
            town.attempt(town.world.invocations.cancel(town.world.agent, name))

    @rule(seconds=st.sampled_from([1.0, 61.0, 3_601.0, 14_401.0]))
    def time_passes(self, seconds: float) -> None:
        self.town.clock.advance(seconds)

    @rule()
    def the_clock_is_set_back(self) -> None:
        self.town.clock.advance(-90.0)

    @rule()
    def sweep(self) -> None:
        self.town.sweep()

    @rule()
    def change_tool(self) -> None:
        self.town.change_tool()

    @rule()
    def change_facts(self) -> None:
        for order in ORDERS:
            self.town.world.shop.orders[order]["captured_minor"] += 1

    @rule(at=which, who=st.sampled_from(LEADS))
    def freeze_for_a_while(self, at: int, who: Any) -> None:
        town = self.town
        town.freeze()
        before = len(town.ledger.lines)
        town.ask(self._caller(at), 1, "O-1001")
        for held in town.holds(*OPEN)[:1]:
            town.review(who, held, says_yes=True, etag=held.etag)
        assert len(town.ledger.lines) == before, "it ran while it was frozen"
        town.thaw()

    @rule()
    def crash(self) -> None:
        self.town.crash()

    @rule(
        at=which,
        amount=amounts,
        order=orders,
        point=points,
    )
    def crash_while_a_tool_is_at_work(self, at: int, amount: int, order: str, point: Any) -> None:
        self.town.opine("allow")
        self.town.ledger.reply = "answers"
        self.town.crash_in(self._caller(at), amount, order, point)

    @rule(at=which, took_effect=flags, is_owner=flags)
    def settle(self, at: int, *, took_effect: bool, is_owner: bool) -> None:
        town = self.town
        unknown = [o for o in town.invocations() if o.state is InvocationState.UNKNOWN]
        if unknown:
            one = unknown[at % len(unknown)]
            answer = town.attempt(
                town.world.recovery.reconcile(
                    OWNER if is_owner else OPERATOR,
                    one.name,
                    took_effect=took_effect,
                    evidence="The bank's statement.",
                )
            )
            assert isinstance(answer, BrokerError) is is_owner

    @rule(at=which)
    def close_session(self, at: int) -> None:
        town = self.town
        if len(town.callers) > 1:
            session = town.callers.pop(at % len(town.callers)).session
            town.attempt(
                town.world.sessions.end(session, state="CLOSED", actor=OPERATOR.subject, reason="")
            )

    @invariant()
    def books_and_log_agree(self) -> None:
        self.town.check()

    def _caller(self, at: int) -> Any:
        return self.town.callers[at % len(self.town.callers)]


TestWholeBroker = WholeBroker.TestCase
TestWholeBroker.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
