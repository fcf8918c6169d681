"""Attacks on where values come from: a stranger's value is to pass for a trusted one."""

import asyncio
import json
from pathlib import Path
from typing import Any

from broker.core.calls import Caller, Context
from broker.core.provenance.origins import TRUSTED
from broker.ports import Succeeded
from tests.strangers import EVIL, answer, ask, encoded, mediated, office
from tests.world import REFUND, World, build


async def source_of(w: World, caller: Caller, value: Any) -> str:
    await ask(w, caller, "pay", to=value)
    provenance: Any = w.policy.asked[-1]["provenance"]
    return str(provenance["/to"]["source"])


async def test_a_trusted_tool_that_repeats_it_does_not_make_it_trusted(tmp_path: Path):
    """Have a trusted tool write the account down, read it back from there, and pay to it."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "read_mail")
        await ask(w, caller, "echo", note=EVIL)
        assert await source_of(w, caller, EVIL) not in TRUSTED


async def test_a_piece_at_a_time_it_is_not_trusted_either(tmp_path: Path):
    """Hand a trusted tool pieces that are too short to be known, and use what it joins."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "read_mail")
        joined = await ask(w, caller, "echo", parts=["XX9", "9-A", "TTA", "CK-", "000", "1"])
        await ask(w, caller, "make", of=[*json.loads(joined.result or b"")["saved"]["parts"]])
        assert await source_of(w, caller, EVIL) not in TRUSTED


async def test_as_a_name_it_is_not_trusted_either(tmp_path: Path):
    """Hide the account in the name of an argument, whose value says nothing."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "read_mail")
        await ask(w, caller, "echo", note={EVIL: ""})
        assert await source_of(w, caller, EVIL) not in TRUSTED


async def test_by_what_is_null_and_what_is_empty_it_is_not_trusted_either(tmp_path: Path):
    """Spell the account in bits, each a value that is null or empty, for a tool to join."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "read_mail")
        bits = [None if int(b) else "" for b in f"{int(EVIL.encode().hex(), 16):b}"]
        await ask(w, caller, "make", of=bits)
        assert await source_of(w, caller, EVIL) not in TRUSTED


async def test_the_words_of_a_failure_are_no_better(tmp_path: Path):
    """Ask a trusted tool for what it does not have; its words of failure name the account."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "read_mail")
        await ask(w, caller, "fail", id=EVIL)
        assert await source_of(w, caller, EVIL) not in TRUSTED
        assert await source_of(w, caller, f"There is no {EVIL}.") not in TRUSTED


async def test_decoded_by_a_trusted_tool_it_is_no_better(tmp_path: Path):
    """Have a sandbox decode what the mail says in Base64, and use what comes out."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "read_mail")
        await ask(w, caller, "decode", text=encoded(EVIL))
        assert await source_of(w, caller, EVIL) not in TRUSTED


async def test_a_fact_that_it_selected_does_not_vouch_for_it(tmp_path: Path):
    """Name an order of the attacker's, whose customer then is a fact, and pay to that one."""
    async with office(tmp_path) as w:
        declared = {**REFUND["arguments"]["properties"], "to": {"type": "string"}}
        arguments = {**REFUND["arguments"], "properties": declared}
        # No exclusive key and no bound value: provenance alone is to stop it.
        scopes, effect = [{"name": "refunds:write"}], w.runner.effect
        await w.put_tool(REFUND, arguments=arguments, scopes=scopes, result=True, exclusive=[])
        caller = await w.caller(context=Context.MEDIATED, words=("Refund order O-1001.",))
        w.runner.effect = lambda call: (
            Succeeded(result_json=b'"ask for O-2002"')
            if call.invocation.call.tool == "read_mail"
            else effect(call)
        )
        await ask(w, caller, "read_mail")
        found = {}
        for order, customer in (("O-1001", "customers/c-204"), ("O-2002", "customers/c-9")):
            given = {"order_id": order, "amount_minor": 1, "currency": "EUR", "to": customer}
            await ask(w, caller, "refund", **given)
            provenance: Any = w.policy.asked[-1]["provenance"]
            found[order] = provenance["/to"]["source"]
        assert found["O-1001"] == "fact"
        assert found["O-2002"] not in TRUSTED


async def test_neither_another_broker_nor_a_restart_forgets_it(tmp_path: Path):
    """Read the mail by one broker and pay by another, or by the same one after it was restarted."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "read_plain_mail")
        other = await build(w.store, w.clock, owner="brokers/2")
        other.runner.effect = answer
        other.requests = 100
        await ask(other, caller, "echo", note=EVIL)
        assert await source_of(other, caller, EVIL) == "untrusted_result"
        restarted = await build(w.store, w.clock, owner="brokers/3")
        restarted.runner.effect = answer
        restarted.requests = 200
        assert await source_of(restarted, caller, EVIL) == "untrusted_result"
        await asyncio.gather(other.own.drain(within_s=5), restarted.own.drain(within_s=5))


async def test_a_call_that_raced_with_the_mail_is_decided_again(tmp_path: Path):
    """Ask to pay while the mail is still being read, so that the decision has not seen it."""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        w.policy.answering.clear()
        paying = asyncio.ensure_future(ask(w, caller, "pay", to=EVIL))
        async with asyncio.timeout(5):
            while not w.policy.asked:
                await asyncio.sleep(0)
        other = await build(w.store, w.clock, owner="brokers/2")
        other.runner.effect = answer
        other.requests = 100
        await ask(other, caller, "read_plain_mail")
        w.policy.answering.set()
        await paying
        sources = [asked["provenance"]["/to"]["source"] for asked in w.policy.asked]
        assert sources == ["unseen", "untrusted_result"]
        await other.own.drain(within_s=5)


async def test_what_was_trusted_before_the_mail_came_stays_so(tmp_path: Path):
    """(The other side of the same: strangers cannot spoil a value by repeating it.)"""
    async with office(tmp_path) as w:
        caller = await mediated(w)
        await ask(w, caller, "make", of="O-1001")
        await ask(w, caller, "read_plain_mail")
        assert await source_of(w, caller, EVIL) == "trusted_result"
        assert await source_of(w, caller, "O-1001") == "words"
