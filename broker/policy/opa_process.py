"""One OPA per policy revision, ours alone: started from its bundle, watched, restarted, and ended.

Whoever can write to an OPA owns its answers. So each child listens on a unix socket in a folder
that nobody else can enter, admits questions for the decision alone (one, or a group) by a token
that only this object knows, sees no environment and cannot outlive the broker. Its bundle never
changes: a new revision is a new child. While a child is away nothing is decided.
"""

import asyncio
import contextlib
import contextvars
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable
from broker.core.limits import POLICY_DEADLINE_S
from broker.policy import opa_child
from broker.policy.bundle import PolicyBundle
from broker.policy.grouping import GROUP_MODULE, GROUP_ROOT, GROUP_RULE
from broker.policy.opa import Opa

START_DEADLINE_S: Final = 30.0
STOP_DEADLINE_S: Final = 2.0
RESTART_DELAY_S_MIN: Final = 0.1
RESTART_DELAY_S_MAX: Final = 5.0
STEADY_S: Final = 60.0
HEALTH_INTERVAL_S: Final = 5.0
HEALTH_FAILURES_MAX: Final = 3
_POLL_S: Final = 0.02
_LAST_WORDS_BYTES_MAX: Final = 4_096
_HOW: Final = "become" if sys.platform == "linux" else "watch"

_AUTHORIZATION: Final = """\
package system.authz

default allow := false

_paths := {
	["v1", "data", "broker", "decision", "decision"],
	["v1", "data", "%(root)s", "%(rule)s"],
}

allow if {
	crypto.sha256(input.identity) == "%(identity)s"
	_admitted
}

_admitted if {
	input.method == "POST"
	input.path in _paths
	input.params == {"strict-builtin-errors": ["true"]}
}

_admitted if {
	input.method == "GET"
	input.path == ["health"]
	input.params == {}
}
"""


