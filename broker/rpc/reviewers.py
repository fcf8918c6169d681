"""ReviewService: a Person looks at a hold and says yes or no to exactly what they were shown."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from broker.core.arguments import JsonValue, MalformedJson, parse_value
from broker.core.errors import Defect
from broker.core.holds import Reviewer
from broker.core.limits import ARGUMENTS_BYTES_MAX
from broker.reviews import Handling, HoldViews, Reviews, Shown, Together
from broker.reviews.deciding import TAKE_BACK_S_MAX
from broker.reviews.docket import etag_of
from broker.rpc.convert import malformed, require_text
from broker.rpc.convert_hold import hold_out
from broker.rpc.door import authenticated
from broker.rpc.paging import cursor_of, page_of, page_size_of
from broker.v1 import review_pb2, review_pb2_grpc

REASON_CHARACTERS_MAX = 1_000
_HOLDS = "holds"


class ReviewServicer(review_pb2_grpc.ReviewServiceServicer):
    """Asks the reviewer's use cases on behalf of a reviewer."""

    def __init__(
        self, *, views: HoldViews, reviews: Reviews, handling: Handling, together: Together
    ) -> None:
        self._views = views
        self._reviews = reviews
        self._handling = handling
        self._together = together

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
            take_back_s=_take_back_s(request.take_back_s),
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

    async def TakeBackApproval(
        self,
        request: review_pb2.TakeBackApprovalRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.TakeBackApprovalResponse:
        """Take one's own approval back."""
        require_text(request.name, field="name")
        view = await self._reviews.take_back(_reviewer(), request.name, etag=_etag(request.etag))
        return review_pb2.TakeBackApprovalResponse(hold=hold_out(view))

    async def TakeHold(
        self,
        request: review_pb2.TakeHoldRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.TakeHoldResponse:
        """Be at it."""
        require_text(request.name, field="name")
        view = await self._handling.take(_reviewer(), request.name)
        return review_pb2.TakeHoldResponse(hold=hold_out(view))

    async def GiveBackHold(
        self,
        request: review_pb2.GiveBackHoldRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.GiveBackHoldResponse:
        """Be at it no more."""
        require_text(request.name, field="name")
        view = await self._handling.give_back(_reviewer(), request.name)
        return review_pb2.GiveBackHoldResponse(hold=hold_out(view))

    async def AskSecondReview(
        self,
        request: review_pb2.AskSecondReviewRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.AskSecondReviewResponse:
        """Ask for one Person more."""
        require_text(request.name, field="name")
        view = await self._handling.ask_second(
            _reviewer(),
            request.name,
            etag=_etag(request.etag),
            reason=_reason(request.reason),
        )
        return review_pb2.AskSecondReviewResponse(hold=hold_out(view))

    async def NarrowHold(
        self,
        request: review_pb2.NarrowHoldRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.NarrowHoldResponse:
        """Approve less."""
        require_text(request.name, field="name")
        view = await self._handling.narrow(
            _reviewer(),
            request.name,
            etag=_etag(request.etag),
            changes=_changes(request.changes_json),
            reason=_reason(request.reason),
        )
        return review_pb2.NarrowHoldResponse(hold=hold_out(view))

    async def ApproveAlikeHolds(
        self,
        request: review_pb2.ApproveAlikeHoldsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> review_pb2.ApproveAlikeHoldsResponse:
        """Say yes to several."""
        left = await self._together.approve(
            _reviewer(),
            [
                Shown(name=one.name, etag=_etag(one.etag), call_digest=one.call_digest)
                for one in request.holds
            ],
            reason=_reason(request.reason),
            take_back_s=_take_back_s(request.take_back_s),
        )
        return review_pb2.ApproveAlikeHoldsResponse(
            left=[review_pb2.LeftHold(name=one.name, why=one.why) for one in left]
        )


def _reviewer() -> Reviewer:
    credential = authenticated()
    if credential.person is None:
        raise Defect("A reviewer's credential names no Person.")
    return Reviewer(name=credential.subject, person=credential.person, groups=credential.groups)


def _etag(text: str) -> int:
    """What was shown. Any text that no hold has is stale, like any number that it has no more."""
    require_text(text, field="etag")
    return etag_of(text)


def _changes(changes_json: Mapping[str, str]) -> dict[str, JsonValue]:
    changes: dict[str, JsonValue] = {}
    for pointer, text in changes_json.items():
        try:
            changes[pointer] = parse_value(text.encode(), bytes_max=ARGUMENTS_BYTES_MAX)
        except MalformedJson as broken:
            raise malformed("changes_json", str(broken)) from None
    return changes


def _take_back_s(seconds: int) -> int:
    if not 0 <= seconds <= TAKE_BACK_S_MAX:
        raise malformed("take_back_s", f"This is from 0 to {TAKE_BACK_S_MAX:.0f} seconds.")
    return seconds


def _reason(text: str) -> str:
    if len(text) > REASON_CHARACTERS_MAX:
        raise malformed("reason", f"A reason has at most {REASON_CHARACTERS_MAX} characters.")
    return text.strip()
