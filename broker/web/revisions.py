"""What decides: policy and tools in force and before, and what operators have set beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.administration.looking import RulesView, ToolRevision
from broker.core.control import RegisteredTool
from broker.core.shadowing import Transition
from broker.core.sign_ins import SignIn
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """A tool in force, and its earlier revisions, newest first."""

    tool: RegisteredTool
    since: float | None
    before: tuple[ToolRevision, ...]


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of policy and tools."""

    async def show(request: Request, sign_in: SignIn) -> Response:
        view = await parts.records.looking.rules()
        names = {tool.manifest.name for tool in view.tools}
        return pages.page(
            request,
            "policy.html",
            sign_in=sign_in,
            view=view,
            tools=[_row(tool, view) for tool in view.tools],
            gone=[one for one in view.revisions if one.name not in names],
            differences=_differences(view),
        )

    return [Route("/policy", for_reviewers(parts, pages, show), methods=["GET"])]


def _row(tool: RegisteredTool, view: RulesView) -> ToolRow:
    own = [one for one in view.revisions if one.name == tool.manifest.name]
    return ToolRow(
        tool=tool,
        since=next((one.first_at for one in own if one.is_in_force), None),
        before=tuple(one for one in own if not one.is_in_force),
    )


def _differences(view: RulesView) -> list[tuple[str, str, int]]:
    """What was decided, what the shadow would have decided, and how often."""
    if view.shadow is None:
        return []
    counted: Mapping[Transition, int] = view.shadow.tally.differences
    return [(before.name, after.name, calls) for (before, after), calls in counted.items()]
