"""Starts the support desk and takes it down again: shop, broker, worker, each its own process.

Where a container engine answers, there is a fourth: the sandbox node, which alone speaks to it.

The broker has a directory of its own with `callbroker.toml`; its OPA is its own child. Children end
with whoever started them, even where that one is killed. A directory that was not asked for is
gone afterwards.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from broker import bootstrap, config
from broker.token_files import save_token
from broker.tools.registry import read_manifests
from broker.yaml_documents import read_yaml
from examples.support_desk import containers, records
from examples.support_desk.agents import AGENT, SCOPES
from examples.support_desk.operating import Operator

HERE = Path(__file__).parent
START_S = 60.0
STOP_S = 15.0


class DeskFailed(Exception):
    """It did not start; `str()` says what happened and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A support desk that runs.

    Attributes:
        directory: of the broker, with `callbroker.toml`, its state and its tokens.
        tokens: by class, for the processes that are to have them.
        engine: of its containers; None where there is none.
        without: what is missing where there is none; else empty.
        node: address of the sandbox node; empty where there is none.
    """

    address: str
    directory: Path
    operator: Operator
    tokens: Mapping[str, str]
    tools: int
    families: int
    engine: containers.Engine | None = None
    without: str = ""
    node: str = ""
    review: str = ""


REVIEW_PORT = 7401


@contextlib.contextmanager
def running(
    *,
    port: int,
    directory: Path | None = None,
    engine: str | None = None,
    told: Callable[[str], None] = print,
) -> Iterator[Desk]:
    """Start everything; stop all of it on leaving.

    Args:
        port: where the broker listens on this machine; 0 for any free one.
        directory: kept afterwards; a temporary one where left out.
        engine: of containers, `unix:///…` or `none`; this machine's usual one where left out.
        told: gets a line on what takes long.

    Raises:
        DeskFailed: a part did not come up, or the directory is in use.
    """
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="support-desk-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise DeskFailed(f"{directory} is not empty: name a new directory.")
        address = f"127.0.0.1:{port or _free_port()}"
        shop = directory / "shop.db"
        records.create(shop)
        settings, state = directory / config.CONFIG_NAME, directory / "state"
        there, without = _engine(engine, told)
        node = "" if there is None else stack.enter_context(_node(there, directory))
        text = _SETTINGS.format(address=address, review=_review_address())
        settings.write_text(text + (containers.settings(node) if node else ""), encoding="utf-8")
        environment = {**os.environ, "CALLBROKER_CONFIG": str(settings)}
        token = bootstrap.operator_token(
            config.Settings(state=state, database=f"sqlite:///{state}/callbroker.db")
        )
        broker = stack.enter_context(
            _process("broker.command", "serve", log=directory / "broker.log", env=environment)
        )
        _wait(lambda: _listens(address), broker, "The broker", directory / "broker.log")
        operator = stack.enter_context(Operator(address, token))
        tokens, tools, families = _provision(
            operator, directory, sandboxed=there.manifests if there else ()
        )
        worker = stack.enter_context(
            _process(
                "examples.support_desk.worker",
                log=directory / "worker.log",
                env={
                    **os.environ,
                    "CALLBROKER_ADDRESS": address,
                    "CALLBROKER_WORKER_TOKEN": tokens["worker"],
                    "SUPPORT_DESK_SHOP": str(shop),
                },
            )
        )
        _wait(lambda: operator.workers() > 0, worker, "The worker", directory / "worker.log")
        yield Desk(
            address=address,
            directory=directory,
            operator=operator,
            tokens=tokens,
            tools=tools,
            families=families,
            engine=there,
            without=without,
            node=node,
            review=(state / "review-link").read_text(encoding="utf-8").strip(),
        )


_SETTINGS = """\
# One broker on this machine, for the support desk.
listen = "{address}"
state = "state"
log_level = "warning"

[web]
listen = "{review}"
local_reviewer = "support-lead-1"
local_groups = ["support-leads"]

[sources.shop]
url = "sqlite:///shop.db"
"""


def _review_address() -> str:
    """The usual one, unless somebody has it."""
    return f"127.0.0.1:{REVIEW_PORT if is_free(REVIEW_PORT) else 0}"


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _engine(asked: str | None, told: Callable[[str], None]) -> tuple[containers.Engine | None, str]:
    """An engine, or what is missing."""
    try:
        return containers.ready(containers.engine_named(asked), told=told), ""
    except containers.NoContainers as missing:
        return None, str(missing)


@contextlib.contextmanager
def _node(engine: containers.Engine, directory: Path) -> Iterator[str]:
    """The sandbox node, until it is left; gives its address."""
    log = directory / "sandboxd.log"
    # A socket's path has room for 107 bytes, which a directory of somebody's choice may exceed.
    with tempfile.TemporaryDirectory(prefix="desk-") as short:
        socket_path = Path(short) / "sandboxd.sock"
        address = f"unix:{socket_path}"
        given = ("--listen", address, "--engine", engine.url, "--state", f"{directory}/sandboxd")
        with _process(
            "broker.command", "sandboxd", *given, log=log, env=dict(os.environ)
        ) as process:
            _wait(lambda: _answers(socket_path), process, "The sandbox node", log)
            yield address


def _answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(path))
        return True
    return False


def _provision(
    operator: Operator, directory: Path, *, sandboxed: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], int, int]:
    """What an operator puts in force: tools, rules, who may what, and everybody's token."""
    manifests = read_manifests(HERE / "tools")
    operator.put_tools([*(document for _, document in manifests), *sandboxed])
    known = read_yaml((HERE / "directory.yaml").read_bytes())
    operator.put_directory(cast("Mapping[str, Any]", known))
    families = operator.activate_policy(HERE / "policies")
    for scope in (*SCOPES, *(containers.SCOPES if sandboxed else ())):
        operator.grant("groups/customers", scope, reason="customers serve themselves")
        operator.grant(AGENT, scope, reason="the assistant serves customers")
    # Colleagues may export the list of customers. No agent may, not even theirs.
    operator.grant("groups/support", "customers:export", reason="mailings about recalls")
    tokens = {
        "operator": operator.create_token("operator", "operator-1", person="operator-1"),
        "host": operator.create_token("host", "hosts/shop-front"),
        "agent": operator.create_token("agent", AGENT, person="support-engineer"),
        "worker": operator.create_token(
            "worker", "workers/shop", tools=[str(document["name"]) for _, document in manifests]
        ),
        "reviewer": operator.create_token(
            "reviewer", "support-lead-2", person="support-lead-2", groups=["support-leads"]
        ),
    }
    for name in ("operator", "reviewer"):  # what `callbroker` needs on this machine
        save_token(directory / "state" / "tokens" / name, tokens[name])
    return tokens, len(manifests) + len(sandboxed), len(families)


@contextlib.contextmanager
def _process(
    module: str, *arguments: str, log: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A module in a process of its own, which Ctrl-C does not reach; ended on leaving."""
    command = [sys.executable, "-m", "examples.support_desk.leash", module, *arguments]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            command,
            cwd=HERE.parents[1],
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process, process.stdin)


def _end(process: subprocess.Popen[bytes], leash: IO[bytes] | None) -> None:
    if leash is not None:
        leash.close()  # the process hears it and drains
    try:
        process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(
    is_up: Callable[[], bool], process: subprocess.Popen[bytes], what: str, log: Path
) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        if is_up():
            return
        time.sleep(0.05)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    raise DeskFailed(f"{what} did not start.\n{tail}")


def _listens(address: str) -> bool:
    """Tried by hand: a channel that is refused once tries again only after a second or more."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
