"""Logs serve an operator; the audit log answers an investigator. Nothing here is evidence.

Events are constant names with key-values, to standard error. Every value passes the one escaper,
so that no agent can write a line, a colour or a cursor movement into anybody's terminal.
"""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from broker.core.text import visible

VALUE_CHARACTERS_MAX = 2_000


def configure(
    *,
    form: Literal["console", "json"] = "console",
    level: Literal["debug", "info", "warning", "error"] = "info",
) -> None:
    """Set logging up, once, at start."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _escaped,
    ]
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _StandardError(),
        # Loggers are made at import: a cached one would keep what was configured before.
        cache_logger_on_first_use=False,
    )
    # Libraries that use the standard library's logging come out in the same form.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        ),
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))


class _StandardError:
    """Writes lines to whatever standard error is now; that nobody reads them stops no call."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(message, file=sys.stderr, flush=True)  # noqa: T201 - the one place that prints

    log = debug = info = warning = warn = error = err = critical = fatal = failure = exception = msg


def _escaped(
    _logger: Any,
    _method: str,
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            # A traceback is ours and has lines; each of them is escaped by itself.
            lines = value.split("\n") if key == "exception" else [value]
            shown = (visible(line, characters_max=VALUE_CHARACTERS_MAX) for line in lines)
            event[key] = "\n".join(shown)
    return event
