"""An agent's files: uploaded into one session, read back in that session, and erased after it.

Whoever asks has proved to be the session's own agent (`sessions.Sessions.caller`); a name, however
it was come by, opens nothing to anybody else. What an agent uploads may be anything, so that it is
labelled as the worst. A transfer has a deadline and few go on at once, because each holds a file in
memory: one that stalls or stops half-way leaves nothing behind.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from broker.core import limits
from broker.core.artefacts import (
    MADE_BY_AGENT,
    NAME_BYTES,
    Artefact,
    FileNameRefused,
    Stored,
    erased_at,
    is_name,
    new_name,
    require_file_name,
)
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller
from broker.core.canonical import content_digest
from broker.core.errors import (
    Defect,
    LimitExceeded,
    MalformedRequest,
    NotFound,
    OutcomeUnstored,
    StoreUnavailable,
)
from broker.core.labels import WORST
from broker.core.unit import (
    AddArtefact,
    Conflict,
    ConflictOn,
    TouchSession,
    Unit,
)
from broker.own_work import OwnWork
from broker.ports import Clock, Store
from broker.sessions import check_open

_NO_ARTEFACT: Final = "There is no such artefact."


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What an agent says of a file before it sends it.

    Attributes:
        size: bytes; not one more or less is taken.
        sha256: `sha256:` and 64 hexadecimal digits, or empty; what comes must match it.
    """

    file_name: str
    size: int
    sha256: str = ""


@dataclass(slots=True)
class Transfers:
    """How many files are on their way. For one event loop."""

    of_agent_max: int = limits.TRANSFERS_OF_AGENT_MAX
    in_all_max: int = limits.TRANSFERS_UNDER_WAY_MAX
    _of_agent: Counter[str] = field(default_factory=Counter)

    @property
    def under_way(self) -> int:
        """How many there are."""
        return self._of_agent.total()

    @contextlib.contextmanager
    def one(self, agent: str) -> Iterator[None]:
        """Take part while the block runs.

        Raises:
            LimitExceeded: too many are.
        """
        if self._of_agent[agent] >= self.of_agent_max:
            raise LimitExceeded(f"An agent has at most {self.of_agent_max} transfers under way.")
        if self.under_way >= self.in_all_max:
            raise LimitExceeded("Too many transfers are under way.")
        self._of_agent[agent] += 1
        try:
            yield
        finally:
            self._of_agent[agent] -= 1
            if not self._of_agent[agent]:
                del self._of_agent[agent]


