"""The verbs: switch a provider off, record a top-up, and say how all of them stand."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import InvalidInput, NotFound, ReferenceReused
from telvend.fulfilment.routing import BreakerState, ProviderState, Router
from telvend.kit.money import CURRENCIES, MAXIMUM_MINOR, Currency, Money, foreign_currency
from telvend.upstreams import store
from telvend.upstreams.model import (
    LastHour,
    ProviderFloat,
    ReportedHealth,
    RestingGroup,
    Standing,
    SwitchedProvider,
)

TOPIC: Final = "providers"
"""The revision that counts how often providers were switched."""

REPORTS_COUNT_FOR_S: Final = 20.0
"""For so long the report of a process counts; it is written every few seconds."""

_LONGEST_REFERENCE: Final = 64


class Upstreams:
    """Providers of one shop as the operator sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Switching ----------------------------------------------------------------------------------------------------------

    async def switch(
        self, provider: str, state: ProviderState, *, known: Collection[str], reason: str = "", by_whom: str
    ) -> None:
        """Say what a provider may do, in every process within a second. `known` are the providers of the settings.

        Raises NotFound for another one, unless it was switched before: then it can be put on again. Raises Busy.
        """
        async with self._database.transaction() as tx:
            await increment_revision(tx, TOPIC)
            if provider not in known and provider not in {row["provider"] for row in await store.switched(tx)}:
                raise NotFound(
                    "Provider", f"There is no provider {provider}; the settings name {', '.join(sorted(known))}."
                )
            await store.switch(tx, provider, state, reason.strip(), by_whom)

    async def load(self, tx: Tx, router: Router) -> None:
        """Tell `router` what was switched."""
        router.switch_all({row["provider"]: ProviderState(row["state"]) for row in await store.switched(tx)})

    # Floats -------------------------------------------------------------------------------------------------------------

    async def floats(self) -> list[ProviderFloat]:
        """The floats as they were read last. Raises Busy."""
        async with self._database.connection() as tx:
            return [float_of(row) for row in await store.floats(tx)]

    async def record_topup(self, provider: str, amount: Money, reference: str, *, by_whom: str) -> bool:
        """Record that `amount` was paid into the float of a provider, once for each reference. False: it was recorded before.

        Raises InvalidInput, ReferenceReused for another amount, Busy.
        """
        if not 0 < amount.minor <= MAXIMUM_MINOR:
            raise InvalidInput("amount", "must be greater than zero, and no more than can be counted")
        reference = reference.strip()
        if not 1 <= len(reference) <= _LONGEST_REFERENCE or not reference.isprintable():
            raise InvalidInput("reference", f"must be 1 to {_LONGEST_REFERENCE} printable characters")
        async with self._database.transaction() as tx:
            if await store.write_topup(tx, provider, amount.minor, amount.currency.code, reference, by_whom):
                kept_in = await store.currency_of_float(tx, provider)
                if kept_in not in (None, amount.currency.code):
                    raise InvalidInput("currency", f"is {amount.currency}, and the float of {provider} is in {kept_in}")
                return True
            before = await store.topup_under(tx, provider, reference)
        if (before["amount_minor"], before["currency"]) != (amount.minor, amount.currency.code):
            raise ReferenceReused(reference)
        return False

    # How they stand -----------------------------------------------------------------------------------------------------

    async def standings(self, providers: Collection[str]) -> dict[str, Standing]:
        """How these providers stand, from what every process has reported and from the attempts of the last hour. Raises Busy."""
        async with self._database.connection() as tx:
            switched = {
                row["provider"]: SwitchedProvider(
                    ProviderState(row["state"]), row["reason"], row["by_whom"], row["changed_at"]
                )
                for row in await store.switched(tx)
            }
            floats = {row["provider"]: float_of(row) for row in await store.floats(tx)}
            hours = _hours(await store.last_hour(tx))
            reported = _reported(await store.reports(tx, REPORTS_COUNT_FOR_S))
            topped_up: dict[str, dict[Currency, Money]] = {}
            for row in await store.topped_up(tx):
                currency = CURRENCIES[row["currency"]]
                topped_up.setdefault(row["provider"], {})[currency] = Money(row["minor"], currency)
        return {
            name: Standing(
                switched.get(name),
                floats.get(name),
                hours.get(name, LastHour()),
                reported.get(name, ReportedHealth()),
                topped_up.get(name, {}),
            )
            for name in providers
        }


class ReportedBreaker(msgspec.Struct):
    """A breaker that is not closed, as a process reports it."""

    group: str
    state: BreakerState
    why: str


def float_of(row: Any) -> ProviderFloat:
    """The float as a row has it."""
    provider, minor, currency, read_at, age_s, error, not_allowed, low = row
    # An account elsewhere may be kept in dollars, which no market here uses.
    amount = None if minor is None else Money(minor, foreign_currency(currency))
    return ProviderFloat(provider, amount, read_at, None if age_s is None else max(0.0, age_s), error, not_allowed, low)


def _hours(rows: list[Any]) -> dict[str, LastHour]:
    """Put the rows of a provider, one for each currency, together. Latencies are of the one with most deliveries."""
    found: dict[str, LastHour] = {}
    most: dict[str, int] = {}
    for row in rows:
        provider, code, delivered, refused, not_sent, unknown, open_, cost_minor, latencies, covered_s = row
        before = found.get(provider, LastHour())
        currency = CURRENCIES[code]
        median_s, slow_s = before.median_s, before.slow_s
        if latencies is not None and delivered > most.get(provider, 0):
            most[provider] = delivered
            median_s, slow_s = (round(seconds, 3) for seconds in latencies)
        found[provider] = LastHour(
            before.delivered + delivered,
            before.refused + refused,
            before.not_sent + not_sent,
            before.unknown + unknown,
            before.open + open_,
            median_s,
            slow_s,
            {**(before.costs or {}), currency: Money(cost_minor, currency)},
            covered_s,
        )
    return found


def _reported(rows: list[Any]) -> dict[str, ReportedHealth]:
    found: dict[str, ReportedHealth] = {}
    for row in rows:
        provider, in_flight, breakers = row
        before = found.get(provider, ReportedHealth())
        resting = {group.group: group for group in before.resting}
        for breaker in msgspec.json.decode(breakers, type=list[ReportedBreaker]):
            known = resting.get(breaker.group)
            worse = known is None or breaker.state is BreakerState.OPEN
            resting[breaker.group] = RestingGroup(
                breaker.group,
                breaker.state if worse or known is None else known.state,
                breaker.why if worse or known is None else known.why,
                1 + (0 if known is None else known.processes),
            )
        found[provider] = ReportedHealth(
            before.processes + 1, before.in_flight + in_flight, tuple(resting[group] for group in sorted(resting))
        )
    return found
