"""For what policy marks high, a reviewer shows anew who they are: for one hold, as it is now.

The provider is asked to sign them in again, whoever is signed in there. What comes of it is good
for one approval, by this sign-in, of exactly this hold (`SpendStepUp`).
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.errors import IllegalTransition, NotPermitted
from broker.core.holds import needs_step_up
from broker.core.lifecycle import HoldState
from broker.core.sign_ins import SignIn
from broker.web.journeys import Fresh
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.requests import for_reviewers
from broker.web.signing_in import Doors

LOCAL: Final = (
    "This hold needs a fresh sign-in at a sign-in service (web.oidc), which the one-time link of "
    "this machine does not replace. Somebody else decides on it, or you reject it."
)


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The way to a fresh sign-in for a hold."""
    doors = Doors(parts, pages)

    async def step_up(request: Request, sign_in: SignIn) -> Response:
        view = await parts.views.show(sign_in.reviewer, f"holds/{request.path_params['hold']}")
        hold = view.hold
        if not view.eligible:
            raise NotPermitted(view.ineligible_reason)
        if hold.state is not HoldState.PENDING:
            raise IllegalTransition(f"The hold is {hold.state} already.")
        if not needs_step_up(hold.requirements):
            raise IllegalTransition("This hold needs no fresh sign-in.")
        if sign_in.how != "oidc" or parts.provider is None:
            raise NotPermitted(LOCAL)
        fresh = Fresh(
            sign_in=sign_in.digest.hex(),
            hold=hold.name,
            etag=hold.etag,
            call_digest=hold.call_digest,
        )
        return await doors.leave(request, next_path=f"/{hold.name}", fresh=fresh)

    page = for_reviewers(parts, pages, step_up)
    return [Route("/holds/{hold}/step-up", page, methods=["GET"])]
