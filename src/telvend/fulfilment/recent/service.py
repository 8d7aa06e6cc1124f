"""Saying of every network whether it sells, and how well it delivers."""

from collections.abc import Callable
from typing import Final

from telvend.catalog.model import CatalogueSnapshot
from telvend.database.connections import Database
from telvend.fulfilment.recent import store
from telvend.fulfilment.recent.model import NetworkCondition, RecentSales, condition_of
from telvend.kit.fresh import Fresh

KEPT_FOR_S: Final = 10.0
"""For so long what was found is told again: anybody may ask."""


class NetworkConditions:
    """How the networks of one shop stand. `snapshot` answers the catalogue as it is."""

    def __init__(
        self, database: Database, snapshot: Callable[[], CatalogueSnapshot], *, kept_for_s: float = KEPT_FOR_S
    ) -> None:
        self._database = database
        self._snapshot = snapshot
        self._recent = Fresh(self._read, kept_for_s)

    async def now(self) -> list[NetworkCondition]:
        """Every network in catalogue order; its switch and pause as they are now, its sales as of a moment ago. Raises Busy."""
        recent = await self._recent()
        nothing = RecentSales()
        return [
            condition_of(network, recent.get((network.country, network.code), nothing))
            for network in self._snapshot().everywhere
        ]

    async def _read(self) -> dict[tuple[str, str], RecentSales]:
        async with self._database.connection() as tx:
            return await store.recent_sales(tx)
