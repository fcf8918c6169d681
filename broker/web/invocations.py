"""One call with its whole story, and why it was decided so where that is asked for.

Working out why asks the policy many times over, so it is done when somebody asks, one at a time.
"""

import json
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.errors import BrokerError
from broker.core.previews import changes_of
from broker.core.review_view import ArgumentView
from broker.core.sign_ins import SignIn
from broker.core.summary import format_money
from broker.core.text import visible
from broker.reviews.stories import Story
from broker.web.explained import ExplainedTold, told_of
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.reading import SOURCES, UNTRUSTED, Change, change_told
from broker.web.requests import for_reviewers
from broker.web.telling import Told, name_of, told

RESULT_CHARACTERS_MAX = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the tool answered.

    Attributes:
        text: of its JSON the first `RESULT_CHARACTERS_MAX` characters.
        bytes_all: of all of it.
        is_cut: whether there is more.
        is_untrusted: whether strangers may have written it.
    """

    text: str
    bytes_all: int
    is_cut: bool
    is_untrusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One argument: its value as it runs, what was asked for where that differs, and its source."""

    label: str
    pointer: str
    value: Told
    asked: Told | None
    source: str
    is_untrusted: bool
    origins: tuple[str, ...]


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of one call."""

    async def show(request: Request, sign_in: SignIn) -> Response:
        name = f"invocations/{request.path_params['invocation']}"
        story = await parts.records.stories.tell(name)
        is_asked = request.query_params.get("explain") == "1"
        explained, problem = await _explained(parts, name) if is_asked else (None, "")
        return pages.page(
            request,
            "invocation.html",
            sign_in=sign_in,
            story=story,
            call=story.invocation,
            leaves=_leaves(story),
            previews=_previews(story),
            result=_result(story),
            explained=explained,
            problem=problem,
        )

    return [Route("/invocations/{invocation}", for_reviewers(parts, pages, show), methods=["GET"])]


async def _explained(parts: WebParts, name: str) -> tuple[ExplainedTold | None, str]:
    """Why, or why there is no answer."""
    try:
        return told_of(await parts.records.looking.explain(name)), ""
    except BrokerError as error:
        return None, str(error)


def _result(story: Story) -> Result | None:
    invocation = story.invocation
    if invocation.result is None:
        return None
    text = invocation.result.decode("utf-8", "backslashreplace")
    return Result(
        text=text[:RESULT_CHARACTERS_MAX],
        bytes_all=len(invocation.result),
        is_cut=len(text) > RESULT_CHARACTERS_MAX,
        is_untrusted=story.is_untrusted,
    )


def _leaves(story: Story) -> list[Leaf]:
    """What runs, or ran; then what was asked for and was left out by a reviewer."""
    before = {one.pointer: one.asked_json for one in story.narrowed}
    currency = next((hold.currency for hold, _ in story.holds if hold.currency), "")
    kept = [
        _leaf(one, before.pop(one.pointer, ""), f"v{number}", currency)
        for number, one in enumerate(story.arguments)
    ]
    gone = [
        Leaf(
            label=name_of(pointer),
            pointer=pointer,
            value=told("left out"),
            asked=told(json.loads(text)),
            source="",
            is_untrusted=False,
            origins=(),
        )
        for pointer, text in before.items()
        if text
    ]
    return [*kept, *gone]


def _leaf(one: ArgumentView, before: str, key: str, currency: str) -> Leaf:
    is_money = bool(currency) and one.rendered.startswith(f"{currency} ")
    asked = json.loads(before) if before else None
    rendered = format_money(asked, currency) if before and is_money else ""
    return Leaf(
        label=name_of(one.pointer, rendered=one.rendered),
        pointer=one.pointer,
        value=told(json.loads(one.value_json), key=key, rendered=one.rendered),
        asked=told(asked, rendered=rendered) if before else None,
        source=_source(one),
        is_untrusted=one.provenance in UNTRUSTED,
        origins=one.origins,
    )


def _source(one: ArgumentView) -> str:
    """In words; where it is a result, whose is said beside it."""
    is_result = one.provenance in {"trusted_result", "untrusted_result"} and one.origins
    return "result of" if is_result else SOURCES.get(one.provenance, visible(one.provenance))


def _previews(story: Story) -> dict[str, list[Change]]:
    """What the tool said that would change, by the call that asked it."""
    return {
        hold.preview.invocation: [
            change_told(one, f"p{number}_{at}") for at, one in enumerate(changes_of(hold.preview))
        ]
        for number, (hold, _) in enumerate(story.holds)
        if hold.preview is not None and not hold.preview.error
    }
