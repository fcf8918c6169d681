"""A second shadow is refused with the command that ends the first."""

import pytest

from broker.core.errors import IllegalTransition
from tests.unit.administration.office import OPERATOR, Office


async def test_a_second_shadow_is_told_how_the_first_ends(office: Office):
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1", "b/x": b"1"})
    await office.admin.shadow.start(OPERATOR, {"a/x": b"2", "b/x": b"1"})
    with pytest.raises(IllegalTransition, match="`callbroker policy shadow --off --reason"):
        await office.admin.shadow.start(OPERATOR, {"a/x": b"3", "b/x": b"1"})
