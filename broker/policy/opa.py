"""Asks OPA; each way in which it can fail to answer is DENY or "nothing was decided".

OPA is asked at one path with built-in errors strict, within a deadline; an OPA of our own also by
groups (`grouping`), whose answers are those that each question would have had alone. Late, erring,
undefined, malformed or of another revision is DENY with a code of its own. Only where there is
nobody to ask is it PolicyUnavailable. A deadline that passes closes the connection, and that stops
OPA's evaluation: a rule that loops costs its own call and no more.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, Self

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes
from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable
from broker.core.question_schema import EXAMPLE
from broker.policy.grouping import GROUP_ROOT, GROUP_RULE, Grouping
from broker.policy.opa_socket import OpaFailed, OverSocket
from broker.policy.opinion import denied, opinion_of, opinions_of

WARM_UP_DEADLINE_S: Final = 5.0
LOOK_DEADLINE_S: Final = 1.0
"""For a question of whether it answers: whoever asks waits for it."""
# OPA ignores `=1` in silence, and then a rule whose built-in fails is merely undefined.
_STRICT: Final = "strict-builtin-errors=true"
_ALONE: Final = f"/v1/data/broker/decision/decision?{_STRICT}"
_TOGETHER: Final = f"/v1/data/{GROUP_ROOT}/{GROUP_RULE}?{_STRICT}"


class Client(Protocol):
    """How OPA is reached; has no deadline of its own."""

    async def post(self, path: str, body: bytes) -> JsonValue:
        """Ask, once.

        Raises:
            OpaFailed: with POLICY_ERROR or POLICY_MALFORMED.
            PolicyUnavailable: nobody is there, or the connection broke.
        """
        ...

    async def check_health(self) -> bool:
        """Whether it says that it is well."""
        ...

    async def close_connection(self) -> None:
        """Close every connection; requests under way end as PolicyUnavailable."""
        ...


class Opa:
    """The decision point over OPA's Data API. Construct by `over_socket` or `over_url`."""

    def __init__(self, client: Client, *, revision: str, takes_groups: bool) -> None:
        self._client = client
        self._revision = revision
        self._asks = _Asks(client, revision)
        self._is_away = False
        self._grouping = (
            Grouping(asks=self._asks, revision=revision, places=os.cpu_count() or 1)
            if takes_groups
            else None
        )

    @classmethod
    async def over_socket(
        cls, path: Path, *, token: str, revision: str, takes_groups: bool = False
    ) -> Self:
        """An OPA on a unix socket. Nothing is sent yet.

        Args:
            path: of the socket.
            token: the bearer token that its `system.authz` admits.
            revision: of the bundle that it must answer from.
            takes_groups: `grouping.GROUP_MODULE` lies beside that bundle.
        """
        client = OverSocket(path, token=token)
        return cls(client, revision=revision, takes_groups=takes_groups)

    @classmethod
    async def over_url(
        cls, url: str, *, token: str, revision: str, ca_file: Path | None = None
    ) -> Self:
        """An OPA that somebody else runs. Nothing is sent yet, and it is asked no groups.

        Args:
            url: `https://host[:port]`; `http` to this machine alone, as the answer is the decision.
            token: the bearer token that its `system.authz` admits.
            revision: of the bundle that it must answer from.
            ca_file: PEM of the authority to trust instead of the system's.

        Raises:
            ValueError: not such a URL.
            OSError: `ca_file` cannot be read.
        """
        # Loaded by whoever has such an OPA alone: it is a twelfth of an idle broker's memory.
        from broker.policy.opa_elsewhere import connect  # noqa: PLC0415

        client = await connect(url, token=token, ca_file=ca_file)
        return cls(client, revision=revision, takes_groups=False)

    @property
    def revision(self) -> str:
        """Digest of the bundle that must answer."""
        return self._revision

    async def evaluate(self, question: Mapping[str, JsonValue], *, deadline_s: float) -> Opinion:
        """What policy says of a call.

        Args:
            question: the policy input.
            deadline_s: seconds, from now, waiting for a connection included.

        Returns:
            The verdicts and obligations, or one DENY: POLICY_LATE, POLICY_ERROR, POLICY_UNDEFINED,
            POLICY_MALFORMED or POLICY_WRONG_REVISION.

        Raises:
            PolicyUnavailable: nobody is there, or the connection broke; nothing was decided.
        """
        try:
            asked = canonical_bytes(dict(question))
        except ValueError:
            return denied("POLICY_MALFORMED", revision=self._revision)
        if self._grouping is not None:
            return await self._grouping.ask(asked, key=_key(question), deadline_s=deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                opinion = await self._asks.one(asked)
        except (TimeoutError, PolicyUnavailable) as away:
            self._is_away = True
            if isinstance(away, PolicyUnavailable):
                raise
            return denied("POLICY_LATE", revision=self._revision)
        self._is_away = False
        return opinion

    async def warm_up(self) -> str:
        """Ask the question that asks for nothing; the code of what is wrong, empty if nothing is.

        Raises:
            PolicyUnavailable: nobody is there.
        """
        opinion = await self.evaluate(EXAMPLE, deadline_s=WARM_UP_DEADLINE_S)
        code = opinion.verdicts[0].code
        return code if code.startswith("POLICY_") else ""

    async def is_answering(self) -> bool:
        """Whether the last question had an answer in time; where not, one is asked."""
        if self._is_away:
            with contextlib.suppress(PolicyUnavailable):
                await self.evaluate(EXAMPLE, deadline_s=LOOK_DEADLINE_S)
        return not self._is_away

    async def is_alive(self, *, deadline_s: float) -> bool:
        """Whether OPA answers that it is well."""
        try:
            async with asyncio.timeout(deadline_s):
                return bool(await self._client.check_health())
        except TimeoutError:
            return False

    async def close(self) -> None:
        """Close every connection; evaluations under way end as PolicyUnavailable."""
        if self._grouping is not None:
            self._grouping.close()
        await self._client.close_connection()


class _Asks:
    """Implements `grouping.Asks`; has no deadline of its own."""

    def __init__(self, client: Client, revision: str) -> None:
        self._client = client
        self._revision = revision

    async def one(self, question: bytes) -> Opinion:
        try:
            answer = await self._client.post(_ALONE, b'{"input":%b}' % question)
        except OpaFailed as failed:
            return denied(failed.code, revision=self._revision)
        return opinion_of(answer, revision=self._revision)

    async def many(self, questions: Sequence[bytes]) -> Sequence[Opinion] | None:
        try:
            answer = await self._client.post(
                _TOGETHER, b'{"input":{"batch":[%b]}}' % b",".join(questions)
            )
        except OpaFailed:
            return None
        answers = answer.get("result") if isinstance(answer, dict) else None
        asked = {str(number) for number in range(len(questions))}
        if not isinstance(answers, dict) or not answers.keys() <= asked:
            return None
        return opinions_of(answers, len(questions), revision=self._revision)


def _key(question: Mapping[str, JsonValue]) -> tuple[str, str]:
    call, agent = question.get("call"), question.get("agent")
    return (
        str(call.get("tool")) if isinstance(call, dict) else "",
        str(agent.get("id")) if isinstance(agent, dict) else "",
    )
