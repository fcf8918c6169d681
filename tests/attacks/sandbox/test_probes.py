"""The attacker owns the tool: any code that he likes runs in its container, under each profile.

He tries what is in `inside/`, one thing a probe: to be somebody else, to reach the host's files, to
run code that he brought, to make a world of his own, to find untested parts of the kernel, to speak
to anybody, to disturb other processes, to use up what others need. What opens is named with its
reason in `expected/`, one list a profile. One more that opens fails, and so does one that closes.
"""

import functools
import re
from pathlib import Path

import pytest

from sandboxes.strict_yaml import read_yaml
from tests.attacks.sandbox.prober import (
    Row,
    all_probes,
    broken,
    ended,
    opened,
    refusal,
    shipped,
    tried,
)
from tests.engine_api import ContainerEngine

EXPECTED = Path(__file__).with_name("expected")
BY_RUNC = ("strict", "compute", "egress")
PROBES_MIN = 140


@functools.cache
def expected(profile: str, verdict: str) -> dict[str, str]:
    """Probes for which a profile's list expects this, with the reason of each."""
    listed = read_yaml((EXPECTED / f"{profile}.yaml").read_bytes())
    return dict(listed.get(verdict, {}))


def check(profile: str, rows: dict[str, Row]) -> None:
    varies = expected(profile, "varies").keys()
    assert rows.keys() == all_probes().keys()
    assert broken(rows) == {}
    assert opened(rows).keys() - varies == expected(profile, "open").keys(), opened(rows)
    assert ended(rows).keys() - varies == expected(profile, "ended").keys(), ended(rows)


@pytest.mark.parametrize("profile", BY_RUNC)
def test_nothing_opens_but_what_is_named(
    profile: str, container_engine: ContainerEngine, base_image: str
) -> None:
    check(profile, tried(container_engine, base_image, shipped(profile)))


async def test_gvisor_opens_what_is_named_or_is_refused_with_what_to_do(
    container_engine: ContainerEngine, base_image: str
) -> None:
    reason = await refusal(container_engine, "gvisor")
    if reason:
        assert "--add-runtime runsc=" in reason
    else:
        check("gvisor", tried(container_engine, base_image, shipped("gvisor")))


def test_every_probe_says_what_the_attacker_is_after() -> None:
    probes = all_probes()
    assert len(probes) >= PROBES_MIN
    assert [name for name, plan in probes.items() if not re.search(r"[.?]\Z", plan)] == []


@pytest.mark.parametrize("profile", [*BY_RUNC, "gvisor"])
def test_a_list_names_probes_that_there_are_and_a_reason_for_each(profile: str) -> None:
    for verdict in ("open", "ended", "varies"):
        listed = expected(profile, verdict)
        assert listed.keys() <= all_probes().keys()
        assert all(len(reason) > 3 for reason in listed.values())
