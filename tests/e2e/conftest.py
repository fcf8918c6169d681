"""One running broker for all tests of a module that ask for it."""

from collections.abc import Iterator

import pytest

from tests.e2e.guarded_shop import GuardedShop
from tests.e2e.opening import open_shop


@pytest.fixture(scope="module")
def shop() -> Iterator[GuardedShop]:
    """A broker with tools, rules and a worker."""
    with open_shop() as opened:
        yield opened
