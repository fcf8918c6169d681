"""Pages that look back, for the tests of this folder."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.looked_back import Explainer
from tests.pages import Site, site


@pytest.fixture
async def s(tmp_path: Path) -> AsyncGenerator[Site]:
    async with site(tmp_path, explainer=Explainer()) as opened:
        yield opened
