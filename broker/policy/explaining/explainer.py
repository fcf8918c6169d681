"""Asks and explains beside the way of calls: one at a time, none for longer than its deadline.

Following an answer is some tens of runs of OPA, which calls must not feel: whoever asks waits for
the one before. An explanation that is late is ended between two runs, and a run ends by itself.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable
from broker.policy.bundle import BundleRefused, PolicyBundle
from broker.policy.explaining.asking import asking
from broker.policy.explaining.explain import explain
from broker.ports import PolicyRefused

_T = TypeVar("_T")


class OpaExplainer:
    """Implements `ports.Explainer` over the pinned OPA."""

    def __init__(self, *, opa: Path, deadline_s: float = limits.EXPLANATION_DEADLINE_S) -> None:
        """Make one.

        Args:
            opa: the pinned binary.
            deadline_s: seconds for one explanation, waiting for others included.
        """
        self._opa = opa
        self._deadline_s = deadline_s
        self._one = asyncio.Lock()

    async def explain(
        self,
        kept: bytes,
        question: Mapping[str, JsonValue],
        *,
        revision: str,
        money: Mapping[str, str],
    ) -> Mapping[str, JsonValue]:
        """Ask a kept policy about a question, and follow how it came to its answer.

        Args:
            kept: a bundle as it was stored.
            question: a policy input.
            revision: that the bundle must be of.
            money: which of the question's integers are amounts, as `core.passing.money_in`.

        Raises:
            PolicyRefused: what is kept is not a bundle of that revision.
            PolicyUnavailable: OPA cannot be run, or was not done in time.
        """

        def work(bundle: PolicyBundle, ended: threading.Event) -> Mapping[str, JsonValue]:
            return explain(bundle, question, opa=self._opa, money=money, ended=ended).to_json()

        return await self._beside(kept, revision, work)

    async def answer(
        self, kept: bytes, question: Mapping[str, JsonValue], *, revision: str
    ) -> Opinion:
        """Ask a kept policy about a question.

        Args:
            kept: a bundle as it was stored.
            question: a policy input.
            revision: that the bundle must be of.

        Raises:
            PolicyRefused: what is kept is not a bundle of that revision.
            PolicyUnavailable: OPA cannot be run, or was not done in time.
        """

        def work(bundle: PolicyBundle, _ended: threading.Event) -> Opinion:
            with asking(bundle, opa=self._opa) as asked:
                (opinion,) = asked.opinions([question])
            return opinion

        return await self._beside(kept, revision, work)

    async def _beside(
        self, kept: bytes, revision: str, work: Callable[[PolicyBundle, threading.Event], _T]
    ) -> _T:
        ended = threading.Event()
        try:
            async with asyncio.timeout(self._deadline_s), self._one:
                return await asyncio.to_thread(lambda: work(_read(kept, revision), ended))
        except TimeoutError as error:
            raise PolicyUnavailable("The policy was not asked in time.") from error
        finally:
            ended.set()


def _read(kept: bytes, revision: str) -> PolicyBundle:
    try:
        bundle = PolicyBundle.from_bytes(kept)
    except BundleRefused as refused:
        raise PolicyRefused(refused.findings) from refused
    if bundle.revision != revision:
        raise PolicyRefused([f"what is kept under {revision} is another policy"])
    return bundle
