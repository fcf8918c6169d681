"""Finds the evaluator, which is not part of this project, and runs it over the adapter.

CALLBROKER_REPLAY names its folder (with `evaluate.py` and `dev/`). Its data is read where it lies.
"""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.replay.adapter import BrokerAdapter

VARIABLE = "CALLBROKER_REPLAY"
ABSENT = f"{VARIABLE} is not set: the recorded traffic is not here, and nothing was replayed."
AGENTDOJO = ("agentdojo/workspace", "agentdojo/banking")
SUITES = ("tau/retail", "agentdojo/workspace", "agentdojo/banking", "injecagent", "asb", "redcode")


def evaluator() -> ModuleType | None:
    """The evaluator's module, or None where the variable is not set."""
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    folder = str(Path(named).resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("evaluate")


def replayed(
    *suites: str, name: str = "", preset: str = "", adaptive: bool = False, failures: int = 20
) -> dict[str, Any]:
    """The evaluator's row for a suite, or for several pooled: every trace, benign and hostile.

    Args:
        suites: whose traces; a new broker for each.
        name: of the row; the suite's, where it is one.
        preset: of the policy; else what CALLBROKER_PRESET says, else the default.
        adaptive: the attackers know whom the directory knows.
        failures: how many to name at most.
    """
    evaluate = evaluator()
    assert evaluate is not None
    pooled = evaluate.Tally()
    for suite in suites:
        adapter = BrokerAdapter(preset=preset)
        try:
            tally = evaluate.replay(adapter, suite, "suite", failures, adaptive)
        finally:
            adapter.close()
        pooled.add(tally)
        pooled.failures += tally.failures
    row: dict[str, Any] = evaluate.report(name or suites[0], pooled)
    return row


def fuzzed(suite: str) -> dict[str, Any]:
    """The evaluator's row for one suite: invalid arguments and missing scopes."""
    evaluate = evaluator()
    assert evaluate is not None
    adapter = BrokerAdapter()
    try:
        row: dict[str, Any] = evaluate.fuzz(adapter, suite)
    finally:
        adapter.close()
    return row
