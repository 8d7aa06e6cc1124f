"""What has to be reconciled before a restored book sells: what providers delivered after the moment that it knows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from telvend.config import OWN_NETWORK, Settings
from telvend.database.connections import Database
from telvend.sales.continuity import store
from telvend.sales.continuity.model import BookRestore
from telvend.upstreams.reconciliation.service import Reconciliations

_USED_WITHIN: Final = timedelta(days=90)
"""A provider that was sent something within so long before counts, also where the settings no longer name it."""
_MOST_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class ProviderDays:
    """A provider after a restore: `open_days` are to be reconciled yet; `left_over` is what reconciling the others has left."""

    provider: str
    open_days: Sequence[date]
    left_over: int

    @property
    def text(self) -> str:
        """What is missing of it, in one phrase."""
        first = self.open_days[0]
        if len(self.open_days) == 1:
            return f"{self.provider} is not reconciled for {first}"
        return f"{self.provider} is not reconciled for {len(self.open_days)} days, {first} to {self.open_days[-1]}"

    @property
    def command(self) -> str:
        return f"telvend reconcile {self.provider} --date {self.open_days[0]}"


def days_of(restores: Sequence[BookRestore], zone: ZoneInfo) -> list[date]:
    """The days that may have sales that the book does not know, oldest first."""
    if not restores:
        return []
    first = min(one.known_until for one in restores).astimezone(zone).date()
    last = max(one.restored_at for one in restores).astimezone(zone).date()
    return [first + timedelta(days=number) for number in range(min((last - first).days, _MOST_DAYS) + 1)]


def to_reconcile(
    days: Sequence[date], providers: Collection[str], done: dict[tuple[str, date], int]
) -> list[ProviderDays]:
    """Every provider with what is missing of it."""
    return [
        ProviderDays(
            provider,
            [day for day in days if (provider, day) not in done],
            sum(left for (name, day), left in done.items() if name == provider and day in days),
        )
        for provider in sorted(providers)
    ]


async def providers_after_restore(
    database: Database, settings: Settings
) -> tuple[list[BookRestore], list[ProviderDays]]:
    """The restores that are not released, and the providers that are asked about them. Raises Busy."""
    async with database.connection() as tx:
        restores = await store.restores(tx)
    if not restores:
        return [], []
    zone = ZoneInfo(settings.timezone)
    reconciliations = Reconciliations(database, zone)
    since: datetime = min(one.known_until for one in restores)
    pretend = {*settings.simulators, OWN_NETWORK}
    used = await reconciliations.providers_since(since - _USED_WITHIN) - pretend
    named = {name for name, table in settings.providers.items() if table.live}
    done = await reconciliations.leftovers_since(max(one.restored_at for one in restores))
    return restores, to_reconcile(days_of(restores, zone), used | named, done)
