"""An explainer that says what it was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion


@dataclass(kw_only=True)
class FakeExplainer:
    """Implements `ports.Explainer`; `error` is raised instead of an answer."""

    asked: list[tuple[bytes, Mapping[str, JsonValue]]] = field(default_factory=list)
    error: Exception | None = None
    opinion: Opinion | None = None

    async def answer(
        self, kept: bytes, question: Mapping[str, JsonValue], *, revision: str
    ) -> Opinion:
        self.asked.append((kept, question))
        if self.error is not None:
            raise self.error
        return self.opinion or Opinion(verdicts=(), policy_revision=revision)

    async def explain(
        self,
        kept: bytes,
        question: Mapping[str, Any],
        *,
        revision: str,
        money: Mapping[str, str],
    ) -> Mapping[str, JsonValue]:
        self.asked.append((kept, question))
        if self.error is not None:
            raise self.error
        return {
            "policy_revision": revision,
            "effect": "HOLD",
            "tool": question["call"]["tool"],
            "money": {**money},
        }
