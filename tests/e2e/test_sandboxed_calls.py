"""From an agent's SDK through policy, log and node into a container and back, nothing simulated."""

import signal
from collections.abc import Iterator

import pytest

from broker.sdk import Failed, Refused, Succeeded, Unavailable
from tests.e2e.sandboxed_shop import SandboxedShop, open_sandboxed_shop
from tests.engine_api import ContainerEngine


@pytest.fixture(scope="module")
def shop(container_engine: ContainerEngine) -> Iterator[SandboxedShop]:
    with open_sandboxed_shop(container_engine) as opened:
        yield opened


def test_each_call_has_a_container_of_its_own_and_the_log_says_which(shop: SandboxedShop) -> None:
    done = [shop.session.invoke("work", {"do": "say", "word": str(n)}) for n in range(3)]
    assert all(isinstance(one, Succeeded) for one in done)
    assert [one.result["word"] for one in done] == ["0", "1", "2"]
    assert len({one.result["uid"] for one in done}) == 3
    assert len({shop.ended(one.name)["body"]["run"]["run"] for one in done}) == 3
    ended = shop.ended(done[0].name)
    assert ended["body"]["run"]["profile"] == "strict"
    assert ended["body"]["run"]["node"] == shop.nodes[0].address
    assert ended["body"]["output_trust"] == "trusted"


def test_a_tools_own_failure_is_told_in_its_own_words(shop: SandboxedShop) -> None:
    failed = shop.session.invoke("work", {"do": "fail"})
    assert isinstance(failed, Failed)
    assert (failed.code, failed.message) == ("NO_SUCH_WORD", "There is no such word.")


@pytest.mark.parametrize(
    ("do", "code"),
    [
        ("die", "TOOL_DIED"),
        ("sleep", "TOOL_TIMED_OUT"),
        ("eat", "TOOL_OUT_OF_MEMORY"),
        ("flood", "OUTPUT_TOO_LARGE"),
    ],
)
def test_a_bad_end_of_an_isolated_run_is_one_clear_failure(
    shop: SandboxedShop, do: str, code: str
) -> None:
    failed = shop.session.invoke("work", {"do": do})
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert shop.ended(failed.name)["body"]["state"] == "FAILED"


def test_policy_tightens_and_what_it_cannot_have_is_refused(shop: SandboxedShop) -> None:
    strict = shop.session.invoke("work_compute", {"do": "say", "profile": "strict"})
    assert isinstance(strict, Succeeded)
    assert shop.ended(strict.name)["body"]["run"]["profile"] == "strict"
    looser = shop.session.invoke("work_compute", {"do": "say", "profile": "egress"})
    assert isinstance(looser, Refused)
    unknown = shop.session.invoke("work_compute", {"do": "say", "profile": "none"})
    assert isinstance(unknown, Refused)


def test_an_image_that_is_not_there_is_said_to_be_absent(shop: SandboxedShop) -> None:
    with pytest.raises(Unavailable, match="image"):
        shop.session.invoke("work_nowhere", {"do": "say"})


def test_a_node_that_is_killed_loses_its_call_alone_and_serves_again(
    container_engine: ContainerEngine,
) -> None:
    with open_sandboxed_shop(container_engine, nodes=2) as shop:
        assert isinstance(shop.session.invoke("work", {"do": "say"}), Succeeded)
        first = shop.ended(shop.session.invoke("work", {"do": "say"}).name)["body"]["run"]["node"]
        node = next(n for n in shop.nodes if n.address == first)
        shop.loop.run(node.stop(signal.SIGKILL))
        again = shop.session.invoke("work", {"do": "say"})
        assert isinstance(again, Succeeded)
        assert shop.ended(again.name)["body"]["run"]["node"] != first
        shop.loop.run(node.start())
        (other,) = (n for n in shop.nodes if n is not node)
        shop.loop.run(other.stop(signal.SIGKILL))
        assert isinstance(shop.session.invoke("work", {"do": "say"}), Succeeded)


def test_without_a_node_the_refusal_says_what_to_do(container_engine: ContainerEngine) -> None:
    with (
        open_sandboxed_shop(container_engine, nodes=0) as shop,
        pytest.raises(Unavailable, match="callbroker sandboxd"),
    ):
        shop.session.invoke("work", {"do": "say"})
