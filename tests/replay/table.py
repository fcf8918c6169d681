"""The evaluator's rows as lines of a table."""

from collections.abc import Mapping
from typing import Any

Columns = tuple[tuple[str, str], ...]

COLUMNS: Columns = (
    ("benign_calls", "benign"),
    ("benign_allow_pct", "allow %"),
    ("benign_deny_pct", "deny %"),
    ("holds_per_100_calls", "holds/100"),
    ("tasks_autonomous_pct", "alone %"),
    ("attack_traces", "attacks"),
    ("attack_block_pct", "blocked %"),
    ("attack_deny_pct", "denied %"),
    ("contract_violations", "violations"),
    ("call_ms_p50", "p50 ms"),
    ("call_ms_p99", "p99 ms"),
)
FUZZ_COLUMNS: Columns = (
    ("invalid", "invalid"),
    ("invalid_denied", "denied"),
    ("out_of_scope", "out of scope"),
    ("out_of_scope_denied", "denied"),
)


def heading(columns: Columns = COLUMNS) -> str:
    return f"{'suite':20}" + "".join(f"{title:>13}" for _, title in columns)


def line(row: Mapping[str, Any], columns: Columns = COLUMNS) -> str:
    cells = ("-" if row.get(key) is None else row[key] for key, _ in columns)
    return f"{row['suite']:20}" + "".join(f"{cell!s:>13}" for cell in cells)