class SupervisedOpa:
    """The decision point over an OPA of our own. Construct by `start`."""

    def __init__(
        self,
        bundle: PolicyBundle,
        *,
        opa: Path,
        runtime_directory: Path | None,
        health_interval_s: float,
        report: Callable[[str], None],
    ) -> None:
        self._bundle = bundle
        self._opa = opa
        self._runtime_directory = runtime_directory
        self._health_interval_s = health_interval_s
        self._report = report
        self._child: _Child | None = None
        self._supervision: asyncio.Task[None] | None = None
        self._asking = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    @classmethod
    async def start(
        cls,
        bundle: PolicyBundle,
        *,
        opa: Path,
        runtime_directory: Path | None = None,
        health_interval_s: float = HEALTH_INTERVAL_S,
        report: Callable[[str], None] = lambda _: None,
    ) -> "SupervisedOpa":
        """Start a child and return once it has answered from this bundle.

        Args:
            bundle: the revision.
            opa: the pinned binary.
            runtime_directory: where the child's private folder is made; the system's temporary one
                by default. A socket's path may have 107 bytes.
            health_interval_s: how often it is asked whether it is well; one that is not, three
                times running, is replaced.
            report: told, in one line each, of deaths and restarts.

        Raises:
            PolicyUnavailable: it did not start, or did not answer rightly; nothing is left behind.
        """
        supervised = cls(
            bundle,
            opa=opa,
            runtime_directory=runtime_directory,
            health_interval_s=health_interval_s,
            report=report,
        )
        supervised._child = await supervised._start_child()
        supervised._supervision = asyncio.create_task(
            supervised._supervise(supervised._child),
            context=contextvars.Context(),  # it outlives whoever asked for it, and is nobody's
        )
        return supervised

    @property
    def revision(self) -> str:
        """Digest of the bundle that answers."""
        return self._bundle.revision

    @property
    def process_id(self) -> int | None:
        """Of the child that answers now; None while there is none."""
        return self._child.process.pid if self._child else None

    async def evaluate(self, question: Mapping[str, JsonValue], *, deadline_s: float) -> Opinion:
        """What policy says of a call; see `Opa.evaluate`.

        Raises:
            PolicyUnavailable: the child is away, or it went away meanwhile.
        """
        if self._child is None or self._closing:
            raise PolicyUnavailable("Policy cannot be asked now.")
        self._asking += 1
        self._idle.clear()
        try:
            return await self._child.opa.evaluate(question, deadline_s=deadline_s)
        finally:
            self._asking -= 1
            if self._asking == 0:
                self._idle.set()

    async def is_answering(self) -> bool:
        """Whether there is a child, and it was well when it was last asked."""
        return self._child is not None and self._child.is_well

    async def close(self) -> None:
        """Take no more questions, let those under way be answered, and end the child."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLICY_DEADLINE_S):
                await self._idle.wait()
        if self._supervision is not None:
            self._supervision.cancel()
            await asyncio.gather(self._supervision, return_exceptions=True)
        if self._child is not None:
            await self._child.end()
            self._child = None

    async def _start_child(self) -> "_Child":
        return await _Child.start(
            self._bundle, opa=self._opa, runtime_directory=self._runtime_directory
        )

    async def _supervise(self, child: "_Child") -> None:
        loop = asyncio.get_running_loop()
        delay_s = RESTART_DELAY_S_MIN
        while True:
            since = loop.time()
            await _until_useless(child, interval_s=self._health_interval_s)
            self._child = None
            if not child.ended.done():
                self._report("OPA does not answer, and is replaced")
            await child.end()
            self._report(f"OPA ended ({child.process.returncode}): {child.last_words()}")
            if loop.time() - since > STEADY_S:
                delay_s = RESTART_DELAY_S_MIN
            while self._child is None:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RESTART_DELAY_S_MAX)
                try:
                    self._child = child = await self._start_child()
                except PolicyUnavailable as error:
                    self._report(str(error))
            self._report("OPA answers again")


class _Child:
    """One process, its folder and the client that talks to it."""

    def __init__(self, process: asyncio.subprocess.Process, opa: Opa, folder: Path) -> None:
        self.process = process
        self.opa = opa
        self.is_well = True
        self._folder = folder
        self._heard = bytearray()
        self.ended = asyncio.create_task(self._hear())

    @classmethod
    async def start(
        cls, bundle: PolicyBundle, *, opa: Path, runtime_directory: Path | None
    ) -> "_Child":
        token = secrets.token_urlsafe(32)
        try:
            folder = await asyncio.to_thread(_lay_out, bundle, token, runtime_directory)
        except OSError as error:
            raise PolicyUnavailable("OPA did not start: its folder cannot be made.") from error
        client = await Opa.over_socket(
            folder / "socket", token=token, revision=bundle.revision, takes_groups=True
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", opa_child.__file__, _HOW, str(os.getpid())),
                *_command(opa, folder),
                env={},
                cwd=folder,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C is for the broker, which ends it in order
            )
        except BaseException as error:
            await client.close()
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise PolicyUnavailable("OPA did not start: it cannot be run.") from error
            raise
        child = cls(process, client, folder)
        try:
            await child._become_ready()
        except BaseException:
            await child.end()
            raise
        return child

    def last_words(self) -> str:
        """The end of what it wrote to standard error, on one line."""
        return " ".join(self._heard.decode("utf-8", "replace").split())

    async def end(self) -> None:
        """SIGTERM, in time SIGKILL; then nothing of it is left."""
        await self.opa.close()
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await asyncio.shield(self.ended)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.ended
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _become_ready(self) -> None:
        """Wait until it answers the question that asks for nothing, from its own bundle."""
        wrong = "no answer in time"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_DEADLINE_S):
                while not self.ended.done():
                    with contextlib.suppress(PolicyUnavailable):
                        wrong = await self.opa.warm_up()
                        if wrong != "POLICY_LATE":
                            break
                    await asyncio.wait({self.ended}, timeout=_POLL_S)
        if self.ended.done():
            raise PolicyUnavailable(f"OPA did not start: {self.last_words() or 'it ended'}")
        if wrong:
            raise PolicyUnavailable(f"OPA did not start: {wrong}")

    async def _hear(self) -> None:
        """Keep its last words, so that it never blocks on writing them, until it has ended."""
        if self.process.stderr is not None:
            while heard := await self.process.stderr.read(_LAST_WORDS_BYTES_MAX):
                self._heard += heard
                del self._heard[:-_LAST_WORDS_BYTES_MAX]
        await self.process.wait()


async def _until_useless(child: _Child, *, interval_s: float) -> None:
    """Until the child has ended, or has not been well several times running."""
    failures = 0
    while failures < HEALTH_FAILURES_MAX:
        ended, _ = await asyncio.wait({child.ended}, timeout=interval_s)
        if ended:
            return
        child.is_well = await child.opa.is_alive(deadline_s=interval_s)
        failures = 0 if child.is_well else failures + 1


def _command(opa: Path, folder: Path) -> list[str]:
    return [
        str(opa),
        *("run", "--server", f"--addr=unix://{folder / 'socket'}", "--unix-socket-perm=600"),
        *("--authentication=token", "--authorization=basic", "--skip-version-check"),
        *("--log-level=error", "--optimize-store-for-read-speed", "--shutdown-grace-period=1"),
        *("--bundle", str(folder / "bundle.tar.gz")),
        *(str(folder / "authorization"), str(folder / "group")),
    ]


def _lay_out(bundle: PolicyBundle, token: str, runtime_directory: Path | None) -> Path:
    """A folder of mode 0700 with the bundle and, beside it, who may ask."""
    folder = Path(tempfile.mkdtemp(prefix="callbroker-opa-", dir=runtime_directory))
    (folder / "bundle.tar.gz").write_bytes(bundle.bundle)
    known = hashlib.sha256(token.encode("ascii")).hexdigest()
    admitted = {"root": GROUP_ROOT, "rule": GROUP_RULE, "identity": known}
    _lay_beside(folder / "authorization", "system/authz", _AUTHORIZATION % admitted)
    _lay_beside(folder / "group", GROUP_ROOT, GROUP_MODULE)
    return folder


def _lay_beside(folder: Path, root: str, module: str) -> None:
    """A bundle of one module, beside the one that decides."""
    (folder / root).mkdir(parents=True)
    manifest = {"roots": [root], "revision": folder.name}
    (folder / ".manifest").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / root / "module.rego").write_text(module, encoding="utf-8")
