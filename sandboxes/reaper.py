"""What belongs to no slot of this node is removed: containers by label, directories by name.

A node finds its own leftovers by the id in its state directory and touches no other node's.
"""

import asyncio
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from sandboxes.engine import ContainerFound, Engine, EngineRefused, EngineUnavailable
from sandboxes.slot import NODE_LABEL, RUN_LABEL

EVERY_S: Final = 30.0
AT_A_TIME: Final = 4
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What came of it.

    Attributes:
        removed: how many there were.
        left: names of those that the engine would not remove; the next time tries again.
    """

    removed: int
    left: frozenset[str]


async def reap(engine: Engine, node_id: str, *, owned: Callable[[], Collection[str]]) -> Reaped:
    """Remove this node's containers that no slot owns. One that stays keeps no other from it.

    Args:
        engine: that has them.
        node_id: of this node.
        owned: names; asked after the list was made, so that what was made since is not in it.

    Raises:
        EngineUnavailable, EngineRefused: the engine does not say what there is.
    """
    found = await engine.containers(f"{NODE_LABEL}={node_id}")
    leftovers = orphans(found, owned())
    left: set[str] = set()
    for start in range(0, len(leftovers), AT_A_TIME):
        batch = leftovers[start : start + AT_A_TIME]
        gone = await asyncio.gather(*(_is_removed(engine, each) for each in batch))
        left |= {_name(each) for each, is_gone in zip(batch, gone, strict=True) if not is_gone}
    return Reaped(removed=len(leftovers) - len(left), left=frozenset(left))


async def _is_removed(engine: Engine, leftover: ContainerFound) -> bool:
    try:
        await engine.remove(leftover.container)
    except (EngineUnavailable, EngineRefused) as stuck:
        _log.warning("leftover_not_removed", run=_name(leftover), why=str(stuck))
        return False
    return True


def _name(found: ContainerFound) -> str:
    return found.labels.get(RUN_LABEL, "")


def orphans(found: Sequence[ContainerFound], owned: Collection[str]) -> tuple[ContainerFound, ...]:
    """Those that nobody owns."""
    return tuple(each for each in found if _name(each) not in owned)


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
