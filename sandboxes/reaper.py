"""What belongs to no slot of this node is removed: containers by label, directories by name.

A node finds its own leftovers by the id in its state directory and touches no other node's.
"""

import asyncio
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from sandboxes.engine import ContainerFound, Engine
from sandboxes.slot import NODE_LABEL, RUN_LABEL

EVERY_S: Final = 30.0
AT_A_TIME: Final = 4


async def reap(engine: Engine, node_id: str, *, owned: Callable[[], Collection[str]]) -> int:
    """Remove this node's containers that no slot owns.

    Args:
        engine: that has them.
        node_id: of this node.
        owned: names; asked after the list was made, so that what was made since is not in it.

    Returns:
        How many were removed.

    Raises:
        EngineUnavailable, EngineRefused: as the engine says; what is left is left to the next time.
    """
    found = await engine.containers(f"{NODE_LABEL}={node_id}")
    leftovers = orphans(found, owned())
    for start in range(0, len(leftovers), AT_A_TIME):
        batch = leftovers[start : start + AT_A_TIME]
        await asyncio.gather(*(engine.remove(each.container) for each in batch))
    return len(leftovers)


def orphans(found: Sequence[ContainerFound], owned: Collection[str]) -> tuple[ContainerFound, ...]:
    """Those that nobody owns."""
    return tuple(each for each in found if each.labels.get(RUN_LABEL, "") not in owned)


def reap_directories(directory: Path, owned: Collection[str]) -> int:
    """Remove what nobody owns in the directory of ways out; returns how many there were."""
    if not directory.is_dir():
        return 0
    leftovers = [each for each in directory.iterdir() if each.name not in owned]
    for each in leftovers:
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    return len(leftovers)