class Artefacts:
    """Files of sessions, as their agents see them."""

    def __init__(
        self,
        *,
        store: Store,
        own: OwnWork,
        clock: Clock,
        deadline_s: float = limits.TRANSFER_DEADLINE_S,
        chunk_deadline_s: float = limits.TRANSFER_CHUNK_DEADLINE_S,
    ) -> None:
        """Make one; a whole transfer and each chunk of it come in time, or it is over."""
        self._store = store
        self._own = own
        self._clock = clock
        self._deadline_s = deadline_s
        self._chunk_deadline_s = chunk_deadline_s
        self.transfers = Transfers()

    async def create(
        self, caller: Caller, upload: Upload, chunks: AsyncIterator[bytes]
    ) -> Artefact:
        """Take a file in.

        Args:
            caller: whose session it will be of.
            upload: what it is said to be.
            chunks: what is in it, in order.

        Raises:
            MalformedRequest: its name is no plain file name; it is longer or shorter than was said,
                or something else; or it did not come in time.
            LimitExceeded: it is too large, the session has no room for it, or too many transfers
                are under way.
            IllegalTransition: the session is over.
            StoreUnavailable: it is not stored, or nobody knows; sending it again is safe.
        """
        _check(upload)
        with self.transfers.one(caller.agent.id):
            await self._require_room(caller, upload)
            content = await self._received(upload, chunks)
            digest = await asyncio.to_thread(content_digest, content)
            if upload.sha256 not in {"", digest}:
                raise _malformed("sha256", "What came is not what was announced.")
            artefact = self._made(caller, upload, digest)
            stored = Stored(artefact=artefact, content=content)
            await self._own.run(self._store_it(caller, stored), share=caller.session.name)
        return artefact

    async def find(self, caller: Caller, name: str) -> Artefact:
        """One of the session's artefacts.

        Raises:
            NotFound: absent, over, or another session's.
        """
        found: Artefact | None = None
        if is_name(name):
            found = (await self._store.find_artefacts(caller.session.name, [name])).get(name)
        if found is None or self._clock() >= found.expires_at:
            raise NotFound(_NO_ARTEFACT)
        return found

    async def list(self, caller: Caller) -> Sequence[Artefact]:
        """All that the session has, oldest first."""
        now = self._clock()
        found = await self._store.list_artefacts(caller.session.name)
        return [artefact for artefact in found if now < artefact.expires_at]

    async def content(self, caller: Caller, artefact: Artefact) -> bytes:
        """What is in one that `find` gave. Call it within `transfers.one`.

        Raises:
            NotFound: it was erased in between.
            Defect: it is not what was stored.
        """
        content = await self._store.artefact_content(caller.session.name, artefact.name)
        if content is None:
            raise NotFound(_NO_ARTEFACT)
        if await asyncio.to_thread(content_digest, content) != artefact.sha256:
            raise Defect(f"{artefact.name} is not what was stored.")
        return content

    async def _require_room(self, caller: Caller, upload: Upload) -> None:
        """Before a byte is taken in; the store looks again when it is stored."""
        had = await self._store.list_artefacts(caller.session.name)
        size = sum(artefact.size for artefact in had) + upload.size
        too_many = len(had) >= limits.ARTEFACTS_OF_SESSION_MAX
        if too_many or size > limits.ARTEFACT_BYTES_OF_SESSION_MAX:
            raise _no_room()

    async def _received(self, upload: Upload, chunks: AsyncIterator[bytes]) -> bytes:
        content = bytearray()
        try:
            async with asyncio.timeout(self._deadline_s):
                while (chunk := await self._next(chunks)) is not None:
                    content += chunk
                    if len(content) > upload.size:
                        raise _malformed("chunk", "More came than was announced.")
        except TimeoutError:
            raise _malformed("chunk", "The file did not come in time.") from None
        if len(content) < upload.size:
            raise _malformed("chunk", "Less came than was announced.")
        return bytes(content)

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        async with asyncio.timeout(self._chunk_deadline_s):
            return await anext(chunks, None)

    def _made(self, caller: Caller, upload: Upload, digest: str) -> Artefact:
        return Artefact(
            name=new_name(secrets.token_urlsafe(NAME_BYTES)),
            session=caller.session.name,
            made_by=MADE_BY_AGENT,
            file_name=upload.file_name,
            size=upload.size,
            sha256=digest,
            labels=WORST,
            created_at=self._clock(),
            expires_at=erased_at(caller.session.expires_at),
        )

    async def _store_it(self, caller: Caller, stored: Stored) -> None:
        artefact, now = stored.artefact, self._clock()
        entry = EntryDraft(
            kind=EntryKind.ARTEFACT_CREATED,
            at=now,
            actor=caller.agent.id,
            session=artefact.session,
            body={
                "artefact": artefact.name,
                "sha256": artefact.sha256,
                "size": artefact.size,
                "credential": caller.credential,
            },
            contents={"file_name": artefact.file_name},
        )
        touched = TouchSession(
            name=artefact.session,
            at=now,
            idle_expires_at=min(now + limits.SESSION_IDLE_S, caller.session.expires_at),
        )
        unit = Unit(changes=(touched, AddArtefact(stored=stored)), entries=(entry,))
        try:
            await self._store.commit(unit)
        except OutcomeUnstored as doubt:
            raise StoreUnavailable("Whether the file is stored is not known.") from doubt
        except Conflict as conflict:
            if conflict.on is not ConflictOn.SESSION:
                raise _no_room() from conflict
            session = await self._store.find_session(artefact.session)
            check_open(session or caller.session, now=now)
            raise StoreUnavailable("The session changed meanwhile.") from conflict


def _check(upload: Upload) -> None:
    try:
        require_file_name(upload.file_name)
    except FileNameRefused as refused:
        raise _malformed("file_name", str(refused)) from None
    if upload.size < 0:
        raise _malformed("size", "A file has a size.")
    if upload.size > limits.ARTEFACT_BYTES_MAX:
        raise LimitExceeded(f"A file has at most {limits.ARTEFACT_BYTES_MAX} bytes.")


def _no_room() -> LimitExceeded:
    return LimitExceeded(
        f"A session has at most {limits.ARTEFACTS_OF_SESSION_MAX} files, "
        f"of {limits.ARTEFACT_BYTES_OF_SESSION_MAX} bytes together."
    )


def _malformed(what: str, sentence: str) -> MalformedRequest:
    return MalformedRequest(sentence, metadata={"field": what})
