"""How well people review: how long it takes them, what they approve, and who hardly looks."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.review_quality import QUICK_S
from broker.core.sign_ins import SignIn
from broker.reviews.browsing import HOLDS_COUNTED_MAX
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers

_DAY_S = 86_400.0


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of figures."""

    async def show(request: Request, sign_in: SignIn) -> Response:
        view = await parts.records.browse.quality()
        by_days = {round(length_s / _DAY_S): one for length_s, one in view.by_window.items()}
        asked = request.query_params.get("days", "")
        days = next((one for one in by_days if str(one) == asked), min(by_days))
        return pages.page(
            request,
            "quality.html",
            sign_in=sign_in,
            view=view,
            days=days,
            windows=list(by_days),
            figures=by_days[days],
            quick_s=QUICK_S,
            holds_max=HOLDS_COUNTED_MAX,
        )

    return [Route("/quality", for_reviewers(parts, pages, show), methods=["GET"])]
