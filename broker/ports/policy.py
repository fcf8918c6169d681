"""Whom policy is asked, and who puts policies in force."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.manifest import ToolManifest


class DecisionPoint(Protocol):
    """Answers with one policy revision."""

    @property
    def revision(self) -> str:
        """Digest of the bundle that answers."""
        ...

    async def evaluate(
        self,
        question: Mapping[str, JsonValue],
        *,
        deadline_s: float,
    ) -> Opinion:
        """What policy says of a call.

        Whatever is late, erring, undefined, malformed or of another revision is an Opinion with
        one DENY verdict.

        Raises:
            PolicyUnavailable: it cannot be asked at all; nothing was decided.
        """
        ...

    async def is_answering(self) -> bool:
        """Whether it can be asked now, as far as is known; one that could not is asked again."""
        ...

    async def close(self) -> None:
        """Give up what it holds."""
        ...


class Policies(Protocol):
    """The decision points that are warm, by revision."""

    def at(self, revision: str) -> DecisionPoint:
        """The one of this revision.

        Raises:
            PolicyUnavailable: none is ready.
        """
        ...


class PolicyRefused(ValueError):
    """These sources, or this kept bundle, cannot decide.

    Attributes:
        findings: one sentence each, naming file and line where they are known.
    """

    def __init__(self, findings: Iterable[str]) -> None:
        self.findings: tuple[str, ...] = tuple(findings)
        super().__init__("; ".join(self.findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The shipped rule families, parameters and presets, as a whole.

    Attributes:
        version: the release that ships it.
        digest: of what decides in it; by this two are told apart.
    """

    version: str
    digest: str


class Bundle(Protocol):
    """One checked revision of policy."""

    @property
    def revision(self) -> str:
        """Digest of its sources."""
        ...

    @property
    def families(self) -> tuple[str, ...]:
        """Its rule families, sorted."""
        ...

    @property
    def library(self) -> Library | None:
        """The shipped library that it was built with; None where it does not say."""
        ...

    @property
    def preset(self) -> str:
        """The name of its defaults; empty where it does not say."""
        ...

    def to_bytes(self) -> bytes:
        """The form in which it is kept for ever."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOrder:
    """What a bundle is to be built of.

    Attributes:
        files: an operator's own tree, laid over the shipped library; path to content.
        preset: the name of the defaults.
        previous_families: those of the revision that this one follows.
        dropped: those of them that are to go.
    """

    files: Mapping[str, bytes]
    preset: str
    previous_families: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class PolicyRoom(Policies, Protocol):
    """Builds and checks bundles, and starts, warms and ends the decision points that answer."""

    async def shipped(self) -> Library:
        """The library that the next bundle is built with.

        Raises:
            PolicyUnavailable: it cannot be read.
        """
        ...

    async def build(self, order: PolicyOrder, *, tools: Iterable[ToolManifest]) -> Bundle:
        """Check sources under these tools, and build them.

        Raises:
            PolicyRefused: with every finding.
            PolicyUnavailable: nothing can be checked now.
        """
        ...

    async def recheck(self, kept: bytes, *, tools: Iterable[ToolManifest]) -> Bundle:
        """Read a kept bundle and check it again, under these tools.

        Raises:
            PolicyRefused: with every finding.
            PolicyUnavailable: nothing can be checked now.
        """
        ...

    def read(self, kept: bytes) -> Bundle:
        """Read a kept bundle, without checking more than that it is whole.

        Raises:
            PolicyRefused: it is not.
        """
        ...

    async def prepare(self, bundle: Bundle) -> None:
        """Return once `at(bundle.revision)` is warm; at once where it is already.

        Raises:
            PolicyUnavailable: it does not start; nothing is left behind.
        """
        ...

    async def retire(self, revision: str) -> None:
        """End the one of this revision, if there is one, once what it was asked is answered."""
        ...
