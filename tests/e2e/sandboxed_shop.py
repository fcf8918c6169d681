"""A broker whose tools run in real containers: `callbroker sandboxd`, OPA, SQLite, an SDK agent.

The tool does what its argument says, so that one image serves for every way to end.
"""

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from broker import bootstrap, config
from broker.app import Application
from broker.log import configure
from broker.sdk import Principal, SyncSession, connect_sync
from broker.v1 import admin_pb2
from examples.support_desk.operating import Operator
from tests.e2e.opening import settings_in
from tests.e2e.refusals import DEADLINE_S, bearer
from tests.e2e.shop_tools import AGENT, CUSTOMER
from tests.engine_api import ContainerEngine
from tests.replay.running import Loop
from tests.sandbox_images import tool_image
from tests.sandbox_nodes import NodeProcess

WORK = """
import os, time
from callbroker_tool import ToolFailed

def run(call, do, word="", profile=""):
    if do == "fail":
        raise ToolFailed("NO_SUCH_WORD", "There is no such word.")
    if do == "die":
        os._exit(3)
    if do == "sleep":
        time.sleep(600)
    if do == "eat":
        eaten = [bytearray(16 << 20) for _ in range(64)]
        return len(eaten)
    if do == "flood":
        return "x" * (8 << 20)
    return {"word": word, "uid": os.getuid()}
"""
RULES = """\
package broker.rules.sandboxed

verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."} if {
	input.tool.runner == "sandbox"
}

obligations contains {"kind": "profile", "profile": input.call.arguments.profile} if {
	input.tool.sandbox.profile == "compute"
}
"""
FAMILY = {"broker/rules/sandboxed/sandboxed.rego": RULES.encode()}


@dataclass(kw_only=True)
class SandboxedShop:
    """What a test needs of it."""

    application: Application
    loop: Loop
    nodes: tuple[NodeProcess, ...]
    operator: Operator
    operator_token: str
    session: SyncSession
    engine: ContainerEngine

    def entries(self, invocation: str) -> list[dict[str, Any]]:
        """The audit entries of a call."""
        shown = self.operator._admin.ShowInvocation(
            admin_pb2.ShowInvocationRequest(name=invocation), **bearer(self.operator_token)
        )
        return [json.loads(entry) for entry in shown.entries_json]

    def ended(self, invocation: str) -> dict[str, Any]:
        """How the log says that a call ended."""
        return [e for e in self.entries(invocation) if e["kind"] == "call.ended"][-1]


@contextlib.contextmanager
def open_sandboxed_shop(engine: ContainerEngine, *, nodes: int = 1) -> Iterator[SandboxedShop]:
    """A broker with `work`, `work_compute` and `work_nowhere`, and so many nodes."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cb-")))
        with contextlib.closing(sqlite3.connect(directory / "shop.db")):
            pass
        stack.callback(structlog.configure, **structlog.get_config())
        configure(level="error")
        loop = stack.enter_context(Loop())
        started = []
        for number in range(nodes):
            node = NodeProcess(engine.url, directory / f"n{number}", warm="1")
            loop.run(node.start())
            stack.callback(_clear, engine, loop, node)
            started.append(node)
        addresses = tuple(node.address for node in started)
        settings = settings_in(directory).model_copy(
            update={"sandboxes": config.Sandboxes(nodes=addresses)}
        )
        token = bootstrap.operator_token(settings)
        application = Application(settings)
        loop.run(application.start())
        stack.callback(lambda: loop.run(application.stop()))
        operator = stack.enter_context(Operator(application.address, token))
        tools = _tools(tool_image(engine, WORK))
        operator.put_tools(tools)
        operator._admin.ActivatePolicy(
            admin_pb2.ActivatePolicyRequest(files=FAMILY, reason="a test"), **bearer(token)
        )
        for tool in tools:
            for subject in ("groups/customers", AGENT):
                operator.grant(subject, f"{tool['name']}:use")
        broker = stack.enter_context(
            connect_sync(
                application.address,
                host_token=operator.create_token("host", "hosts/shop"),
                agent_token=operator.create_token("agent", AGENT, person="assistants-owner"),
            )
        )
        mandate = broker.create_mandate(
            principal=Principal(id=CUSTOMER, groups=("customers",)),
            agent=AGENT,
            words=["Do it."],
            context="mediated",
            scopes=[f"{tool['name']}:use" for tool in tools],
        )
        session = stack.enter_context(broker.open_session(mandate))
        yield SandboxedShop(
            application=application,
            loop=loop,
            nodes=tuple(started),
            operator=operator,
            operator_token=token,
            session=session,
            engine=engine,
        )


def _clear(engine: ContainerEngine, loop: Loop, node: NodeProcess) -> None:
    """End a node; one that a test killed left its containers to the next of its state directory."""
    loop.run(node.stop())
    node_id = (node.state / "node_id").read_text("utf-8").strip()
    engine.remove_all(f"callbroker.sandboxd={node_id}")


def _tools(image: str) -> list[dict[str, Any]]:
    return [
        _tool("work", image, "strict", {}),
        _tool("work_compute", image, "compute", {"profile": {"type": "string"}}),
        _tool("work_nowhere", f"sha256:{'0' * 64}", "strict", {}),
    ]


def _tool(name: str, image: str, profile: str, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "description": "Does what it is told.",
        "summary": f"{name} {{/do}}",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "required": ["do", *more],
            "properties": {"do": {"type": "string"}, "word": {"type": "string"}, **more},
        },
        "output": {"trust": "trusted", "sensitivity": "none"},
        # What shipped rules have nothing to hold of.
        "behaviour": {"read_only": False, "destructive": False, "open_world": False},
        "targets": [],
        "scopes": [{"name": f"{name}:use"}],
        "runner": "sandbox",
        "sandbox": {"image": image, "profile": profile},
        "deadline_s": 5 if name == "work" else DEADLINE_S,
    }
