"""Reconciling a day with a provider: what our books have of it beside what the provider says.

day = await reconciliations.day(date(2026, 11, 28))
report = await reconciliations.compare("vt", day, lines, enter=jobs.settle)
await reconciliations.record("vt", day, FarSide.STATEMENT, digest, report, by_whom="ama")

With `enter`, what the provider says against the decision of a person is entered as a late report, once. Nothing else is changed.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from telvend.database.connections import Database, transaction_time
from telvend.errors import InvalidInput, NotFound
from telvend.fulfilment.model import Effect, Item, LateAnswer
from telvend.kit import log
from telvend.kit.money import Currency
from telvend.providers.contract import Delivered, Reason, Refused
from telvend.providers.upstream import StatementLine
from telvend.upstreams.reconciliation import store
from telvend.upstreams.reconciliation.leftovers import LeftoverLine
from telvend.upstreams.reconciliation.model import (
    AFTER,
    BEFORE,
    Comparison,
    Contradiction,
    Day,
    KnownAttempt,
    Matching,
    Reconciled,
    Side,
    chunks,
)

_NAMED_AT_ONCE: Final = 20_000
_ENTERED_AT_ONCE: Final = 200
_EVER: Final = datetime(1971, 1, 1, tzinfo=UTC)

_log = log.get(__name__)

Enter = Callable[[Sequence[Item]], Awaitable[Sequence[Effect | Exception]]]
"""Settles items: see `FulfilmentStore.settle`."""


class FarSide(StrEnum):
    """Where the provider's side came from."""

    STATEMENT = "statement"
    LIST = "list"
    REQUERY = "requery"


class Reconciliations:
    """The verbs. Days are those of `zone`."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self._database = database
        self._zone = zone

    async def day(self, day: date) -> Day:
        """The day, which must have begun. Raises InvalidInput, Busy."""
        async with self._database.connection() as tx:
            now = await transaction_time(tx)
        if not 1971 <= day.year <= now.year + 1:
            raise InvalidInput("date", "must be a day of this century, and not of the future")
        found = Day.of(day, self._zone)
        if now < found.begins_at:
            raise InvalidInput("date", f"has not begun yet in {found.zone}")
        return found

    async def knows(self, provider: str) -> bool:
        """Whether anything was ever sent to a provider of this name. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.used_since(tx, provider, _EVER, await transaction_time(tx))

    async def currency_of(self, provider: str) -> Currency | None:
        """The currency of what was sent to a provider; None where there are several, or none. Raises Busy."""
        async with self._database.snapshot() as tx:
            found = await store.currencies(tx, provider)
        return found[0] if len(found) == 1 else None

    async def last(self, provider: str) -> Reconciled | None:
        """What was found last about the latest day that was reconciled. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.last(tx, provider)

    async def used(self, provider: str, since: datetime, until: datetime) -> bool:
        """Whether anything was sent to a provider between these moments. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.used_since(tx, provider, since, until)

    async def attempts_of(self, provider: str, day: Day) -> list[KnownAttempt]:
        """Every attempt and trial at a provider that began on the day. Raises InvalidInput where some were removed, Busy."""
        return await self._attempts(provider, day, day.begins_at, day.ends_at)

    async def compare(
        self, provider: str, day: Day, lines: AsyncIterable[StatementLine], enter: Enter | None = None
    ) -> Comparison:
        """Compare our attempts with the provider's transactions.

        Raises InvalidInput where some of the attempts were removed, Busy, and what reading `lines` raises.
        With `enter`, what these say against the decision of a person is entered first, and counts as it then is.
        """
        begins_at, ends_at = day.begins_at - BEFORE, day.ends_at + AFTER
        matching = Matching(day, await self._attempts(provider, day, begins_at, ends_at))
        async for line in lines:
            matching.add(line)
        strangers = matching.strangers
        # Rare, except after a restore: each reads all attempts.
        for start in range(0, len(strangers), _NAMED_AT_ONCE):
            async with self._database.snapshot() as tx:
                named = await store.attempts_named(tx, provider, strangers[start : start + _NAMED_AT_ONCE], day)
            matching.know(named)
        # What has become final while the lines were read counts as it is now.
        matching.refresh(await self._attempts(provider, day, begins_at, ends_at))
        if enter is not None and (found := matching.contradictions()):
            for start in range(0, len(found), _ENTERED_AT_ONCE):
                await self._enter(matching, found[start : start + _ENTERED_AT_ONCE], day, enter)
        return matching.report()

    async def _enter(self, matching: Matching, found: Sequence[Contradiction], day: Day, enter: Enter) -> None:
        effects = await enter([_answer(one, day) for one in found])
        for one, effect in zip(found, effects, strict=True):
            if isinstance(effect, Exception):
                _log.error("late_report_not_entered", order=one.attempt.order_id, exc_info=effect)
        matching.entered([one for one, effect in zip(found, effects, strict=True) if effect is Effect.CONTRADICTED])

    async def record(
        self, provider: str, day: Day, source: FarSide, digest: str, report: Comparison, *, by_whom: str
    ) -> Reconciled:
        """Write down what was found. Raises Busy."""
        async with self._database.transaction() as tx:
            return await store.write(tx, provider, day, source, digest, report, by_whom)

    async def leftovers_since(self, since: datetime) -> dict[tuple[str, date], int]:
        """The providers and days that were reconciled since, with what was left over of each. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.leftovers_since(tx, since)

    async def providers_since(self, since: datetime) -> set[str]:
        """The providers that were sent anything since. Raises Busy."""
        async with self._database.snapshot() as tx:
            return await store.providers_since(tx, since)

    async def page(self, provider: str | None, *, before: int | None, limit: int) -> Sequence[Reconciled]:
        """What was recorded, newest first. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.page(tx, provider, before, limit)

    async def find(self, number: int) -> Reconciled:
        """The reconciliation with this number. Raises NotFound, Busy."""
        async with self._database.connection() as tx:
            found = await store.find(tx, number)
        if found is None:
            raise NotFound("Reconciliation")
        return found

    async def lines(
        self, number: int, *, side: Side | None = None, after: int = 0, limit: int
    ) -> Sequence[LeftoverLine]:
        """What the reconciliation with this number has left over, what may be lost first. Raises Busy.

        Empty also where it was made by a version that did not keep lines.
        """
        async with self._database.connection() as tx:
            return await store.lines(tx, number, side, after, limit)

    async def _attempts(self, provider: str, day: Day, begins_at: datetime, ends_at: datetime) -> list[KnownAttempt]:
        found: list[KnownAttempt] = []
        async with self._database.snapshot() as tx:
            kept_since = await store.kept_since(tx)
            if kept_since is not None and begins_at <= kept_since:
                raise InvalidInput(
                    "date",
                    f"is too long ago: what was asked until {kept_since:%Y-%m-%d} was removed (attempt_retention_days)",
                )
            for since, until in chunks(begins_at, ends_at):
                found += await store.attempts(tx, provider, since, until, day)
        return found


def _answer(one: Contradiction, day: Day) -> LateAnswer:
    """What the provider's side says, as if the provider had been asked."""
    attempt = one.attempt
    text = f"{one.word or ('delivered' if one.delivered else 'not delivered')}, says what was reconciled of {day.calendar_date}"
    # What was taken from a float in another currency says nothing of our cost.
    cost = one.charged if one.charged is not None and one.charged.currency == attempt.currency else None
    outcome = Delivered(text=text, cost=cost) if one.delivered else Refused(Reason.REFUSED, text)
    return LateAnswer(attempt.order_id or 0, attempt.number, outcome)
