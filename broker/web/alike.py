"""Alike holds on one page: what they share once, whatever differs of each, and what it comes to.

Each is approved by the etag and digest that it was shown with; a rejection is one for each. Nothing
is cut here: what cannot be compared at a glance is better decided by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from broker.core.alike import ALIKE_MAX
from broker.core.errors import CallerError, MalformedRequest, NotFound
from broker.core.holds import Reviewer
from broker.core.sign_ins import SignIn
from broker.reviews import HoldView, Left, QueueRow, Shown
from broker.reviews.selecting import ALIKE_MIN, alike_kinds
from broker.web.flashes import Flash, flash
from broker.web.holds import REASONS, etag_in, text_in
from broker.web.pages import Pages
from broker.web.parts import WebParts
from broker.web.queue import counts
from broker.web.reading import Reading, read
from broker.web.requests import for_reviewers
from broker.web.telling import Told, amount

_GONE: Final = "Fewer than two of these wait for you now."


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """A hold among those that are alike, by what it does not share with them."""

    view: HoldView
    told: Reading
    differing: tuple[Told | None, ...]
    amount: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Holds side by side.

    Attributes:
        shared: what all have, by name.
        names: of what differs, in the order of each one's `differing`.
        sums: in money, a text for each currency; empty where no call is about money.
    """

    shared: tuple[tuple[str, Told], ...]
    names: tuple[str, ...]
    ones: tuple[One, ...]
    sums: tuple[str, ...]


def routes(parts: WebParts, pages: Pages) -> list[BaseRoute]:
    """The page of alike holds, and the two things that are done with it."""
    alike = _Alike(parts, pages)
    return [
        Route("/together", for_reviewers(parts, pages, alike.show), methods=["GET"]),
        Route("/together/approve", for_reviewers(parts, pages, alike.approve), methods=["POST"]),
        Route("/together/reject", for_reviewers(parts, pages, alike.reject), methods=["POST"]),
    ]


def compare(views: Sequence[HoldView]) -> Compared:
    """Several holds by what they share and what differs."""
    told = [read(view) for view in views]
    leaves = [_leaves(one) for one in told]
    names = list(dict.fromkeys(name for one in leaves for name in one))
    shared, differing = [], []
    for name in names:
        values = [one.get(name) for one in leaves]
        first = values[0]
        if first is not None and all(value == first for value in values):
            shared.append((name, first))
        else:
            differing.append(name)
    return Compared(
        shared=tuple(shared),
        names=tuple(differing),
        ones=tuple(
            One(
                view=view,
                told=read_,
                differing=tuple(of.get(name) for name in differing),
                amount=read_.amount,
            )
            for view, read_, of in zip(views, told, leaves, strict=True)
        ),
        sums=_sums(views),
    )


class _Alike:
    def __init__(self, parts: WebParts, pages: Pages) -> None:
        self._parts = parts
        self._pages = pages

    async def show(self, request: Request, sign_in: SignIn) -> Response:
        me, now = sign_in.reviewer, self._parts.clock()
        rows = await self._parts.views.queue(me)
        alike = alike_kinds(rows, me, now=now).get(request.query_params.get("alike", ""), [])
        if len(alike) < ALIKE_MIN:
            return self._pages.problem(request, _GONE, status=404, sign_in=sign_in)
        views = [await self._parts.views.show(me, row.hold.name) for row in alike[:ALIKE_MAX]]
        return self._pages.page(
            request,
            "together.html",
            sign_in=sign_in,
            compared=compare(views),
            more=len(alike) - len(views),
            reasons=REASONS,
            counts=counts(rows, me, now=now),
            take_back_s=self._parts.take_back_s,
        )

    async def approve(self, request: Request, sign_in: SignIn) -> Response:
        """Say yes to each that is ticked, as it was shown."""
        async with request.form(max_fields=200, max_files=0) as form:
            shown = _ticked(form)
            if len(shown) < ALIKE_MIN:
                raise MalformedRequest("Tick two or more, or decide on one on its own page.")
            left = await self._parts.together.approve(
                sign_in.reviewer, shown, take_back_s=self._parts.take_back_s
            )
        return await self._done(request, sign_in, shown, left)

    async def reject(self, request: Request, sign_in: SignIn) -> Response:
        """Say no to each that is ticked, with one reason."""
        left: list[Left] = []
        async with request.form(max_fields=200, max_files=0) as form:
            shown, reason = _ticked(form), text_in(form, "reason")
            if not shown or len(shown) > ALIKE_MAX:
                raise MalformedRequest(f"Tick from 1 to {ALIKE_MAX} of them.")
            for one in shown:
                try:
                    await self._parts.reviews.reject(
                        sign_in.reviewer, one.name, etag=one.etag, reason=reason
                    )
                except CallerError as error:
                    left.append(Left(name=one.name, why=str(error)))
        return await self._done(request, sign_in, shown, left)

    async def _done(
        self, request: Request, sign_in: SignIn, shown: Sequence[Shown], left: Sequence[Left]
    ) -> Response:
        """What came of each."""
        me, now = sign_in.reviewer, self._parts.clock()
        rows = await self._parts.views.queue(me)
        why = {one.name: one.why for one in left}
        return self._pages.page(
            request,
            "together_done.html",
            sign_in=sign_in,
            outcomes=[(of, why.get(of.name, "")) for of in await self._flashes(me, shown, now=now)],
            counts=counts(rows, me, now=now),
        )

    async def _flashes(self, me: Reviewer, shown: Sequence[Shown], *, now: float) -> list[Flash]:
        found: list[QueueRow] = []
        for one in shown:
            try:
                found.append(await self._parts.views.row(me, one.name))
            except NotFound:
                continue
        return [flash(row, me, now=now) for row in found]


def _ticked(form: FormData) -> list[Shown]:
    """Those that are ticked: `hold etag digest` of each as it was shown.

    Raises:
        MalformedRequest: one is not as the page wrote it.
    """
    found: list[Shown] = []
    for text in form.getlist("one"):
        parts = text.split(" ") if isinstance(text, str) else []
        if len(parts) != 3:  # noqa: PLR2004 - as above
            raise MalformedRequest("This is not what the page showed.")
        name, etag, digest = parts
        number = etag_in(FormData([("etag", etag)]))
        found.append(Shown(name=name, etag=number, call_digest=digest or "none was shown"))
    return found


def _leaves(told: Reading) -> Mapping[str, Told]:
    """Everything that a hold's page says of its call, by a name for each."""
    found: dict[str, Told] = {}
    for line in told.lines:
        found[line.label] = line.value
        for known in line.known:
            name = f"{known.label}, looked up"
            found[f"{name} for {line.label}" if name in found else name] = known.value
    for at, words in enumerate(told.words):
        found["the user's words" if not at else f"the user's words, {at + 1}"] = words
    for at, change in enumerate(told.changes):
        text = f"{change.before.text} → {change.after.text}"
        found[f"change {at + 1}: {change.label.text}"] = Told(
            text=text, letters=(*change.before.letters, *change.after.letters)
        )
    return {
        name: Told(text=v.text, is_fenced=v.is_fenced, letters=v.letters)
        for name, v in found.items()
    }


def _sums(views: Sequence[HoldView]) -> tuple[str, ...]:
    sums: dict[str, int] = {}
    for view in views:
        if view.hold.amount_minor is not None:
            currency = view.hold.currency
            sums[currency] = sums.get(currency, 0) + view.hold.amount_minor
    return tuple(amount(minor, currency) for currency, minor in sums.items())
