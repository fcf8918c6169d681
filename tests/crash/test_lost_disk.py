"""The directory of a broker's database is read-only, or gone: calls are refused, and go on after.

The broker lives in a mount namespace of its own, in which its directory is mounted over: what it
has open it still has, and nothing of it is left when the broker is. As root.
"""

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator

import pytest

from broker.core.limits import CHECKPOINT_ENTRIES_MAX
from broker.sdk import BrokerError, Succeeded, Unavailable
from broker.sdk.outcomes import SyncOutcome
from tests.crash.ledger import Line
from tests.crash.stack import START_S, Stack, open_stack
from tests.crash.stack_agent import session_of
from tests.crash.stack_books import at_any_time
from tests.fakes.waiting import until

APART = ("unshare", "--mount", "--propagation", "private", "--")
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'
ANSWER_S = 20.0


@pytest.fixture(scope="module")
def made() -> Iterator[Stack]:
    with open_stack("sqlite", None) as stack:
        yield stack


@pytest.fixture
def stack(made: Stack) -> Stack:
    """With a broker in a namespace of its own."""
    if made.has_ended() or made.around != APART:
        restart(made, *APART)
        until(made.is_worked_for, lambda: made.log("broker"), within_s=START_S)
    return made


def restart(stack: Stack, *around: str) -> None:
    assert stack.broker is not None
    stack.broker.kill()
    stack.broker.wait(START_S)
    stack.around = around
    stack.start_broker()


def inside(stack: Stack, *command: str) -> None:
    """Run a command where the broker sees what it does.

    What is unmounted goes at once, though the broker may look for its files just then.
    """
    assert stack.broker is not None
    where = ("nsenter", "--target", str(stack.broker.pid), "--mount", "--")
    subprocess.run([*where, *command], check=True, timeout=START_S)


@contextlib.contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    inside(stack, "sh", "-c", READ_ONLY, str(stack.state))
    yield
    inside(stack, "umount", "--lazy", str(stack.state))


@contextlib.contextmanager
def gone(stack: Stack) -> Iterator[None]:
    inside(stack, "mount", "-t", "tmpfs", "none", str(stack.state))
    yield
    inside(stack, "umount", "--lazy", str(stack.state))


def pay(stack: Stack, order: str) -> SyncOutcome:
    with session_of(stack) as session:
        given = {"order": order, "amount_minor": 1, "linger_ms": 0}
        return session.invoke("pay", given, request_id=order, deadline_s=ANSWER_S)


def effects(stack: Stack) -> int:
    return len(stack.ledger.read_bytes().splitlines()) if stack.ledger.exists() else 0


def test_nothing_runs_while_the_database_is_gone_and_all_goes_on_once_it_is_back(stack: Stack):
    """Unmount the directory under a running broker, and call it."""
    assert isinstance(pay(stack, "gone-0"), Succeeded)
    before = effects(stack)
    with gone(stack):
        for number in range(3):
            with pytest.raises(Unavailable, match="nothing was decided and nothing ran"):
                pay(stack, f"gone-{number + 1}")
    assert effects(stack) == before
    assert "put it back" in stack.log("broker")
    until(lambda: succeeds(stack, "gone-1"), lambda: stack.log("broker"))
    assert effects(stack) == before + 1


def test_what_a_read_only_disk_takes_no_signed_head_of_does_not_run(stack: Stack):
    """Make the directory read-only under a running broker, and call until nothing is signed."""
    first = effects(stack)
    with read_only(stack):
        answered, refused = next(
            (number, heard)
            for number in itertools.count()
            if (heard := refusal(stack, f"read-only-{number}")) is not None
        )
        assert 0 < answered < CHECKPOINT_ENTRIES_MAX
        before = effects(stack)
        # It is the one under way when nothing could be signed: whether it ran decides what is said.
        has_run = before - first == answered + 1
        assert refused.reason == ("OUTCOME_UNSTORED" if has_run else "STORE_UNAVAILABLE")
        for number in range(3):
            with pytest.raises(Unavailable):
                pay(stack, f"refused-{number}")
        assert effects(stack) == before
    until(lambda: succeeds(stack, "refused-0"), lambda: stack.log("broker"))
    last = f"read-only-{answered}"  # it may have been under way: its end is recorded now, once
    until(lambda: succeeds(stack, last), lambda: stack.log("broker"))
    lines = [Line(**json.loads(line)) for line in stack.ledger.read_bytes().splitlines()]
    assert not [*at_any_time(lines, [])]


def test_a_broker_does_not_start_on_a_read_only_disk_and_says_why(made: Stack):
    """Have it start where it can record nothing."""
    restart(made, *APART, "sh", "-c", f'echo anew >&2 && {READ_ONLY} && exec "$@"', str(made.state))
    assert made.broker is not None
    assert made.broker.wait(START_S) == 2
    said = made.log("broker").rpartition("anew\n")[2].splitlines()
    assert "cannot be written: Read-only file system" in said[-1]
    assert not [line for line in said if "Traceback" in line]


def test_a_broker_does_not_begin_anew_where_its_database_was_removed(stack: Stack):
    """Remove the database, so that the next broker knows nothing of what was frozen or denied."""
    database, elsewhere = stack.state / "callbroker.db", stack.directory / "elsewhere"
    database.rename(elsewhere)
    try:
        with pytest.raises(Unavailable, match="nothing was decided and nothing ran"):
            pay(stack, "removed")
        restart(stack)
        assert stack.broker is not None
        assert stack.broker.wait(START_S) == 2
        assert not database.exists()
    finally:
        elsewhere.rename(database)
    assert "There is no database" in stack.log("broker")


def succeeds(stack: Stack, order: str) -> bool:
    """Whether the call of this order, said again or for the first time, succeeds."""
    with contextlib.suppress(BrokerError):
        return isinstance(pay(stack, order), Succeeded)
    return False


def refusal(stack: Stack, order: str) -> BrokerError | None:
    """What is heard instead of how the call of this order ended; None where it succeeds."""
    try:
        assert isinstance(pay(stack, order), Succeeded)
    except BrokerError as heard:
        return heard
    return None
