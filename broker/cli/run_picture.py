"""What a run in a sandbox did, for an investigator: under what, how it ended, whom it asked.

Hosts and paths are what a tool wrote, so that they pass the one escaper like any text from outside.
"""

from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from broker.cli.screen import ours, theirs
from broker.core.text import visible_value

_TOLD: Final = ("profile", "warm", "took_ms", "exit_code", "out_of_memory", "requests_cut")


def run_line(run: Mapping[str, Any]) -> Text:
    """`in a sandbox, strict, 12 ms, 2 requests let out, 1 refused`, for one line of a story."""
    told = [theirs(str(run.get("profile", "")))]
    if isinstance(run.get("took_ms"), int):
        told.append(ours(f"{run['took_ms']} ms"))
    told += [
        ours(f"{run[name]} {word}")
        for name, word in (
            ("requests_allowed", "requests let out"),
            ("requests_refused", "requests refused"),
        )
        if isinstance(run.get(name), int) and run[name]
    ]
    return ours("in a sandbox: ") + ours(", ").join(told)


def run_picture(run: Mapping[str, Any]) -> Text:
    """All that the entry says of a run."""
    first = [name for name in _TOLD if name in run]
    rest = [name for name in sorted(run) if name not in _TOLD]
    return ours("  ").join(_said(name, run[name]) for name in (*first, *rest) if run[name] != "")


def request_picture(request: Mapping[str, Any]) -> Text:
    """`refused  GET evil.example.com:443/x  HOST_NOT_LISTED`, one request of a run."""
    allowed = request.get("allowed") is not False
    told = ours("let out  ") if allowed else ours("refused  ", "bold")
    told += theirs(f"{request.get('method', '')} {request.get('host', '')}")
    told += theirs(f":{request.get('port', '')}{request.get('path', '')}")
    for name, word in (("address", "at"), ("code", ""), ("response_code", "answer")):
        if request.get(name):
            told += ours(f"  {word} " if word else "  ") + theirs(str(request[name]))
    if allowed:
        sent, received = request.get("sent_bytes", 0), request.get("received_bytes", 0)
        told += theirs(f"  {sent} B out, {received} B in")
    if request.get("credential"):
        told += ours("  with ") + theirs(str(request["credential"]))
    return told


def _said(name: str, value: Any) -> Text:
    shown = value if isinstance(value, str) else visible_value(value)
    return theirs(f"{name} {shown}")
