"""The story of a call at a terminal: one line an entry, with what it mainly says."""

import json

from broker.cli.story import story_picture
from tests.unit.cli.holds_for_tests import AROUND


def test_what_a_tool_said_too_late_is_told_beside_whose_word_it_is():
    """Somebody has to settle an unknown call at night, and looks here for what became of it."""
    late = {
        "kind": "attempt.answered_late",
        "actor": "workers/pay",
        "at_us": 1_800_000_000_000_000,
        "body": {"outcome": "Succeeded", "worker": "workers/1"},
    }
    lines = story_picture([json.dumps(late).encode()], AROUND)
    assert "attempt.answered_late workers/pay  Succeeded" in "\n".join(one.plain for one in lines)
