"""The attacker is the power switch: kill the broker at any moment and hope for half a record.

A child writes units as fast as it can and says which were acknowledged; SIGKILL comes in
the middle, time and again on one database. What was acknowledged is there, every unit is whole
or absent, and the log holds from its first entry on.
"""

import asyncio
import contextlib
import random
import signal
import sys
from pathlib import Path

from broker.core.audit_verification import verify
from broker.core.notes import parse_verifier_key
from broker.ports import InvocationQuery
from broker.store import signature_holds
from broker.store.heads import notes_of
from tests.store_values import opened
from tests.stores import temporary_store

ROUNDS = 4
CHILD = """
import asyncio, pathlib, sys
from broker.core.lifecycle import InvocationState
from broker.core.unit import AddInvocation, TakeKey
from broker.ids import UuidFactory
from tests.store_values import call, entry, invocation, unit
from tests.stores import open_store
import time

ids = UuidFactory(time.time)

async def main():
    store = await open_store(pathlib.Path(sys.argv[1]), instance=sys.argv[3])
    session = await store.find_session(sys.argv[2])
    print("ready", flush=True)

    async def work():
        while True:
            name = f"invocations/{ids()}"
            made = invocation(session, InvocationState.RUNNING, name=name, call=call(name))
            await store.commit(
                unit(
                    AddInvocation(invocation=made),
                    TakeKey(key=name, version=0, invocation=name),
                    entries=(entry(made), entry(made, contents=None)),
                ),
            )
            print(name, flush=True)

    await asyncio.gather(*(work() for _ in range(16)))

asyncio.run(main())
"""


async def killed(path: Path, session: str, instance: str, after: int) -> set[str]:
    """Run a child until it has acknowledged so many units; what it acknowledged."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        str(path),
        session,
        instance,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    acknowledged: set[str] = set()
    try:
        async with asyncio.timeout(60):
            assert await child.stdout.readline() == b"ready\n"
            while len(acknowledged) < after:
                acknowledged.add((await child.stdout.readline()).decode().strip())
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGKILL)
        rest = await child.stdout.read()
        assert await child.wait() == -signal.SIGKILL
    # A line that was cut off by the kill may have been acknowledged; it says nothing either way.
    return acknowledged | set(rest.decode().split("\n")[:-1])


async def test_a_broker_that_is_killed_leaves_whole_units_and_a_log_that_holds(tmp_path: Path):
    async with temporary_store(tmp_path) as store:
        session = (await opened(store)).name
    source = random.Random(4)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        # Now the same instance goes on, now another one.
        instance = f"brokers/{number // 2}"
        acknowledged |= await killed(tmp_path, session, instance, source.randrange(1, 300))
    async with temporary_store(tmp_path, instance="brokers/last") as store:
        found: list[str] = []
        before = ""
        while page := await store.list_invocations(InvocationQuery(page_size=500, before=before)):
            found += [made.name for made in page]
            before = page[-1].name
        assert acknowledged <= set(found)
        keys = await store.keys(found)
        for name in found:
            assert keys[name].invocation == name
            assert len(await store.entries(name)) == 2
        assert (await store.counts()).audit_entries == 2 * len(found)
        lines = [chunk async for chunk in store.export(since=0, include_contents=True)]
    state = tmp_path / "state"
    report = verify(
        b"".join(lines).splitlines(),
        parse_verifier_key((state / "audit.pub").read_text()),
        signature_holds=signature_holds,
        checkpoints=notes_of((state / "checkpoints" / "heads.jsonl").read_bytes()),
    )
    assert report.ok
    assert report.signed == report.entries == 2 * len(found)
    assert report.erased == 0
