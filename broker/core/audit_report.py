"""What checking an export of the log came to."""

from dataclasses import dataclass

from broker.core.epochs import Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Where the log first goes wrong.

    Attributes:
        leaf_index: the entry's place in the log, from 0.
        entry: its id, as the export has it; empty where it is no particular entry, or gone.
        why: one sentence.
    """

    leaf_index: int
    entry: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What checking came to.

    Attributes:
        ok: nothing is broken.
        origin: the name of the log that the public key signs.
        entries: how many the export has.
        signed: how many of the log's entries, from its first, good heads cover.
        erased: entries whose contents are gone; no fault.
        warnings: what is no fault, but should be known.
        restores: how often it was restored from a backup, as far as the export or the heads tell.
    """

    ok: bool
    origin: str
    entries: int
    signed: int
    erased: int
    first_broken: Broken | None
    warnings: tuple[str, ...]
    restores: tuple[Epoch, ...] = ()
