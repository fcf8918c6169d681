"""Shows the broker at work: python -m examples.support_desk [--once] [--port N] [--engine URL].

Starts the support desk, lets the two scripted agents loose on it while printing what was decided,
leaves what waits for a person waiting, and serves until Ctrl-C. Where a container engine answers,
the second agent also has code run that tries to get out.
"""

import argparse
import asyncio
import contextlib
import itertools
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from broker.sdk import AsyncHeld, Broker, BrokerError, Outcome, connect
from examples.support_desk import agents, contained, containers, screen
from examples.support_desk.agents import Answered
from examples.support_desk.desk import Desk, DeskFailed, is_free, running

DEFAULT_PORT = 7400


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the show; returns the exit code."""
    parser = argparse.ArgumentParser(prog="support_desk", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the agents")
    parser.add_argument("--port", type=int, help=f"{DEFAULT_PORT} unless it is taken")
    parser.add_argument("--state", type=Path, help="a new directory, which is kept")
    parser.add_argument("--engine", help="of containers, unix:///... or none; Docker's if left out")
    given = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: shells ignore it for `&`
        signal.signal(number, signal.default_int_handler)
    print("Starting the support desk: shop, broker, OPA, worker", flush=True)
    begun = time.monotonic()
    try:
        with running(
            port=_port(given.port), directory=given.state, engine=given.engine, told=_tell_at_once
        ) as desk:
            _introduce(desk, time.monotonic() - begun)
            asyncio.run(_show(desk, once=given.once))
    except DeskFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


def _port(asked: int | None) -> int:
    """The one that was asked for; else the usual one, or any other where that is taken."""
    if asked is not None:
        return asked
    return DEFAULT_PORT if is_free(DEFAULT_PORT) else 0


def _introduce(desk: Desk, took_s: float) -> None:
    print(
        f"Support desk   ready {took_s:4.0f} s   {desk.tools} tools, "
        f"{desk.families} rule families, preset balanced"
    )
    print(f"Broker         {desk.address}   agents and workers, this machine only")
    print(
        screen.noted(
            f"Review         {desk.review}", "one-time link, 10 minutes, this machine only"
        )
    )
    print(f"Containers     {desk.engine.url if desk.engine else desk.without}\n")


async def _show(desk: Desk, *, once: bool) -> None:
    async with connect(
        desk.address, host_token=desk.tokens["host"], agent_token=desk.tokens["agent"]
    ) as broker:
        held, decided = await _play(desk, broker)
        print(f"{decided} calls decided, {len(held)} wait for a person.", flush=True)
        if once:
            return
        await asyncio.to_thread(_say_how_to_review, desk, held)
        print("Ctrl-C stops everything.\n", flush=True)
        async with asyncio.TaskGroup() as group:
            for outcome in held:
                group.create_task(_follow(desk, outcome))
            group.create_task(asyncio.Event().wait())  # until Ctrl-C


async def _play(desk: Desk, broker: Broker) -> tuple[list[AsyncHeld], int]:
    """Both agents; returns what waits for a person and how many calls were decided."""
    print(f'support-assistant for {agents.CUSTOMER}: "{agents.WORDS}"', flush=True)
    # Not closed: what waits for a person would be withdrawn with it.
    session = await broker.open_session(await agents.order_session(broker))
    seen = [await _tell(desk, answered) async for answered in agents.work(session)]
    print("the same agent, after it obeyed a mail that it read", flush=True)
    at_once: list[Answered] = []
    async for answered in agents.obey_the_mail(broker, session):
        if answered.step is agents.AT_ONCE:
            at_once.append(answered)
            continue
        _tell_together(at_once)
        seen += at_once
        at_once = []
        seen.append(await _tell(desk, answered))
    await _tell(desk, await agents.approve_oneself(desk.address, desk.tokens["agent"]))
    if desk.engine is not None:
        seen += await _play_contained(desk, broker)
    outcomes = [answered.outcome for answered in seen]
    held = [outcome for outcome in outcomes if isinstance(outcome, AsyncHeld)]
    decided = {outcome.name for outcome in outcomes if not isinstance(outcome, BrokerError)}
    return held, len(decided)


async def _play_contained(desk: Desk, broker: Broker) -> list[Answered]:
    """What needs containers: a customer's files, and the code that one of them asks for."""
    print("the honest agent again, with an invoice and a list that the customer attached")
    scopes = (*agents.SCOPES, *containers.SCOPES)
    async with await broker.open_session(await agents.order_session(broker, scopes=scopes)) as own:
        seen = []
        async for answered in contained.honest_work(own):
            seen.append(await _tell(desk, answered))
            print(*(f"{line}\n" for line in contained.beside(answered)), sep="", end="")
        print("the same agent, after it obeyed what stands in the invoice, white on white")
        canary = desk.directory / "canary"
        canary.write_text(contained.SONG, encoding="utf-8")
        canary.chmod(0o666)
        token = desk.directory / "state" / "tokens" / "operator"
        async with contained.others_at_work(broker) as others:
            async for one in contained.obey_the_invoice(own, token=token, canary=canary):
                print(contained.picture(one.tried, one.said), flush=True)
                seen.append(one.answered)
        after = await contained.aftermath(desk.node, canary, others)
    print("and afterwards")
    print("\n".join(contained.after_all(after)), flush=True)
    return seen


def _tell_at_once(line: str) -> None:
    print(line, flush=True)


async def _tell(desk: Desk, answered: Answered) -> Answered:
    about = answered.step.about or await _summary(desk, answered.outcome)
    print(screen.line(answered, about), flush=True)
    return answered


def _tell_together(many: Iterable[Answered]) -> None:
    alike = sorted(many, key=lambda a: (screen.decided(a.outcome), a.took_s))
    for _, group in itertools.groupby(alike, key=lambda a: screen.decided(a.outcome)):
        members = list(group)
        print(screen.line(members[-1], members[-1].step.about, count=len(members)), flush=True)


async def _summary(desk: Desk, outcome: Outcome | Exception) -> str:
    """The manifest's own line of the call, as reviewers and operators read it."""
    if isinstance(outcome, Exception):
        return ""
    return await asyncio.to_thread(desk.operator.summary, outcome.name)


def _say_how_to_review(desk: Desk, held: Sequence[AsyncHeld]) -> None:
    command = Path(sys.executable).with_name("callbroker")
    with contextlib.suppress(ValueError):
        command = command.relative_to(Path.cwd())
    print("Decide on them in a browser, by the link above, or in another terminal:\n")
    print(f"  export CALLBROKER_CONFIG={desk.directory / 'callbroker.toml'}")
    print(f"  {command} holds list")
    for outcome in held[:1]:  # names end in what tells them apart; this is how the command cuts
        hold = f"h-{desk.operator.hold(outcome.name)[-8:]}"
        print(f"  {command} holds show {hold}    says how to approve and how to reject")
    print()


async def _follow(desk: Desk, held: AsyncHeld) -> None:
    """Say what became of a call once a person has decided."""
    outcome = await held.wait(timeout_s=86_400)
    print(screen.ended(outcome, await _summary(desk, outcome)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
