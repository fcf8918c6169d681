"""What the agent's process said in time ends its call, also where the call's broker is gone.

Another broker has kept the word; it is looked at as the owner would have looked at it. Where that
cannot be done, since the tool is another by now, the call is UNKNOWN.
"""

from collections.abc import Callable
from dataclasses import dataclass

from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.labels import WORST
from broker.core.manifest import ToolManifest
from broker.core.plan import Run, make_plan
from broker.enforcer.compiling import Compiler
from broker.enforcer.concluding import Ended, conclude
from broker.permits import Permits


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """Words on calls that nobody waits for any more."""

    permits: Permits
    control: Callable[[], Control]
    compiler: Compiler

    async def of(self, invocation: Invocation) -> tuple[Ended, ToolManifest] | None:
        """How a RUNNING call has ended whose owner is gone; None where nobody said so in time.

        Raises:
            StoreUnavailable: ask again, and do not end it before.
        """
        if not invocation.is_with_caller or invocation.decision is None:
            return None
        tool = self.control().tool_at(invocation.call.tool, invocation.tool_revision)
        if tool is None:
            return None
        plan = make_plan(invocation.decision, manifest=tool.manifest)
        if not isinstance(plan, Run):
            return None
        read_only = tool.manifest.behaviour.read_only
        outcome = await self.permits.last_word(invocation, read_only=read_only)
        if outcome is None:
            return None
        await self.compiler.ready(tool)
        # What it carried in was looked at by a broker that is gone.
        return conclude(outcome, tool, plan, WORST), tool.manifest
