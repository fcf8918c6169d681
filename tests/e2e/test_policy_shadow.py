"""A second policy on real OPA beside the one that decides is seen, and changes nothing."""

from broker.v1 import observing_pb2, types_pb2
from tests.e2e.guarded_shop import GuardedShop, policy_in_force
from tests.e2e.shop_tools import RULES
from tests.replay.running import until

DENYING = RULES.replace('"effect": "ALLOW"', '"effect": "DENY"').replace('"FINE"', '"HARSH"')
HARSH = {"broker/rules/desk/desk.rego": DENYING.encode()}
ALLOW, DENY = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY


def seen(shop: GuardedShop) -> observing_pb2.Shadow:
    return shop.admin.GetShadow(observing_pb2.GetShadowRequest(), **shop.by_operator).shadow


def test_a_harsher_policy_is_asked_beside_and_stops_nothing(shop: GuardedShop):
    assert DENYING != RULES
    decides = policy_in_force(shop)
    start = observing_pb2.StartShadowRequest(files=HARSH, reason="to see")
    begun = shop.admin.StartShadow(start, **shop.by_operator).shadow
    assert begun.ready
    try:
        calls = [shop.refund(shop.session()) for _ in range(3)]
        assert {call.effect for call in calls} == {ALLOW}
        until(lambda: seen(shop).decisions == len(calls), "the shadow is not asked")
        (difference,) = seen(shop).differences
        assert (difference.before, difference.after, difference.calls) == (ALLOW, DENY, 3)
        assert [e.invocation for e in difference.examples] == [call.name for call in calls]
        assert set(difference.examples[0].codes_after) == {"HARSH"}
    finally:
        last = shop.admin.StopShadow(observing_pb2.StopShadowRequest(), **shop.by_operator).shadow
    assert last.decisions == len(calls)
    assert policy_in_force(shop) == decides
    assert not shop.admin.GetShadow(observing_pb2.GetShadowRequest(), **shop.by_operator).HasField(
        "shadow"
    )
