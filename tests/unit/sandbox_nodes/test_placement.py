"""Where a call goes, and where it must not go."""

from broker.core.manifest import SandboxSpec
from broker.core.profiles import OfferedProfile
from broker.sandbox_nodes.placement import NodeView, places

IMAGE = f"sha256:{'0f' * 32}"
POOL = (IMAGE, "strict")
STRICT = OfferedProfile(
    name="strict",
    digest="sha256:strict",
    available=True,
    tightens=frozenset({"strict", "compute"}),
    isolated=True,
)


def view(address: str, **changed) -> NodeView:
    given = {"is_ready": True, "problem": "", "profiles": (STRICT,), "room": 4, **changed}
    return NodeView(address=address, **given)


def asked(*nodes: NodeView, profile: str = "strict", digest: str = "sha256:strict") -> list[str]:
    sandbox = SandboxSpec(image=IMAGE, profile=profile)
    return [place.address for place in places(nodes, sandbox, digest=digest)]


def test_the_most_warm_slots_come_first_then_the_most_room_then_the_name():
    nodes = (
        view("d", room=1),
        view("c", room=9),
        view("b", warm={POOL: 1}, room=0),
        view("a", warm={POOL: 2}, room=0),
        view("e", room=9),
    )
    assert asked(*nodes) == ["a", "b", "c", "e", "d"]


def test_warm_slots_of_another_image_or_profile_do_not_count():
    other = {(f"sha256:{'f0' * 32}", "strict"): 5, (IMAGE, "compute"): 5}
    assert asked(view("a", warm=other), view("b", warm={POOL: 1})) == ["b", "a"]


def test_what_was_taken_since_a_node_told_is_not_there_any_more():
    used = view("a", warm={POOL: 2}, taken={POOL: 2})
    assert asked(used, view("b", warm={POOL: 1})) == ["b", "a"]
    full = view("a", taken={("another", "strict"): 4})
    assert asked(full, view("b", room=1)) == ["b", "a"]


def test_a_node_that_does_not_answer_is_not_asked():
    assert asked(view("a", is_ready=False, warm={POOL: 9}), view("b")) == ["b"]


def test_a_node_that_gives_another_profile_of_that_name_is_not_asked():
    assert asked(view("a"), digest="sha256:other") == []


def test_a_node_that_cannot_give_the_profile_is_not_asked():
    unavailable = OfferedProfile(
        name="strict",
        digest="sha256:strict",
        available=False,
        tightens=frozenset({"strict"}),
        isolated=True,
    )
    assert asked(view("a", profiles=(unavailable,))) == []


def test_a_node_to_which_the_profile_is_not_as_tight_as_the_manifests_is_not_asked():
    assert asked(view("a"), profile="compute") == ["a"]
    assert asked(view("a"), profile="gvisor") == []
