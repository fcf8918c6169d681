"""ReviewService: a Person looks at a hold and says yes or no to exactly what they were shown."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from broker.core.errors import Defect, StaleEtag
from broker.core.holds import Reviewer
from broker.reviews import HoldViews, Reviews
from broker.rpc.convert import malformed, require_text
from broker.rpc.convert_hold import hold_out
from broker.rpc.door import authenticated
from broker.rpc.paging import cursor_of, page_of, page_size_of
from broker.v1 import review_pb2, review_pb2_grpc

REASON_CHARACTERS_MAX = 1_000
_HOLDS = "holds"


class ReviewServicer(review_pb2_grpc.ReviewServiceServicer):
    """Asks `HoldViews` and `Reviews` on behalf of a reviewer."""

    def __init__(self, *, views: HoldViews, reviews: Reviews) -> None:
        self._views = views
        self._reviews = reviews

    async def ListHolds(
        self,
        request: review_pb2.ListHoldsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.ListHoldsResponse:
        """Holds, oldest first; a page may be short where only some are asked for."""
        size = page_size_of(request.page_size)
        found = await self._views.page(
            _reviewer(),
            include_decided=request.include_decided,
            page_size=size + 1,
            after=cursor_of(request.page_token, listing=_HOLDS),
        )
        page = page_of(found, size=size, listing=_HOLDS, cursor=lambda view: view.hold.name)
        return review_pb2.ListHoldsResponse(
            holds=[hold_out(v) for v in page.items if v.eligible or not request.only_eligible],
            next_page_token=page.next_page_token,
        )

    async def GetHold(
        self,
        request: review_pb2.GetHoldRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.GetHoldResponse:
        """One hold with all that its reviewer is shown."""
        require_text(request.name, field="name")
        view = await self._views.show(_reviewer(), request.name)
        return review_pb2.GetHoldResponse(hold=hold_out(view))

    async def WatchHolds(
        self,
        request: review_pb2.WatchHoldsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[review_pb2.WatchHoldsResponse]:
        """Each hold that opens or changes."""
        async for view in self._views.watch(_reviewer()):
            yield review_pb2.WatchHoldsResponse(hold=hold_out(view))

    async def ApproveHold(
        self,
        request: review_pb2.ApproveHoldRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.ApproveHoldResponse:
        """Say yes."""
        require_text(request.name, field="name")
        view = await self._reviews.approve(
            _reviewer(),
            request.name,
            etag=_etag(request.etag),
            reason=_reason(request.reason),
            call_digest=request.call_digest,
        )
        return review_pb2.ApproveHoldResponse(hold=hold_out(view))

    async def RejectHold(
        self,
        request: review_pb2.RejectHoldRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.RejectHoldResponse:
        """Say no."""
        require_text(request.name, field="name")
        require_text(request.reason.strip(), field="reason", characters_max=REASON_CHARACTERS_MAX)
        view = await self._reviews.reject(
            _reviewer(),
            request.name,
            etag=_etag(request.etag),
            reason=_reason(request.reason),
        )
        return review_pb2.RejectHoldResponse(hold=hold_out(view))


def _reviewer() -> Reviewer:
    credential = authenticated()
    if credential.person is None:
        raise Defect("A reviewer's credential names no Person.")
    return Reviewer(name=credential.subject, person=credential.person, groups=credential.groups)


def _etag(text: str) -> int:
    """What was shown. Any text that no hold has is stale, like any number that it has no more."""
    require_text(text, field="etag")
    if not (text.isascii() and text.isdecimal()):
        raise StaleEtag("The hold has changed since it was shown. Look at it again.")
    return int(text)


def _reason(text: str) -> str:
    if len(text) > REASON_CHARACTERS_MAX:
        raise malformed("reason", f"A reason has at most {REASON_CHARACTERS_MAX} characters.")
    return text.strip()
