"""Asks one bundle many questions at once, where no call waits for the answers.

Each question is answered as the broker would read it: undefined, erring, late, malformed or of
another revision is DENY with its code. One question that errs or loops spoils the batch that it is
in, so such a batch is asked again by halves until the one is alone, and pays for itself.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Opinion
from broker.core.errors import PolicyUnavailable
from broker.policy.opa_command import ENTRY_POINT
from broker.policy.opinion import denied, opinion_of

BATCH_DEADLINE_S: Final = 60.0
ALONE_DEADLINE_S: Final = 3.0
BATCH_CHARACTERS_MAX: Final = 8 * 1024 * 1024
# The reference behind `with input as` must be bound first: OPA takes any other for undefined.
_QUERY: Final = (
    "{number: decision | some number, asked in input.batch; "
    f"decision := {ENTRY_POINT} with input as asked}}"
)
# Nothing of the caller's; memory is traded for a third of the time.
_ENVIRONMENT: Final = {"GOGC": "400"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyQuestions:
    """One bundle, ready to be asked.

    Attributes:
        opa: the pinned binary.
        bundle: what OPA loads, as a file that stays as it is.
        revision: that its answers must come from.
        batch_deadline_s, alone_deadline_s: for a batch, and for a question that is asked alone.
    """

    opa: Path
    bundle: Path
    revision: str
    batch_deadline_s: float = BATCH_DEADLINE_S
    alone_deadline_s: float = ALONE_DEADLINE_S

    def ask(self, questions: Sequence[Mapping[str, JsonValue]]) -> list[Opinion]:
        """What policy says of each, in their order. Blocks for as long as OPA takes.

        Raises:
            PolicyUnavailable: OPA cannot be run.
        """
        opinions: list[Opinion] = []
        for batch in _batches([json.dumps(question) for question in questions]):
            opinions += self._ask(batch, self.batch_deadline_s)
        return opinions

    def _ask(self, questions: list[str], deadline_s: float) -> list[Opinion]:
        if not questions:
            return []
        deadline_s = self.alone_deadline_s if len(questions) == 1 else deadline_s
        answers, failed = self._answers(questions, deadline_s)
        if answers is not None:
            return [self._opinion(answers.get(str(number))) for number in range(len(questions))]
        if len(questions) == 1:
            return [denied(failed, revision=self.revision)]
        half, less_s = len(questions) // 2, max(deadline_s / 2, self.alone_deadline_s)
        return self._ask(questions[:half], less_s) + self._ask(questions[half:], less_s)

    def _opinion(self, answer: JsonValue) -> Opinion:
        return opinion_of({} if answer is None else {"result": answer}, revision=self.revision)

    def _answers(
        self, questions: list[str], deadline_s: float
    ) -> tuple[Mapping[str, JsonValue] | None, str]:
        """The answers by number, or None and the code of why there are none."""
        command = [
            *(str(self.opa), "eval", "--bundle", str(self.bundle), "--format=raw"),
            *("--strict-builtin-errors", "--stdin-input", _QUERY),
        ]
        try:
            ended = subprocess.run(  # noqa: S603 - a path and flags, no shell
                command,
                env=_ENVIRONMENT,
                input=f'{{"batch":[{",".join(questions)}]}}'.encode(),
                capture_output=True,
                timeout=deadline_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, "POLICY_LATE"
        except OSError as error:
            raise PolicyUnavailable("OPA cannot be run.") from error
        if ended.returncode != 0:
            return None, "POLICY_ERROR"
        try:
            answers = json.loads(ended.stdout)
        except ValueError:
            return None, "POLICY_MALFORMED"
        return (answers, "") if isinstance(answers, dict) else (None, "POLICY_MALFORMED")


def _batches(questions: Sequence[str]) -> Iterator[list[str]]:
    """Cut where a batch would become large; one that is large by itself is alone."""
    batch: list[str] = []
    characters = 0
    for question in questions:
        if batch and characters + len(question) > BATCH_CHARACTERS_MAX:
            yield batch
            batch, characters = [], 0
        batch.append(question)
        characters += len(question)
    if batch:
        yield batch
