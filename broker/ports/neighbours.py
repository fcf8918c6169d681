"""What a broker needs of the database to know of the others that have it too."""

from collections.abc import Sequence
from typing import Protocol

from broker.core.brokers import BrokerRow
from broker.core.unit import Unit


class Neighbours(Protocol):
    """The rows of brokers. Every method raises StoreUnavailable when the database cannot answer."""

    @property
    def is_shared(self) -> bool:
        """Whether other brokers may have the same database."""
        ...

    async def brokers(self) -> Sequence[BrokerRow]:
        """All that have said that they are there, in the order in which they started."""
        ...

    async def commit(self, unit: Unit) -> None:
        """As of `ports.Store`."""
        ...
