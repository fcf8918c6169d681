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


def replayed(suite: str, *, failures: int = 20) -> dict[str, Any]:
    """The evaluator's row for one suite: every trace, benign and hostile."""
    evaluate = evaluator()
    assert evaluate is not None
    adapter = BrokerAdapter()
    try:
        tally = evaluate.replay(adapter, suite, "suite", failures)
    finally:
        adapter.close()
    row: dict[str, Any] = evaluate.report(suite, tally)
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
