"""What operators have put in force, as one frozen value under one revision.

Every decision is taken under one `Control`, and its record transaction requires that the revision
still stands. Rows are the store's; `Control` is what the stages read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from broker.core.calls import Agent
from broker.core.credentials import NO_BINDINGS, Bindings, Credential
from broker.core.directory import EMPTY, Directory
from broker.core.freezes import Freeze
from broker.core.manifest import Output, ToolManifest
from broker.core.observing import Observation
from broker.core.restored import NEVER, RestoredAt
from broker.core.retention import KEPT, LegalHold, Retention
from broker.core.schemas import Validator
from broker.core.scopes import Grant
from broker.core.shadowing import Shadow
from broker.core.stores import effective_output, writers


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredTool:
    """A manifest with its compiled schemas.

    Attributes:
        output: what a result may carry beside the other tools (`core.stores`). This counts, never
            the manifest's own word.
        preview: the tool that says what a call would change, where it has one. It is in no list of
            tools, so that nobody but the broker can call it.
    """

    manifest: ToolManifest
    output: Output
    arguments: Validator
    result: Validator | None
    preview: "RegisteredTool | None" = None

    @property
    def is_compiled(self) -> bool:
        """Whether its schemas can be used without being compiled first."""
        return self.arguments.is_compiled and (self.result is None or self.result.is_compiled)

    def compile(self) -> None:
        """Compile what is not; seconds of a processor, of a tool with many patterns."""
        self.arguments.compile()
        if self.result is not None:
            self.result.compile()


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRow:
    """One row in force, as the store has it."""

    kind: str
    key: str
    digest: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRows:
    """All rows in force and the revision that they are in force under."""

    revision: int
    rows: tuple[ControlRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What is in force.

    Attributes:
        policy_revision: digest of the bundle; empty before the first activation.
        agents: by id, from the credentials of class agent.
        credentials: by SHA-256 of the token.
        bindings: those that go with something else.
        observations: expired ones too.
        shadow: a second policy that is asked and decides nothing.
        directory: the people and places that operators have provisioned as known.
    """

    revision: int
    policy_revision: str
    tools: Mapping[str, RegisteredTool]
    grants: tuple[Grant, ...]
    freezes: tuple[Freeze, ...]
    agents: Mapping[str, Agent]
    credentials: Mapping[bytes, Credential]
    observations: tuple[Observation, ...] = ()
    shadow: Shadow | None = None
    directory: Directory = EMPTY
    bindings: Bindings = NO_BINDINGS
    legal_holds: tuple[LegalHold, ...] = ()
    retention: Retention = KEPT
    restored: RestoredAt = NEVER

    def tool_at(self, name: str, revision: str) -> RegisteredTool | None:
        """A tool, as long as it is of this revision: another may be read in another way."""
        tool = self.tools.get(name)
        return tool if tool is not None and tool.manifest.revision == revision else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCache:
    """What an earlier control was built of, so that a new one builds only what changed.

    Attributes:
        by_revision: compiled tools.
        directory: as it was of the rows with these digests.
    """

    by_revision: Mapping[str, RegisteredTool] = field(default_factory=dict)
    directory: Directory = EMPTY
    directory_digests: tuple[str, ...] = ()


def agents_of(credentials: Iterable[Credential]) -> Mapping[str, Agent]:
    """The agents that credentials speak of, each with the Person who answers for it."""
    return {
        c.subject: Agent(id=c.subject, owner=c.person)
        for c in credentials
        if c.credential_class == "agent" and c.person is not None
    }


def beside_each_other(tools: Iterable[RegisteredTool]) -> dict[str, RegisteredTool]:
    """All tools by name, each with the output that it has beside the others."""
    every = tuple(tools)
    written_by = writers(tool.manifest for tool in every)
    return {tool.manifest.name: _with_output(tool, written_by) for tool in every}


def _with_output(tool: RegisteredTool, written_by: Mapping[str, tuple[str, ...]]) -> RegisteredTool:
    output = effective_output(tool.manifest, written_by)
    return tool if output == tool.output else replace(tool, output=output)
