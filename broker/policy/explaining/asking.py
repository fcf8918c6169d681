"""Asks one bundle beside the way of calls: many questions at once, or one with all its steps.

Each run of OPA is a process of its own, without an environment, with a deadline and with an end to
what it may print: the steps of one question can be many times its size. Nothing here decides.
"""

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable
from broker.policy.bundle import PolicyBundle
from broker.policy.opa_command import ENTRY_POINT
from broker.policy.opinion import denied, opinions_of

RUN_DEADLINE_S: Final = 10.0
PRINTED_BYTES_MAX: Final = 48 * 1024 * 1024
RUNS_MAX: Final = 150
_CAPABILITIES: Final = ".capabilities"
_READ_BYTES: Final = 1 << 20
_TOGETHER: Final = f"{{i: d | some i, x in input.batch; d := {ENTRY_POINT} with input as x}}"

Question = Mapping[str, JsonValue]


class NotFollowed(Exception):
    """OPA did not say how it came to its answer; the text says why."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """One bundle, laid out to be asked. Made by `asking`; `runs` counts the processes.

    Once `ended` is set, by whoever waits no longer, no further process is started.
    """

    opa: Path
    bundle: PolicyBundle
    tree: Path
    parameters: JsonValue
    families: tuple[str, ...]
    runs: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    parsed: dict[str, Any] = field(default_factory=dict)
    money: Mapping[str, str] = field(default_factory=dict)

    def opinions(self, questions: Sequence[Question]) -> list[Opinion]:
        """What policy says of each; one that makes a rule err is DENY, POLICY_ERROR, alone.

        Raises:
            NotFollowed: OPA was not done in time.
            PolicyUnavailable: it cannot be run.
        """
        if not questions:
            return []
        try:
            printed = self._eval(_TOGETHER, {"batch": [dict(question) for question in questions]})
        except NotFollowed:
            if len(questions) == 1:
                return [denied("POLICY_ERROR", revision=self.bundle.revision)]
            half = len(questions) // 2
            return [*self.opinions(questions[:half]), *self.opinions(questions[half:])]
        answers = _value(printed)
        found = answers if isinstance(answers, dict) else {}
        return opinions_of(found, len(questions), revision=self.bundle.revision)

    def steps(self, question: Question, families: Iterable[str]) -> list[dict[str, Any]]:
        """OPA's own account of how these families came to their verdicts, event by event.

        Raises:
            NotFollowed: a rule erred, or the account is too long.
            PolicyUnavailable: OPA cannot be run.
        """
        query = "; ".join(
            f"x{number} := [v | v := data.broker.rules.{family}.verdicts]"
            for number, family in enumerate(families)
        )
        printed = self._eval(
            query or "true",
            question,
            "--explain=full",
            "--disable-indexing",
            "--disable-early-exit",
        )
        found = printed.get("explanation")
        return found if isinstance(found, list) else []

    def documents(self, question: Question, packages: Iterable[str]) -> dict[str, JsonValue]:
        """What each of these packages (`broker.rules.mail`) holds, and the `parameters`.

        Raises:
            PolicyUnavailable: OPA cannot be run.
        """
        wanted = sorted(set(packages))
        found: dict[str, JsonValue] = {"parameters": self.parameters}
        query = "; ".join(
            f"x{number} := [v | v := data.{package}]" for number, package in enumerate(wanted)
        )
        try:
            results = self._eval(query or "true", question).get("result") or [{}]
        except NotFollowed:  # a rule that is not part of the answer errs: names stay names
            return found
        bound = results[0].get("bindings", {})
        for number, package in enumerate(wanted):
            if bound.get(f"x{number}"):
                found[package] = bound[f"x{number}"][0]
        return found

    def module(self, file: str) -> Mapping[str, Any]:
        """The syntax of a file of the bundle, with its places and texts; `{}` where it has none."""
        if file not in self.parsed:
            self.parsed[file] = self._parse(file)
        found: Mapping[str, Any] = self.parsed[file]
        return found

    def _parse(self, file: str) -> Mapping[str, Any]:
        if not file.endswith(".rego") or file not in self.bundle.files:
            return {}
        arguments = ("--format=json", "--json-include=locations", file)
        try:
            parsed: dict[str, Any] = json.loads(self._run("parse", *arguments))
        except (NotFollowed, ValueError):
            return {}
        return parsed

    def _eval(self, query: str, given: object, *flags: str) -> dict[str, Any]:
        printed = self._run(
            "eval",
            *("--bundle", ".", "--ignore", _CAPABILITIES, "--format=json"),
            *("--strict-builtin-errors", f"--capabilities={_CAPABILITIES}"),
            *flags,
            "--stdin-input",
            query,
            given=json.dumps(given).encode("utf-8"),
        )
        read = json.loads(printed)
        return read if isinstance(read, dict) else {}

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        self.runs += 1
        if self.runs > RUNS_MAX or self.ended.is_set():
            raise NotFollowed("the search was ended, it took too long")
        return _run(self.opa, arguments, directory=self.tree, given=given)


@contextmanager
def asking(
    bundle: PolicyBundle,
    *,
    opa: Path,
    parameters: JsonValue = None,
    families: Sequence[str] | None = None,
    money: Mapping[str, str] | None = None,
) -> Iterator[Asked]:
    """Lay a bundle's own sources out for as long as it is asked: lines are the author's.

    Args:
        bundle: what is asked.
        opa: the pinned binary.
        parameters: instead of the bundle's own, as a case may have them.
        families: those that count; all of the bundle's where left out.
        money: amounts of the question, as `Explanation.money`.
    """
    with tempfile.TemporaryDirectory(prefix="callbroker-explain-") as directory:
        tree = Path(directory)
        for path, data in bundle.files.items():
            if path.endswith(".rego") and not path.endswith("_test.rego"):
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_bytes(data)
        own: dict[str, Any] = json.loads(bundle.files["callbroker/data.json"])
        counted = tuple(own["families"] if families is None else families)
        terms = {**own, "revision": bundle.revision, "families": [*counted]}
        if parameters is None:
            parameters = json.loads(bundle.files["parameters/data.json"])
        document = {"callbroker": terms, "parameters": parameters}
        (tree / "data.json").write_text(json.dumps(document), encoding="utf-8")
        (tree / _CAPABILITIES).write_bytes(bundle.files["capabilities.json"])
        yield Asked(
            opa=opa,
            bundle=bundle,
            tree=tree,
            parameters=parameters,
            families=counted,
            money=money or {},
        )


def _value(printed: Mapping[str, Any]) -> JsonValue:
    results = printed.get("result")
    if not results:
        return None
    value: JsonValue = results[0]["expressions"][0]["value"]
    return value


def _run(opa: Path, arguments: Sequence[str], *, directory: Path, given: bytes) -> bytes:
    try:
        with tempfile.TemporaryFile() as source:
            source.write(given)
            source.seek(0)
            code, printed = _carried_out([str(opa), *arguments], source, directory)
    except OSError as error:
        raise PolicyUnavailable("OPA cannot be run.") from error
    if len(printed) > PRINTED_BYTES_MAX:
        raise NotFollowed("its steps are too many to be followed")
    if code < 0:
        raise NotFollowed("OPA was not done in time")
    if code > 0:
        raise NotFollowed(_why(printed))
    return printed


def _carried_out(command: Sequence[str], source: IO[bytes], directory: Path) -> tuple[int, bytes]:
    with subprocess.Popen(  # noqa: S603 - a path and flags, no shell
        command,
        cwd=directory,
        env={},
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as running:
        alarm = threading.Timer(RUN_DEADLINE_S, running.kill)
        alarm.start()
        try:
            printed = _read(running)
        finally:
            alarm.cancel()
            running.kill()
    return running.returncode, printed


def _read(running: "subprocess.Popen[bytes]") -> bytes:
    """All that it prints, but not much more than is of use."""
    if running.stdout is None:
        return b""
    pieces, size = [], 0
    while size <= PRINTED_BYTES_MAX and (piece := running.stdout.read(_READ_BYTES)):
        pieces.append(piece)
        size += len(piece)
    if size <= PRINTED_BYTES_MAX:
        running.wait()
    return b"".join(pieces)


def _why(printed: bytes) -> str:
    try:
        error = json.loads(printed)["errors"][0]
        place = error.get("location") or {}
        where = f"{str(place.get('file', '')).lstrip('/')}:{place.get('row', 0)}: "
        return f"{where if place.get('file') else ''}{error['message']}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "OPA did not answer"
