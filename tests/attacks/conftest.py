"""An attack on the wire has a broker of its own, behind a real server."""

import pytest

from tests.served import served


@pytest.fixture
async def broker(tmp_path):
    async with served(tmp_path) as found:
        yield found
