"""Premiums on a real database: repeats, quotes that are used once, races, and what becomes of old answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from telvend.database.connections import Database, revisions
from telvend.errors import Busy, InvalidInput, NotFound, ReferenceReused
from telvend.kit.clock import SystemClock
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money, currency_of
from telvend.operator.premiums.model import Loyalty, NoMobileMoney, Premium, PremiumRequest, QuoteRefused
from telvend.operator.premiums.service import Premiums

AMA, KOFI, CHIDI = "+233241234567", "+233241234568", "+2348031234567"
PARTNER, NEIGHBOUR = UUID(int=7), UUID(int=8)
CEDIS_100 = Money(100_00, GHS)
REQUEST = PremiumRequest(PARTNER, Mode.LIVE, "TX-00001", "AYO_SWC", "TRANSFER", AMA, KOFI, CEDIS_100)


@dataclass
class Desk:
    """Premiums over one database, with subscribers in both modes; whose loyalty cannot be read is in `unreadable`."""

    database: Database
    premiums: Premiums
    unreadable: set[str]

    async def ask(self, transaction_id: str = "TX-00001", **changes: Any) -> Premium:
        return await self.premiums.premium(replace(REQUEST, transaction_id=transaction_id, **changes))

    async def set_rate(self, **changes: Any) -> None:
        await self.premiums.set_rate("AYO_SWC", "TRANSFER", "GHS", **changes)
        await self.load()

    async def load(self) -> None:
        async with self.database.connection() as tx:
            await self.premiums.load(tx)

    async def value(self, statement: str, *values: Any) -> Any:
        async with self.database.connection() as tx:
            return await tx.fetchval(statement, *values)

    async def age(self, **by: float) -> None:
        await self.value(
            "with aged as (update premium_quote set created_at = created_at - $1::interval,"
            " expires_at = expires_at - $1::interval returning 1) select count(*) from aged",
            timedelta(**by),
        )


async def add_subscriber(database: Database, mode: str, msisdn: str, currency: str, loyalty: int | None = None) -> None:
    async with database.transaction() as tx:
        number = await tx.fetchval(
            "insert into subscriber (mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until)"
            " values ($1, $2, 'GH', $3, 'Basic', now() + '90 days', now() + '180 days') returning id",
            mode, msisdn, currency,
        )  # fmt: skip
        if loyalty is not None:
            await tx.execute(
                "insert into momo_account (subscriber_id, loyalty_balance_minor, authorization_digest) values ($1, $2, '')",
                number, loyalty,
            )  # fmt: skip


@pytest.fixture
async def desks(database: Database) -> AsyncIterator[list[Desk]]:
    """Three processes of one shop. Ama has mobile money with 87.00 of points; nobody is there in test mode but her."""
    for mode, msisdn, currency, loyalty in (
        ("live", AMA, "GHS", 8700), ("test", AMA, "GHS", None), ("live", KOFI, "GHS", None), ("live", CHIDI, "NGN", None),
    ):  # fmt: skip
        await add_subscriber(database, mode, msisdn, currency, loyalty)
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(3):
            unreadable: set[str] = set()
            premiums = Premiums(
                database, SystemClock(), loyalty_readable=lambda msisdn, away=unreadable: msisdn not in away
            )
            premiums.lane.start()
            stack.push_async_callback(premiums.close)
            made.append(Desk(database, premiums, unreadable))
            await made[-1].load()
        yield made


@pytest.fixture
def route(desks: list[Desk]) -> Desk:
    return desks[0]


# Rates ------------------------------------------------------------------------------------------------------------------


async def test_a_fresh_shop_has_rates_for_three_types_in_every_markets_currency(route: Desk) -> None:
    found = await route.premiums.rates(product="AYO_SWC")
    assert {(rate.transaction_type, rate.floor.currency.code) for rate in found} == {
        (kind, code) for kind in ("TRANSFER", "AIRTIME", "BILL") for code in ("GHS", "NGN", "SZL", "UGX", "ZAR")
    }
    assert all(rate.active and rate.cap and rate.floor.minor < rate.cap.minor for rate in found)


async def test_a_rate_is_made_changed_and_seen_by_everybody(route: Desk) -> None:
    async def revision() -> int:
        async with route.database.connection() as tx:
            return (await revisions(tx))["network"]

    before = await revision()
    made = await route.premiums.set_rate("COVER", "PAY_1", "ngn", percent="1.25", floor="10", loyalty_percent="0.05")
    assert (made.basis_points, made.floor, made.cap, made.loyalty_basis_points) == (125, Money(1000, NGN), None, 5)
    changed = await route.premiums.set_rate("COVER", "PAY_1", "NGN", cap="99.50", to_oneself=True)
    assert changed == replace(made, cap=Money(9950, NGN), to_oneself=True)
    assert await route.premiums.rates(product="COVER") == [changed]
    assert (await route.premiums.set_rate("COVER", "PAY_1", "NGN", cap="")).cap is None
    assert await revision() == before + 3


@pytest.mark.parametrize(
    ("change", "field"),
    [({"product": "a b"}, "product"), ({"product": "refill"}, "product"), ({"transaction_type": "pay"}, "type"),
     ({"currency": "XXX"}, "currency"), ({"percent": None}, "percent"), ({"percent": "100.01"}, "percent"),
     ({"percent": "1.234"}, "percent"), ({"percent": "-1"}, "percent"), ({"floor": "x"}, "floor"), ({"cap": "1.5"}, "cap"),
     ({"quote_valid_s": 0}, "valid"), ({"quote_valid_s": 91 * 86_400}, "valid")],
)  # fmt: skip
async def test_a_rate_that_cannot_be_is_refused_by_its_field(route: Desk, change: dict[str, Any], field: str) -> None:
    given = {"product": "COVER", "transaction_type": "PAY", "currency": "NGN", "percent": "1", "floor": "2"} | change
    with pytest.raises(InvalidInput) as refused:
        await route.premiums.set_rate(**given)
    assert refused.value.field == field
    assert await route.premiums.rates(product="COVER") == []


# Answers ----------------------------------------------------------------------------------------------------------------


async def test_an_answer_says_premium_points_and_until_when_it_is_a_quote(route: Desk) -> None:
    answer = await route.ask()
    assert (answer.premium, answer.message, answer.replayed) == (Money(250, GHS), "Cover for 120 days", False)
    assert answer.loyalty == Loyalty(Money(5, GHS), Money(0, GHS), Money(8705, GHS))
    assert answer.reference.startswith("PRM-")
    now: datetime = await route.value("select now()")
    assert timedelta(seconds=890) < answer.expires_at - now <= timedelta(seconds=900)


async def test_whoever_has_no_mobile_money_begins_with_no_points(route: Desk) -> None:
    answer = await route.ask(sender=KOFI, receiver=AMA)
    assert answer.loyalty == Loyalty(Money(5, GHS), Money(0, GHS), Money(5, GHS))


async def test_the_same_request_gets_the_same_answer_whatever_has_changed_since(route: Desk) -> None:
    first = await route.ask()
    await route.set_rate(percent="9", active=False)
    await route.value("update momo_account set loyalty_balance_minor = 0")
    route.unreadable.add(AMA)
    await route.age(days=80)
    again = await route.ask()
    assert again == replace(first, replayed=True, expires_at=again.expires_at)


async def test_another_request_under_the_same_transaction_id_is_refused(route: Desk) -> None:
    await route.ask()
    with pytest.raises(ReferenceReused):
        await route.ask(amount=Money(101_00, GHS))
    with pytest.raises(ReferenceReused):
        await route.ask(message="hello")


async def test_transaction_ids_are_apart_for_each_partner_and_mode(route: Desk) -> None:
    mine = await route.ask()
    theirs = await route.ask(reseller_id=NEIGHBOUR, amount=Money(500_00, GHS))
    await add_subscriber(route.database, "test", KOFI, "GHS")
    play = await route.ask(mode=Mode.TEST)
    assert len({mine.reference, theirs.reference, play.reference}) == 3
    assert not theirs.replayed
    assert not play.replayed


async def test_without_a_transaction_id_every_answer_is_new(route: Desk) -> None:
    one, other = await route.ask(""), await route.ask("")
    assert one.reference != other.reference


async def test_a_refusal_leaves_the_transaction_id_free(route: Desk) -> None:
    with pytest.raises(InvalidInput):
        await route.ask(amount=Money(100_00, NGN))
    assert not (await route.ask()).replayed


async def test_points_that_cannot_be_read_are_left_out_and_the_premium_stands(route: Desk) -> None:
    route.unreadable.add(AMA)
    answer = await route.ask()
    assert (answer.premium, answer.loyalty) == (Money(250, GHS), None)
    route.unreadable.clear()
    assert await route.ask() == replace(answer, replayed=True)
    # As a quote it gives the points that it was calculated with.
    used = await route.ask("TX-00002", quote=answer.reference)
    assert used.loyalty == Loyalty(Money(5, GHS), Money(0, GHS), Money(8705, GHS))


@pytest.mark.parametrize(
    ("change", "what"),
    [({"sender": "+233241230000"}, "Sender"), ({"receiver": "+233241230000"}, "Receiver"), ({"product": "AYO"}, "Product"),
     ({"mode": Mode.TEST}, "Receiver")],
)  # fmt: skip
async def test_who_or_what_is_unknown_is_not_found(route: Desk, change: dict[str, Any], what: str) -> None:
    with pytest.raises(NotFound) as refused:
        await route.ask(**change)
    assert refused.value.what == what


async def test_a_product_that_is_switched_off_is_unknown(route: Desk) -> None:
    await route.premiums.set_rate("COVER", "TRANSFER", "GHS", percent="1", active=False)
    await route.load()
    with pytest.raises(NotFound):
        await route.ask(product="COVER")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"amount": Money(0, GHS)}, "amount.value"), ({"amount": Money(-5, GHS)}, "amount.value"),
     ({"amount": Money(100_00, NGN)}, "amount.unit"), ({"transaction_type": "GIFT"}, "transactionType"),
     ({"receiver": AMA}, "receivingCustomerId")],
)  # fmt: skip
async def test_a_wrong_field_is_named(route: Desk, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await route.ask(**change)
    assert refused.value.field == field
    assert not isinstance(refused.value, QuoteRefused)


async def test_to_oneself_only_where_the_rate_allows_it(route: Desk) -> None:
    await route.set_rate(to_oneself=True)
    assert (await route.ask(receiver=AMA)).premium == Money(250, GHS)


async def test_mobile_money_only_where_the_rate_demands_it(route: Desk) -> None:
    await route.set_rate(momo_only=True)
    assert (await route.ask()).premium == Money(250, GHS)
    with pytest.raises(NoMobileMoney):
        await route.ask("TX-00002", sender=KOFI, receiver=AMA)


async def test_a_rate_is_in_the_senders_currency_wherever_the_receiver_is(route: Desk) -> None:
    answer = await route.ask(sender=CHIDI, receiver=AMA, amount=Money(10_000_00, NGN))
    assert answer.premium == Money(250_00, currency_of("NGN"))


# Quotes -----------------------------------------------------------------------------------------------------------------


async def test_a_quote_stands_when_the_rate_has_changed_and_once_only(route: Desk) -> None:
    quote = await route.ask()
    await route.set_rate(percent="9", to_oneself=False, active=False)
    used = await route.ask("TX-00002", quote=quote.reference)
    assert (used.premium, used.replayed, used.message) == (Money(250, GHS), False, "Cover for 120 days")
    assert used.reference != quote.reference
    with pytest.raises(QuoteRefused, match="used before"):
        await route.ask("TX-00003", quote=quote.reference)
    assert await route.ask("TX-00002", quote=quote.reference) == replace(used, replayed=True)


async def test_a_chain_of_quotes_does_not_prolong_a_price(route: Desk) -> None:
    quote = await route.ask()
    second = await route.ask("TX-00002", quote=quote.reference)
    assert second.expires_at == quote.expires_at
    third = await route.ask("TX-00003", quote=second.reference)
    assert third.expires_at == quote.expires_at


async def test_an_expired_quote_is_refused(route: Desk) -> None:
    quote = await route.ask()
    await route.age(seconds=900)
    with pytest.raises(QuoteRefused, match="expired"):
        await route.ask("TX-00002", quote=quote.reference)


@pytest.mark.parametrize(
    "change",
    [{"amount": Money(100_01, GHS)}, {"sender": KOFI, "receiver": AMA}, {"receiver": CHIDI}, {"transaction_type": "BILL"},
     {"product": "OTHER"}, {"reseller_id": NEIGHBOUR}],
)  # fmt: skip
async def test_a_quote_is_for_what_it_was_given_for(route: Desk, change: dict[str, Any]) -> None:
    quote = await route.ask()
    with pytest.raises(QuoteRefused):
        await route.ask("TX-00002", quote=quote.reference, **change)
    # That used nothing up.
    assert (await route.ask("TX-00002", quote=quote.reference)).premium == Money(250, GHS)


@pytest.mark.parametrize(
    "name", ["", "PRM", "PRM-1-000000", "PRM-999999-abcdef", "NPAPI-1-abcdef", "x" * 500, "PRM-1\0"]
)
async def test_what_is_no_quote_is_refused(route: Desk, name: str) -> None:
    await route.ask()
    with pytest.raises(QuoteRefused, match="not a quote of yours"):
        await route.ask("TX-00002", quote=name)


async def test_the_command_line_makes_a_quote_that_the_partner_uses(route: Desk) -> None:
    parties = {"sender": AMA, "receiver": KOFI}
    made = await route.premiums.quote(
        PARTNER, Mode.LIVE, product="AYO_SWC", transaction_type="TRANSFER", amount="100", **parties
    )
    assert (await route.ask(quote=made.reference)).premium == made.premium
    with pytest.raises(InvalidInput):
        await route.premiums.quote(
            PARTNER, Mode.LIVE, product="AYO_SWC", transaction_type="TRANSFER", amount="1.005", **parties
        )
    with pytest.raises(NotFound):
        await route.premiums.quote(
            PARTNER, Mode.LIVE, product="AYO_SWC", transaction_type="TRANSFER", amount="1", sender="+1", receiver=AMA
        )


# Races ------------------------------------------------------------------------------------------------------------------


async def test_many_at_once_under_one_transaction_id_get_one_answer(desks: list[Desk]) -> None:
    answers = await asyncio.gather(*(route.ask() for _ in range(20) for route in desks))
    assert len({answer.reference for answer in answers}) == 1
    assert [answer.replayed for answer in answers].count(False) == 1
    assert await desks[0].value("select count(*) from premium_quote") == 1


async def test_different_requests_at_once_under_one_transaction_id_let_one_win(desks: list[Desk]) -> None:
    asked = [route.ask(amount=Money(100_00 + n, GHS)) for n in range(10) for route in desks]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    won = {answer.reference for answer in answers if isinstance(answer, Premium)}
    assert len(won) == 1
    assert all(isinstance(answer, Premium | ReferenceReused) for answer in answers)
    assert sum(isinstance(answer, Premium) for answer in answers) == len(desks)


async def test_one_quote_at_once_under_many_transaction_ids_is_used_once(desks: list[Desk]) -> None:
    quote = await desks[0].ask()
    asked = [route.ask(f"TX-1{n:02d}{at}", quote=quote.reference) for n in range(10) for at, route in enumerate(desks)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    (won,) = [answer for answer in answers if isinstance(answer, Premium)]
    assert all(isinstance(answer, QuoteRefused) for answer in answers if answer is not won)
    assert await desks[0].value("select count(*) from premium_quote") == 2
    assert await desks[0].value("select used_by from premium_quote where reference = $1", quote.reference) is not None


async def test_one_quote_and_one_transaction_id_at_once_is_one_answer_and_repeats(desks: list[Desk]) -> None:
    quote = await desks[0].ask()
    answers = await asyncio.gather(
        *(route.ask("TX-00002", quote=quote.reference) for _ in range(10) for route in desks)
    )
    assert len({answer.reference for answer in answers}) == 1
    assert [answer.replayed for answer in answers].count(False) == 1


async def test_batches_that_share_transaction_ids_in_different_orders_all_get_through(desks: list[Desk]) -> None:
    names = [f"TX-{n:05d}" for n in range(60)]
    asked = [route.ask(name) for at, route in enumerate(desks) for name in (names if at % 2 else names[::-1])]
    answers = await asyncio.gather(*asked)
    assert len({answer.reference for answer in answers}) == len(names)
    assert [answer.replayed for answer in answers].count(False) == len(names)


# Accidents --------------------------------------------------------------------------------------------------------------


class Breaking:
    """A connection whose COMMIT breaks once: before it happens, or after."""

    def __init__(self, connection: Any, after: bool) -> None:
        self._connection = connection
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def transaction(self) -> Any:
        inner, after, connection = self._connection.transaction(), self._after, self._connection

        class Transaction:
            start, rollback = inner.start, inner.rollback

            async def commit(self) -> None:
                if after:
                    await inner.commit()
                connection.terminate()
                raise ConnectionResetError

        return Transaction()


@pytest.mark.parametrize("after", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_for(
    route: Desk, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    quote = await route.ask()
    dedicated = route.premiums._answering._batch._connection
    get, broken = dedicated.get, []

    async def breaking() -> Any:
        connection = await get()
        if broken:
            return connection
        broken.append(True)
        return Breaking(connection, after)

    monkeypatch.setattr(dedicated, "get", breaking)
    answer = await route.ask("TX-00002", quote=quote.reference)
    assert (answer.premium, answer.replayed) == (Money(250, GHS), False)
    assert await route.value("select count(*) from premium_quote") == 2
    assert (await route.ask("TX-00002", quote=quote.reference)).replayed


async def test_while_the_database_is_away_it_is_busy_and_nothing_is_written(
    route: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> Any:
        raise ConnectionRefusedError

    with monkeypatch.context() as patched:
        patched.setattr(route.premiums._answering._batch._connection, "get", away)
        with pytest.raises(Busy):
            await route.ask()
    assert not (await route.ask()).replayed


# Later ------------------------------------------------------------------------------------------------------------------


async def test_old_answers_are_forgotten_and_younger_ones_kept(route: Desk) -> None:
    quote = await route.ask()
    await route.ask("TX-00002", quote=quote.reference)
    await route.age(days=364)
    assert await route.premiums.forgetting.look() == 0
    await route.age(days=2)
    young = await route.ask("TX-00003")
    assert await route.premiums.forgetting.look() == 2
    assert (await route.ask("TX-00003")).reference == young.reference
    assert not (await route.ask()).replayed


# Looking an answer up ---------------------------------------------------------------------------------------------------


async def test_an_answer_is_found_by_its_reference_by_its_own_partner_and_mode(route: Desk) -> None:
    answer = await route.ask()
    found = await route.premiums.quoted(PARTNER, Mode.LIVE, answer.reference)
    assert (found.reference, found.premium, found.request.amount) == (answer.reference, answer.premium, CEDIS_100)
    assert (found.request.sender, found.request.receiver) == (AMA, KOFI)
    # Used, it is still what was quoted.
    await route.ask("TX-00002", quote=answer.reference)
    assert (await route.premiums.quoted(PARTNER, Mode.LIVE, answer.reference)).premium == answer.premium
    for reseller_id, mode, reference in (
        (NEIGHBOUR, Mode.LIVE, answer.reference),
        (PARTNER, Mode.TEST, answer.reference),
        (PARTNER, Mode.LIVE, answer.reference[:-1] + ("1" if answer.reference.endswith("0") else "0")),
        (PARTNER, Mode.LIVE, "PRM-999999-abcdef"),
        (PARTNER, Mode.LIVE, "nothing"),
    ):
        with pytest.raises(QuoteRefused, match="not a quote of yours"):
            await route.premiums.quoted(reseller_id, mode, reference)


def test_a_product_is_known_by_its_rates(route: Desk) -> None:
    assert route.premiums.knows("AYO_SWC")
    assert not route.premiums.knows("NO_SUCH")
