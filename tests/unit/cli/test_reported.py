"""Whose word an outcome is stands beside it."""

from datetime import UTC, datetime

from broker.cli.invocations import call_picture
from broker.cli.screen import Around
from broker.v1 import admin_pb2, types_pb2


def pictured(reported_by: str) -> str:
    invocation = types_pb2.Invocation(
        name="invocations/i-1",
        session="sessions/s-1",
        tool="close_tab",
        state=types_pb2.Invocation.STATE_SUCCEEDED,
        effect=types_pb2.EFFECT_ALLOW,
        reported_by=reported_by,
    )
    call = admin_pb2.InvocationSummary(invocation=invocation, agent="agents/a", principal="p")
    shown = Around(now=datetime(2026, 1, 1, tzinfo=UTC).timestamp(), zone=UTC, width=100)
    return "\n".join(line.plain for line in call_picture(call, shown))


def test_what_the_agent_says_of_itself_is_shown_as_that():
    told = "Reported by the agent, which executed it itself: its own word alone"
    assert told in pictured("agent")


def test_what_a_runner_says_has_no_such_line():
    assert "Reported" not in pictured("")
