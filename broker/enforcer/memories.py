"""What sessions have seen, kept between calls, so that each call reads only what is new.

The store has it all and is asked every time; what is kept here is how far it was read.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from broker.core.calls import Context, Session
from broker.core.provenance.memory import Memory, Sighting

MEMORIES_MAX = 256


@dataclass(frozen=True, slots=True)
class Memories:
    """The sessions of late, the least lately used given up first."""

    kept: OrderedDict[str, Memory] = field(default_factory=OrderedDict)
    most: int = MEMORIES_MAX

    def of(self, session: Session) -> Memory:
        """What was read of a session so far; nothing, where it is new here."""
        memory = self.kept.get(session.name)
        if memory is None:
            memory = Memory(is_clean=session.context is Context.MEDIATED)
        return memory

    def read(self, session: Session, sightings: Iterable[Sighting]) -> Memory:
        """Add what the store has besides."""
        memory = self.of(session)
        for sighting in sightings:
            if sighting.position > memory.position:  # another call of the session may have read it
                memory.see(sighting)
        self.kept[session.name] = memory
        self.kept.move_to_end(session.name)
        while len(self.kept) > self.most:
            self.kept.popitem(last=False)
        return memory
