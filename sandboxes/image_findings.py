"""Each image is looked into once before it first runs; its digest names what was looked at."""

import asyncio
from collections.abc import Sequence
from typing import Final

from sandboxes.engine import Engine, ImageFacts
from sandboxes.images import lint
from sandboxes.images.layout import LABEL
from sandboxes.slot import NODE_LABEL, RUN_LABEL, new_name

AT_A_TIME: Final = 2  # each reads a whole image, in one of the few threads that an engine has


class ImageFindings:
    """What lint says of the images of an engine.

    Attributes:
        reading: names of the containers that are there to be looked into.
    """

    def __init__(self, engine: Engine, *, node_id: str) -> None:
        """Know nothing yet of what that engine has; of `node_id` is what is made to find out."""
        self.reading: set[str] = set()
        self._engine = engine
        self._node_id = node_id
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._looking: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def of(self, digest: str, *, architecture: str) -> tuple[str, ...]:
        """Why an image may not run; empty where it may. Who asks meanwhile waits for the same look.

        Args:
            digest: of the image.
            architecture: the engine's, as `uname -m` says it.

        Raises:
            NotThere, EngineUnavailable: as the engine says; whoever asks next has it look again.
        """
        looking = self._looking.get(digest)
        if looking is None:
            looking = asyncio.create_task(self._look_into(digest, architecture))
            self._looking[digest] = looking
            looking.add_done_callback(lambda done: self._keep(digest, done))
        return await asyncio.shield(looking)

    async def all(self, *, architecture: str) -> Sequence[tuple[ImageFacts, tuple[str, ...]]]:
        """Images that were made to be sandboxes, each with what was found."""
        found = await self._engine.images(f"{LABEL}=1")
        return [(image, await self.of(image.digest, architecture=architecture)) for image in found]

    def forget(self, digest: str) -> None:
        """It is not there any more."""
        self._looking.pop(digest, None)

    def forget_all(self) -> None:
        """Another engine answers."""
        self._looking.clear()

    def _keep(self, digest: str, looked: "asyncio.Task[tuple[str, ...]]") -> None:
        if looked.cancelled() or looked.exception() is not None:
            self.forget(digest)

    async def _look_into(self, digest: str, architecture: str) -> tuple[str, ...]:
        image = await self._engine.image(digest)
        name = new_name()
        labels = {NODE_LABEL: self._node_id, RUN_LABEL: name}
        async with self._turns:
            self.reading.add(name)
            try:
                modes = await self._engine.file_modes(digest, labels=labels)
            finally:
                self.reading.discard(name)
        return lint.findings(image, modes, architecture=architecture)
