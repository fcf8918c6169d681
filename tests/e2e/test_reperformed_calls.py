"""Calls that a real desk has decided are decided again as their records say."""

import json
from pathlib import Path

from tests.docs.live_desk import serving

STAGES = {"call", "screen", "question", "floor", "policy", "observing", "settle"}


def test_calls_of_a_day_agree(tmp_path: Path):
    with serving(tmp_path, engine="none") as desk:
        listed = json.loads(desk.run("callbroker invocations list --limit 100 --json").stdout)
        calls = [call["invocation"] for call in listed["invocations"]]
        kinds = {(one["tool"], one["state"], one.get("code", "")): one["name"] for one in calls}
        effects: set[str] = set()
        stages: set[str] = set()
        for kind, name in kinds.items():
            done = desk.run(f"callbroker audit reperform {name} --json")
            if "There was no such tool" in done.stdout:
                continue
            assert done.returncode == 0, (kind, done.stdout)
            told = json.loads(done.stdout)
            effects.add(told["effect"])
            stages |= {stage["stage"] for stage in told["stages"]}
    assert len(effects) == 3, effects
    assert stages >= STAGES
