"""A policy room in memory: a bundle is its files, and what is wrong with it is what it says."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from broker.core.errors import PolicyUnavailable
from broker.core.manifest import ToolManifest
from broker.ports import Bundle, Library, PolicyOrder, PolicyRefused
from tests.fakes.decision_point import FakeDecisionPoint, allow, opinion


@dataclass(frozen=True)
class FakeBundle:
    """Implements `ports.Bundle`."""

    files: tuple[tuple[str, str], ...]
    version: str = "1"

    @property
    def revision(self) -> str:
        return "sha256:" + hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(sorted({path.split("/")[0] for path, _ in self.files}))

    @property
    def library(self) -> Library | None:
        return Library(version=self.version, digest=f"sha256:{self.version}")

    @property
    def preset(self) -> str:
        return "balanced"

    def to_bytes(self) -> bytes:
        return json.dumps([self.version, self.files]).encode()


class FakePolicyRoom:
    """Implements `ports.PolicyRoom`.

    A file whose text is `broken` refuses the bundle; one whose text is `needs T` refuses it unless
    the tool T is in force; a family that vanishes undropped refuses it too.

    Attributes:
        is_dead: while true nothing starts.
        version: of the shipped library.
        events: what was started and ended, in order.
    """

    def __init__(self) -> None:
        self.is_dead = False
        self.version = "1"
        self.points: dict[str, FakeDecisionPoint] = {}
        self.events: list[tuple[str, str]] = []

    def at(self, revision: str) -> FakeDecisionPoint:
        if revision not in self.points:
            raise PolicyUnavailable("Policy cannot be asked now.")
        return self.points[revision]

    async def shipped(self) -> Library:
        return Library(version=self.version, digest=f"sha256:{self.version}")

    async def build(self, order: PolicyOrder, *, tools: Iterable[ToolManifest]) -> FakeBundle:
        bundle = FakeBundle(
            files=tuple(sorted((path, text.decode()) for path, text in order.files.items())),
            version=self.version,
        )
        vanished = set(order.previous_families) - set(order.dropped) - set(bundle.families)
        if vanished:
            raise PolicyRefused([f"{family}: vanished" for family in sorted(vanished)])
        return _checked(bundle, tools)

    async def recheck(self, kept: bytes, *, tools: Iterable[ToolManifest]) -> FakeBundle:
        return _checked(self.read(kept), tools)

    def read(self, kept: bytes) -> FakeBundle:
        version, files = json.loads(kept)
        return FakeBundle(files=tuple((path, text) for path, text in files), version=version)

    async def prepare(self, bundle: Bundle) -> None:
        if self.is_dead:
            raise PolicyUnavailable("It does not start.")
        if bundle.revision not in self.points:
            self.events.append(("start", bundle.revision))
            self.points[bundle.revision] = FakeDecisionPoint(
                opinion(allow(), revision=bundle.revision), revision=bundle.revision
            )

    async def retire(self, revision: str) -> None:
        if self.points.pop(revision, None) is not None:
            self.events.append(("end", revision))


def _checked(bundle: FakeBundle, tools: Iterable[ToolManifest]) -> FakeBundle:
    names = {tool.name for tool in tools}
    texts = [(path, text) for path, text in bundle.files]
    findings = [f"{path}:1: broken" for path, text in texts if text == "broken"]
    findings += [
        f"{path}:1: undefined schema of {text[6:]}"
        for path, text in texts
        if text.startswith("needs ") and text[6:] not in names
    ]
    if not texts:
        findings.append("no rule family at all")
    if findings:
        raise PolicyRefused(findings)
    return bundle
