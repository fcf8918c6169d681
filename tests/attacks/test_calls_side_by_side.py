"""Calls of one session at the same time are decided on what was seen; none loses to the others."""

import asyncio

from broker.core.calls import Context
from broker.core.lifecycle import InvocationState
from tests.world import OnePolicy, world

MANY = 40
THINKS_S = 0.03
EACH_S = 0.005


class Thoughtful:
    """A decision point that takes its time, as one does that others ask too."""

    def __init__(self, point):
        self.point = point
        self.revision = point.revision

    async def evaluate(self, question, *, deadline_s):
        await asyncio.sleep(THINKS_S)
        return await self.point.evaluate(question, deadline_s=deadline_s)

    async def close(self):
        await self.point.close()


async def test_side_by_side_none_is_refused_for_what_the_others_release(tmp_path):
    """Have each call's result make every other one of the session be decided again, until it is
    refused: a model that asks for many things at once would get few of them.
    """
    async with world(tmp_path) as w:
        w.use(policies=OnePolicy(Thoughtful(w.policy)))
        await w.put_tool(limits={}, exclusive=[])
        caller = await w.caller(context=Context.MEDIATED)

        async def one(number):
            await asyncio.sleep(number * EACH_S)
            return await w.refund(caller, 1)

        done = await asyncio.gather(*map(one, range(MANY)))

    assert [each.code for each in done if each.state is not InvocationState.SUCCEEDED] == []
