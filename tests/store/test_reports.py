"""Reports against a real database: money stories with figures between the steps, and sums that agree with the ledger."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from telvend.audit.service import findings_of
from telvend.authorities.contract import NotOnRecord
from telvend.database.connections import Database
from telvend.errors import InvalidInput, InvariantBroken
from telvend.funding.play_money.voiding import PlayMoney
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.ledger.model import AccountKind, TransferKind
from telvend.reports import store
from telvend.reports.columns import WALLETS
from telvend.reports.invariants import INVARIANTS
from telvend.reports.model import By, Holding, Month, ReportTable, Sales, midnight
from telvend.reports.ranking.service import Page, RankedPage, RankedReports, ranked
from telvend.reports.service import Reports
from telvend.reports.summaries import service as summaries
from telvend.reports.summaries.service import DaySummaries
from tests.store.fundings import funding_shop
from tests.store.purchases import customer
from tests.store.refills import network
from tests.store.reporting import Books, moment
from tests.store.test_cli import Shop, sheet
from tests.store.test_play_money import fund
from tests.store.verifications import Obedient, verification_shop

ACCRA, LAGOS, CAIRO = ZoneInfo("Africa/Accra"), ZoneInfo("Africa/Lagos"), ZoneInfo("Africa/Cairo")
MAY = Month.parse("2025-05")
FIRST, LAST = date(2025, 5, 1), date(2025, 5, 31)


@pytest.fixture(autouse=True)
def nowhere(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
async def books(database: Database) -> AsyncIterator[Books]:
    opened = await Books.open(database)
    yield opened
    await opened.close()


def named(report: ReportTable[Any], *parts: str) -> dict[Any, Any]:
    """The rows by what they are about: one part, or a tuple of several."""
    return {
        getattr(key, parts[0]) if len(parts) == 1 else tuple(getattr(key, part) for part in parts): value
        for key, value in report.rows.items()
    }


async def margins(books: Books, first: date = FIRST, last: date = LAST, zone: ZoneInfo = ACCRA) -> tuple[int, ...]:
    """sold, amount, cost, refunded and margin of the real sales in GHS."""
    report = await Reports(books.database, zone).sales(first, last, [By.DAY], Mode.LIVE, with_cost=True)
    found = report.totals.get("GHS", Sales())
    return found.sold, found.sold_minor, found.cost_minor, found.refunded_minor, found.margin_minor


async def wallets(books: Books, first: date = FIRST, last: date = LAST) -> tuple[int, ...]:
    """Opening, credits, sales, releases, corrections and closing of the wallets in GHS."""
    report = await Reports(books.database, ACCRA).holdings(AccountKind.WALLET, first, last, [By.RESELLER], Mode.LIVE)
    held = report.totals.get("GHS", Holding())
    kinds = (
        (TransferKind.CREDIT,),
        (TransferKind.HOLD,),
        (TransferKind.RELEASE,),
        (TransferKind.DEBIT, TransferKind.REFUND),
    )
    return held.opening_minor, *(held.of(*kind) for kind in kinds), held.closing_minor


# Money stories ----------------------------------------------------------------------------------------------------------


async def test_a_month_of_sales_with_the_figures_after_each_step(books: Books) -> None:
    #                                                  sold  amount  cost  refunded  margin
    assert await margins(books) == (0, 0, 0, 0, 0)
    #                                                  opening  in  held  released  corrected  closing
    assert await wallets(books) == (0, 0, 0, 0, 0, 0)

    await books.fund(moment("2025-04-30 12:00"), Money(5_000, GHS))
    assert await margins(books) == (0, 0, 0, 0, 0)
    assert await wallets(books) == (5_000, 0, 0, 0, 0, 5_000)

    sold = await books.sell(moment("2025-05-02 08:00"), GHS)
    assert await margins(books) == (1, 450, 390, 0, 60)
    assert await wallets(books) == (5_000, 0, -450, 0, 0, 4_550)

    await books.sell(moment("2025-05-02 09:00"), GHS, delivered=False)
    assert await margins(books) == (1, 450, 390, 0, 60)
    assert await wallets(books) == (5_000, 0, -900, 450, 0, 4_550)

    await books.sell(moment("2025-05-03 09:00"), GHS, cost_minor=500)  # below cost
    assert await margins(books) == (2, 900, 890, 0, 10)

    await books.sell(moment("2025-05-03 10:00"), GHS, cost_minor=0)
    assert await margins(books) == (3, 1_350, 890, 0, 460)

    await books.refund(moment("2025-06-02 10:00"), sold)  # stands in June
    assert await margins(books) == (3, 1_350, 890, 0, 460)
    assert await margins(books, date(2025, 6, 1), date(2025, 6, 30)) == (0, 0, 0, 450, -450)
    assert await wallets(books, date(2025, 6, 1), date(2025, 6, 30)) == (3_650, 0, 0, 0, 450, 4_100)

    await books.debit(moment("2025-05-31 23:59"), Money(1_000, GHS))
    assert await margins(books) == (3, 1_350, 890, 0, 460), "a debit is no loss"
    assert await wallets(books) == (5_000, 0, -1_800, 450, -1_000, 2_650)
    await books.check()


async def test_a_sale_counts_in_the_day_in_which_it_became_final(books: Books) -> None:
    await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
    order = await books.place(moment("2025-05-31 23:00"), GHS)
    assert await margins(books) == (0, 0, 0, 0, 0)
    assert await wallets(books) == (0, 5_000, -450, 0, 0, 4_550), "held on the day before"
    await books.end(moment("2025-06-01 00:00"), order, delivered=True, provider="vt", cost_minor=390)
    assert await margins(books) == (0, 0, 0, 0, 0)
    assert await margins(books, date(2025, 6, 1), date(2025, 6, 1)) == (1, 450, 390, 0, 60)


async def test_midnight_is_that_of_the_shops_zone(books: Books) -> None:
    await books.fund(moment("2025-04-01 12:00"), Money(5_000, GHS))
    await books.sell(moment("2025-05-01 23:59:59.999999", "Africa/Lagos"), GHS)
    await books.sell(moment("2025-05-02 00:00", "Africa/Lagos"), GHS)
    await books.sell(moment("2025-05-02 00:59:59", "Africa/Lagos"), GHS)

    async def days(zone: ZoneInfo) -> dict[str, int]:
        report = await Reports(books.database, zone).sales(FIRST, LAST, [By.DAY], Mode.LIVE)
        return {str(day): sales.sold for day, sales in named(report, "day").items()}

    assert await days(LAGOS) == {"2025-05-01": 1, "2025-05-02": 2}
    assert await days(ACCRA) == {"2025-05-01": 3}


async def test_days_of_23_and_25_hours_have_each_sale_once(books: Books) -> None:
    """In Cairo 25 April 2025 begins at 01:00, and 30 October 2025 has 25 hours."""
    await books.fund(moment("2025-01-01 12:00"), Money(100_000, GHS))
    edges = [midnight(date(2025, 4, 25), CAIRO), midnight(date(2025, 10, 31), CAIRO)]
    for edge in edges:
        for minutes in (-61, -1, 0, 1, 61):
            await books.sell(edge + timedelta(minutes=minutes), GHS)
    report = await Reports(books.database, CAIRO).sales(date(2025, 1, 1), date(2025, 12, 31), [By.DAY], Mode.LIVE)
    assert {str(day): sales.sold for day, sales in named(report, "day").items()} == {
        "2025-04-24": 2, "2025-04-25": 3, "2025-10-30": 2, "2025-10-31": 3,
    }  # fmt: skip


async def test_rows_are_told_apart_by_one_thing_or_several_and_currencies_always(books: Books) -> None:
    day = moment("2025-05-02 08:00")
    await books.fund(day, Money(50_000, GHS))
    await books.fund(day, Money(50_000, NGN))
    await books.fund(day, Money(50_000, GHS), Mode.TEST)
    await books.sell(day, GHS, provider="vt", network="MTN")
    await books.sell(day, GHS, provider="other", network="Telecel")
    await books.sell(day, GHS, provider="other", network="Telecel", delivered=False)
    await books.sell(day, NGN, provider="vt", network="MTN", cost_minor=0)
    reports = Reports(books.database, ACCRA)

    async def told(*by: By, mode: Mode = Mode.LIVE) -> dict[Any, tuple[int, int]]:
        report = await reports.sales(FIRST, LAST, by, mode)
        return {
            value: (sales.sold, sales.failed)
            for value, sales in named(
                report, *(one.value.replace("reseller", "reseller_id") for one in by), "currency"
            ).items()
        }

    assert await told(By.NETWORK) == {("MTN", "GHS"): (1, 0), ("MTN", "NGN"): (1, 0), ("Telecel", "GHS"): (1, 1)}
    assert await told(By.PROVIDER) == {("other", "GHS"): (1, 1), ("vt", "GHS"): (1, 0), ("vt", "NGN"): (1, 0)}
    assert await told(By.PRODUCT) == {("GH-MTN-1GB-30D", "GHS"): (2, 1), ("GH-MTN-1GB-30D", "NGN"): (1, 0)}
    assert await told(By.RESELLER) == {
        (str(books.ama.reseller_id), "GHS"): (2, 1), (str(books.ama.reseller_id), "NGN"): (1, 0),
    }  # fmt: skip
    assert await told(By.PROVIDER, By.NETWORK) == {
        ("other", "Telecel", "GHS"): (1, 1), ("vt", "MTN", "GHS"): (1, 0), ("vt", "MTN", "NGN"): (1, 0),
    }  # fmt: skip
    assert await told(By.DAY, mode=Mode.TEST) == {}
    totals = (await reports.sales(FIRST, LAST, [By.DAY], Mode.LIVE)).totals
    assert {currency: (one.sold, one.sold_minor) for currency, one in totals.items()} == {
        "GHS": (2, 900),
        "NGN": (1, 450),
    }


async def test_floats_say_what_each_provider_has_earned(books: Books) -> None:
    await books.fund(moment("2025-04-30 08:00"), Money(50_000, GHS))
    await books.sell(moment("2025-04-30 09:00"), GHS, provider="vt")
    await books.sell(moment("2025-05-01 09:00"), GHS, provider="vt", cost_minor=500)
    await books.sell(moment("2025-05-02 09:00"), GHS, provider="other", cost_minor=300)
    reports = Reports(books.database, ACCRA)
    found = named(await reports.holdings(AccountKind.PROVIDER, FIRST, LAST, [By.PROVIDER], Mode.LIVE), "provider")
    assert {name: (one.opening_minor, one.closing_minor) for name, one in found.items()} == {
        "vt": (390, 890),
        "other": (0, 300),
    }
    days = await reports.holdings(AccountKind.PROVIDER, FIRST, date(2025, 5, 2), [By.DAY], Mode.LIVE)
    assert [(str(key.day), one.opening_minor, one.closing_minor) for key, one in days.rows.items()] == [
        ("2025-05-01", 390, 890), ("2025-05-02", 890, 1_190),
    ]  # fmt: skip
    assert (days.totals["GHS"].opening_minor, days.totals["GHS"].closing_minor) == (390, 1_190)


async def test_identity_checks_are_sales_and_one_that_is_not_on_record_may_cost(
    database: Database, tmp_path: Path
) -> None:
    authority = Obedient()
    shop = await verification_shop(database, tmp_path, {"prembly": authority})
    books = await Books.open(database)
    async with database.connection() as tx:
        await tx.execute("insert into identity_cost values ('prembly', 'nin', 'NGN', 7000, 500)")
    await books.happened(moment("2025-04-30 09:00"))
    await shop.check(use_real_api=True)
    authority.answer = NotOnRecord()
    await shop.check("70123450404", use_real_api=True)
    await books.happened(moment("2025-05-03 09:00"))
    report = await Reports(database, LAGOS).sales(FIRST, LAST, [By.PRODUCT, By.PROVIDER], Mode.LIVE, with_cost=True)
    ((key, sold),) = report.rows.items()
    assert (key.product, key.provider, key.currency) == ("nin standard", "prembly", "NGN")
    assert (sold.sold, sold.sold_minor, sold.failed, sold.cost_minor, sold.margin_minor) == (1, 10_000, 1, 7_500, 2_500)
    done = await Reports(database, LAGOS).close(MAY, "Esi")
    assert done.open_sales == []
    await shop.close()
    await books.close()


async def test_refills_from_a_wallet_are_sales_and_those_by_voucher_are_not(database: Database, tmp_path: Path) -> None:
    shop = await network(database, tmp_path)
    books = await Books.open(database)
    await books.happened(moment("2025-04-30 09:00"))
    await shop.pay(100)
    _, (pin,) = await shop.issue()
    await shop.load(pin)
    await books.happened(moment("2025-05-03 09:00"))
    report = await Reports(database, LAGOS).sales(
        FIRST, LAST, [By.NETWORK, By.PRODUCT, By.PROVIDER], Mode.LIVE, with_cost=True
    )
    ((key, sold),) = report.rows.items()
    assert (key.network, key.product, key.provider) == ("", "refill DB00", "own_network")
    assert (sold.sold, sold.sold_minor, sold.cost_minor, sold.margin_minor) == (1, 10_000, 10_000, 0)
    await Reports(database, LAGOS).close(MAY, "Esi")
    await books.close()
    await shop.close()


async def test_play_money_that_was_spent_is_a_loss_of_the_day_of_its_void(database: Database) -> None:
    async with funding_shop(database, sandbox=True) as made:
        books = await Books.open(database)
        reference = await fund(made)
        await books.happened(moment("2025-05-02 09:00"))
        async with database.connection() as tx:
            await tx.execute("set session_replication_role = replica")
            await tx.execute("update wallet set balance_minor = 400 where balance_minor > 0")
            await tx.execute("set session_replication_role = origin")
        await PlayMoney(database, made.ledger).void(reference, "going live", "Ama")
        await books.happened(moment("2025-05-09 09:00"))
        spent = await made.value("select spent_minor from funding_void")
        assert spent > 0
        report = await Reports(database, LAGOS).sales(FIRST, LAST, [By.DAY], Mode.LIVE, with_cost=True)
        ((key, sold),) = report.rows.items()
        assert (str(key.day), sold.sold, sold.written_off_minor, sold.margin_minor) == ("2025-05-09", 0, spent, -spent)
        await books.close()


async def count_until(counting: DaySummaries, moment: datetime) -> None:
    """Count the days as far as a moment, as if it were the present one."""
    with pytest.MonkeyPatch.context() as patch:

        async def before(tx: Any, younger_s: float) -> datetime:
            return moment

        patch.setattr(summaries, "committed_before", before)
        while await counting.work():
            pass


async def require_ranked_as_whole(
    reports: Reports, ranking: RankedReports, first: date, last: date, currency: str
) -> None:
    """Pages of ranked resellers, one after the other, are the whole report in a currency."""

    async def all_pages(read: Callable[[Page], Awaitable[RankedPage[Any]]]) -> tuple[list[Any], dict[str, Any]]:
        rows: list[Any] = []
        for number in range(1, 99):
            page = await read(Page(number, 2, currency))
            rows += page.rows.items()
            if not page.has_more:
                break
        return rows, page.totals

    def require_same(rows: list[Any], whole: dict[Any, Any], amount_of: Callable[[Any], int]) -> None:
        assert dict(rows) == whole
        # Those of the same amount may stand in any order.
        assert [amount_of(one) for _, one in rows] == [amount_of(one) for one in whole.values()]

    sales = await reports.sales(first, last, [By.RESELLER], Mode.LIVE, with_cost=True)
    rows, totals = await all_pages(lambda page: ranking.sales(first, last, Mode.LIVE, page, with_cost=True))
    require_same(rows, ranked(sales, currency, lambda one: one.sold_minor), lambda one: one.sold_minor)
    assert totals == sales.totals

    def figures(held: Holding) -> dict[str, Any]:
        return {"transfers": held.transfers, **{name: say(held) for name, say in WALLETS.items()}}

    wallets = await reports.holdings(AccountKind.WALLET, first, last, [By.RESELLER], Mode.LIVE)
    rows, totals = await all_pages(lambda page: ranking.wallets(first, last, Mode.LIVE, page))
    whole = ranked(wallets, currency, lambda one: one.closing_minor)
    require_same(
        [(key, figures(one)) for key, one in rows],
        {key: figures(one) for key, one in whole.items()},
        lambda one: int(one["closing"]),
    )
    assert {code: figures(one) for code, one in totals.items()} == {
        code: figures(one) for code, one in wallets.totals.items()
    }


# Sums that agree with the ledger -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 20))])
async def test_whatever_happens_reports_come_to_what_the_ledger_says(books: Books, seed: int) -> None:
    dice = random.Random(seed)
    zone = ZoneInfo(dice.choice(["Africa/Accra", "Africa/Lagos", "Africa/Cairo", "Asia/Kathmandu"]))

    def when() -> datetime:
        return datetime(2025, 4, 20, tzinfo=UTC) + timedelta(seconds=dice.randrange(50 * 86_400))

    customers = [books.ama, await customer(books.database), await customer(books.database)]
    for books.ama in customers:
        for currency in (GHS, NGN):
            await books.fund(datetime(2025, 4, 1, tzinfo=UTC), Money(100_000, currency))
    # One who comes and goes, and one who never does anything.
    books.ama, _ = await customer(books.database), await customer(books.database)
    await books.fund(datetime(2025, 4, 21, tzinfo=UTC), Money(700, GHS))
    await books.debit(datetime(2025, 5, 20, tzinfo=UTC), Money(700, GHS))
    delivered, waiting, decided = [], [], []
    for _ in range(40):
        books.ama = dice.choice(customers)
        currency = dice.choice((GHS, NGN))
        step = dice.random()
        if step < 0.6:
            ends_well = dice.random() < 0.7
            network = dice.choice(("MTN", "Telecel"))
            order = await books.place(when(), currency, network=network)
            provider, cost_minor = dice.choice(("vt", "x")), dice.choice((0, 390, 450, 700))
            lent = dice.random() < 0.3
            if lent:
                await books.lend(when(), order, provider, cost_minor)
            if dice.random() < 0.1:
                waiting.append(order)
                continue
            await books.end(when(), order, delivered=ends_well, provider=provider, cost_minor=cost_minor)
            decided.append(order)
            if ends_well and not lent:
                delivered.append(order)
        elif step < 0.7 and decided:
            await books.contradict(when(), dice.choice(decided), delivered=dice.random() < 0.5)
        elif step < 0.75 and delivered:
            await books.refund(when(), delivered.pop(dice.randrange(len(delivered))))
        elif step < 0.85:
            await books.debit(when(), Money(dice.randint(1, 500), currency))
        else:
            await books.fund(when(), Money(dice.randint(1, 9_999), currency))
    reports = Reports(books.database, zone)
    ranking = RankedReports(books.database, zone, reports)
    first = date(2025, 4, 20) + timedelta(days=dice.randrange(40))
    last = first + timedelta(days=dice.randrange(25))

    async def look() -> list[Any]:
        begins_at, ends_at = midnight(first, zone), midnight(last + timedelta(days=1), zone)
        changes = await books.changes(begins_at, ends_at)
        before = await books.changes(datetime(2025, 1, 1, tzinfo=UTC), begins_at)
        seen = []
        for by in (
            [By.DAY],
            [By.NETWORK, By.PROVIDER],
            [By.RESELLER],
            [By.PRODUCT, By.DAY],
            [By.DAY, By.RESELLER],
            list(By),
        ):
            report = await reports.sales(first, last, by, Mode.LIVE, with_cost=True)
            for currency in ("GHS", "NGN"):
                sales = report.totals.get(currency, Sales())
                assert sales.margin_minor == sum(
                    changes.get((kind, "", currency), 0)
                    for kind in (AccountKind.MARGIN, AccountKind.LOSS, AccountKind.WRITE_OFF)
                )
                assert sales.cost_minor == sum(
                    minor
                    for (kind, _, unit), minor in changes.items()
                    if (kind, unit) == (AccountKind.PROVIDER, currency)
                )
            summed: dict[str, Sales] = {}
            for key, one in report.rows.items():
                summed.setdefault(key.currency, Sales()).add(one)
            assert summed == report.totals
            seen.append(report)
        for kind, by in (
            (AccountKind.PROVIDER, [By.PROVIDER]),
            (AccountKind.WALLET, [By.RESELLER]),
            (AccountKind.PROVISIONAL_CREDIT, []),
        ):
            for by_day in (False, True):
                held = await reports.holdings(kind, first, last, [By.DAY, *by] if by_day else by, Mode.LIVE)
                for currency in ("GHS", "NGN"):
                    total = held.totals.get(currency, Holding())
                    ours = [minor for (one, _, unit), minor in before.items() if (one, unit) == (kind, currency)]
                    moved = [minor for (one, _, unit), minor in changes.items() if (one, unit) == (kind, currency)]
                    assert (total.opening_minor, total.closing_minor) == (sum(ours), sum(ours) + sum(moved))
                seen.append(held)
        for code in ("GHS", "NGN"):
            await require_ranked_as_whole(reports, ranking, first, last, code)
        totals: dict[tuple[AccountKind, str, Mode, str], int] = {}
        for one in await books.ledger.totals():
            owner = "" if one.kind is AccountKind.WALLET else one.owner
            key = (one.kind, owner, one.mode, one.total.currency.code)
            totals[key] = totals.get(key, 0) + one.total.minor
        ours = {
            (one.kind, one.owner, one.mode, one.total.currency.code): one.total.minor for one in await reports.totals()
        }
        assert ours == totals
        return seen

    open_before = await look()
    # As far as some moment, and then to the end.
    counting = DaySummaries(books.database, zone, most=dice.choice((5, 1000)))
    await count_until(counting, when())
    assert await look() == open_before, "counting days changes no figure"
    if seed % 2:
        await reports.close(MAY, "Esi")
        assert await look() == open_before, "closing a month that is not counted changes no figure"
    while await counting.work():
        pass
    assert await look() == open_before, "counting days changes no figure"
    assert await reports.findings() == []
    if not seed % 2:
        done = await reports.close(MAY, "Esi")
        assert set(done.open_sales) <= {order.reference for order in waiting}
        assert await look() == open_before, "closing a month changes no figure"
        await counting.work()
        assert await look() == open_before, "nor does what is forgotten of its days"
        assert await reports.findings() == []
    await books.check()


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("update report_day_movement set change_minor = change_minor + 1 where kind = 1", "the ledger"),
        ("update report_day_sale set sold_minor = sold_minor + 1", "by the sales"),
        ("delete from report_day_wallet", "by the resellers"),
        ("update report_day_wallet set held_minor = held_minor + 1 where held_minor > 0", "wallet"),
        ("update report_day_wallet set held_minor = 1, lent_minor = lent_minor + 1", "one by one"),
    ],
)
async def test_the_check_finds_a_day_whose_figures_are_wrong(books: Books, damage: str, finding: str) -> None:
    await books.fund(moment("2025-05-01 08:00"), Money(10_000, GHS))
    order = await books.place(moment("2025-05-02 08:00"), GHS)
    await books.end(moment("2025-05-02 08:01"), order, delivered=True, provider="vt", cost_minor=390)
    while await DaySummaries(books.database, ACCRA).work():
        pass
    reports = Reports(books.database, ACCRA)
    assert await reports.findings() == []
    await books.damage(damage)
    assert any(finding in text for text in await reports.findings())


async def test_what_moves_wallets_alone_is_counted_once(books: Books) -> None:
    """A credit is no sale: the progress moves on with it all the same."""
    counting = DaySummaries(books.database, ACCRA)
    await books.fund(moment("2025-05-01 08:00"), Money(1_000, GHS))
    await count_until(counting, moment("2025-05-02 08:00"))
    await books.fund(moment("2025-05-02 08:01"), Money(10_000, GHS))
    for minute in (2, 3):
        await count_until(counting, moment(f"2025-05-02 08:0{minute}"))
    assert await Reports(books.database, ACCRA).findings() == []
    assert await wallets(books) == (0, 11_000, 0, 0, 0, 11_000)


async def test_who_bought_most_and_who_holds_most_stand_first(books: Books) -> None:
    names = []
    for orders in (1, 2, 0):
        books.ama = await customer(books.database)
        names.append(str(books.ama.reseller_id))
        await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
        await books.fund(moment("2025-05-01 12:00"), Money(100 + orders, NGN))
        for _ in range(orders):
            await books.sell(moment("2025-05-02 08:00"), GHS)
    reports = Reports(books.database, ACCRA)
    ranking = RankedReports(books.database, ACCRA, reports)
    one, two, none = names

    async def order(read: Callable[..., Awaitable[RankedPage[Any]]], page: Page) -> list[str | None]:
        return [key.reseller_id for key in (await read(FIRST, LAST, Mode.LIVE, page)).rows]

    for _ in range(2):
        assert await order(ranking.sales, Page(1, 1)) == [two]
        assert await order(ranking.sales, Page(2, 1)) == [one]
        assert await order(ranking.sales, Page(99, 1)) == []
        assert await order(ranking.sales, Page(1, 9, "NGN")) == []
        assert await order(ranking.wallets, Page(1, 2)) == [none, one]
        assert await order(ranking.wallets, Page(1, 2, "NGN")) == [two, one]
        assert await order(ranking.wallets, Page(2, 2, "NGN")) == [none]
        await count_until(DaySummaries(books.database, ACCRA), moment("2025-05-04 08:00"))


# Closed months ----------------------------------------------------------------------------------------------------------


async def test_what_is_corrected_after_a_month_was_closed_stands_where_it_is_made(books: Books) -> None:
    await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
    sold = await books.sell(moment("2025-05-02 08:00"), GHS)
    waiting = await books.place(moment("2025-05-30 08:00"), GHS)
    reports = Reports(books.database, ACCRA)
    done = await reports.close(MAY, "Esi")
    assert (done.month.month, done.month.transfers, done.month.by_whom, done.open_sales) == (
        MAY,
        5,
        "Esi",
        [waiting.reference],
    )
    sealed = await margins(books), await wallets(books)
    assert sealed == ((1, 450, 390, 0, 60), (0, 5_000, -900, 0, 0, 4_100))

    await books.end(moment("2025-06-03 08:00"), waiting, delivered=True, provider="vt", cost_minor=390)
    await books.refund(moment("2025-06-04 08:00"), sold)
    assert (await margins(books), await wallets(books)) == sealed
    assert await margins(books, date(2025, 5, 2), date(2025, 5, 2)) == (1, 450, 390, 0, 60)
    june = date(2025, 6, 1), date(2025, 6, 30)
    assert await margins(books, *june) == (1, 450, 390, 450, -390)
    assert await wallets(books, *june) == (4_100, 0, 0, 0, 450, 4_550)
    assert await margins(books, date(2025, 5, 2), date(2025, 6, 30)) == (2, 900, 780, 450, -330)
    await books.check()


async def test_what_is_written_off_after_a_month_was_closed_stands_where_it_is_made(books: Books) -> None:
    await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
    decided = await books.sell(moment("2025-05-02 08:00"), GHS, delivered=False)
    lent = await books.place(moment("2025-05-03 08:00"), GHS)
    await books.lend(moment("2025-05-05 08:00"), lent, "vt", 390)
    reports = Reports(books.database, ACCRA)
    done = await reports.close(MAY, "Esi")
    assert done.open_sales == [lent.reference]

    async def provisional(first: date, last: date) -> list[int]:
        held = (await reports.holdings(AccountKind.PROVISIONAL_CREDIT, first, last, [], Mode.LIVE)).totals["GHS"]
        return [held.opening_minor, held.of(TransferKind.CREDIT_WRITE_OFF), held.closing_minor]

    may, june = (date(2025, 5, 1), date(2025, 5, 31)), (date(2025, 6, 1), date(2025, 6, 30))
    sealed = await margins(books), await wallets(books), await provisional(*may)
    assert sealed == ((0, 0, 0, 0, 0), (0, 5_000, -900, 450, 0, 5_000), [0, 0, -450])

    await books.end(moment("2025-06-03 08:00"), lent, delivered=True, provider="vt", cost_minor=390)
    await books.contradict(moment("2025-06-04 08:00"), decided, delivered=True)
    assert (await margins(books), await wallets(books), await provisional(*may)) == sealed
    assert await provisional(*june) == [-450, 450, 0]
    # Price 4.50; cost 3.90, and 3.90 for the failed one; the credit of 4.50 is written off.
    assert await margins(books, *june) == (1, 450, 780, 0, -780)
    by_provider = await reports.sales(*june, [By.PROVIDER], Mode.LIVE, with_cost=True)
    assert [(key.provider, one.cost_minor, one.written_off_minor) for key, one in by_provider.rows.items()] == [
        ("vt", 780, 450)
    ]
    assert await reports.findings() == []
    await books.check()


async def test_figures_of_a_closed_month_are_those_that_were_sealed_whatever_the_orders_say(books: Books) -> None:
    await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
    await books.sell(moment("2025-05-02 08:00"), GHS)
    reports = Reports(books.database, ACCRA)
    await reports.close(MAY, "Esi")
    before = await margins(books), await wallets(books)
    await books.damage("update orders set updated_at = '2025-05-09', price_minor = 1, network = 'x'")
    assert (await margins(books), await wallets(books)) == before
    assert await margins(books, zone=LAGOS) == before[0], "days of the zone that it was closed in"


@pytest.mark.parametrize(
    ("zone", "month", "sentence"),
    [
        ("Africa/Accra", "2099-01", "2099-01 is not over before 2099-02-01 00:00"),
        ("Africa/Accra", "2025-05", "2025-05 was closed on"),
    ],
)
async def test_a_month_is_closed_once_and_after_its_end(books: Books, zone: str, month: str, sentence: str) -> None:
    reports = Reports(books.database, ZoneInfo(zone))
    await reports.close(MAY, "Esi")
    with pytest.raises(InvalidInput, match=sentence):
        await reports.close(Month.parse(month), "Kofi")
    assert [one.by_whom for one in await reports.closed()] == ["Esi"]


async def test_the_current_month_is_not_over(books: Books) -> None:
    reports = Reports(books.database, ACCRA)
    today = await reports.today()
    with pytest.raises(InvalidInput, match="is not over before"):
        await reports.close(Month(today.replace(day=1)), "Esi")


async def test_two_who_close_at_once_close_once(books: Books) -> None:
    await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
    reports = Reports(books.database, ACCRA)
    done = await asyncio.gather(reports.close(MAY, "Esi"), reports.close(MAY, "Kofi"), return_exceptions=True)
    refused = [one for one in done if isinstance(one, InvalidInput)]
    assert len(refused) == 1, done
    assert "closed" in str(refused[0])
    await books.check()


async def test_a_transaction_from_before_the_end_of_the_month_is_waited_for(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def one(*_: Any) -> int:
        return 1

    monkeypatch.setattr(store, "unfinished_since", one)
    with pytest.raises(InvalidInput, match="are not over yet"):
        await Reports(books.database, ACCRA).close(MAY, "Esi")


async def test_transactions_that_began_before_a_moment_are_seen(books: Books) -> None:
    async with books.database.transaction() as tx, books.database.connection() as other:
        began = await tx.fetchval("select now()")
        assert await store.unfinished_since(other, began) == 0
        assert await store.unfinished_since(other, began + timedelta(seconds=1)) == 1


async def test_a_month_whose_sales_and_ledger_disagree_is_not_closed(books: Books) -> None:
    await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
    await books.sell(moment("2025-05-02 08:00"), GHS)
    await books.damage("update orders set price_minor = 451")
    with pytest.raises(InvariantBroken, match="GHS"):
        await Reports(books.database, ACCRA).close(MAY, "Esi")
    assert await Reports(books.database, ACCRA).closed() == []


DAMAGES = {
    "a sale was changed": "update report_sale set sold_minor = sold_minor + 1",
    "a sale is gone": "delete from report_sale",
    "an opening balance was changed": "update report_balance set opening_minor = opening_minor + 1",
    "a movement was changed": "update report_movement set change_minor = change_minor + 1",
    "the span was changed": "update report_month set ends_at = ends_at + interval '1 day'",
    "the digest was changed": "update report_month set digest = 'x'",
    "the ledger moved into the month": "update transfer set created_at = '2025-05-20' where kind = 6",
}


@pytest.mark.parametrize("damage", [None, *DAMAGES])
async def test_the_check_of_closed_months_finds(books: Books, damage: str | None) -> None:
    await books.fund(moment("2025-04-30 12:00"), Money(5_000, GHS))
    await books.sell(moment("2025-05-02 08:00"), GHS)
    await Reports(books.database, ACCRA).close(MAY, "Esi")
    if damage is not None:
        await books.damage(DAMAGES[damage])
    async with books.database.connection() as tx:
        assert bool(await findings_of(tx, INVARIANTS)) is (damage is not None)


@pytest.mark.parametrize("table", ["report_month", "report_sale", "report_balance", "report_movement"])
async def test_what_was_sealed_is_never_changed(books: Books, table: str) -> None:
    async with books.database.connection() as tx:
        for statement in (f"update {table} set month = month", f"delete from {table}", f"truncate {table}"):
            with pytest.raises(Exception, match="never changed or removed"):
                await tx.execute(statement)


# By command -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(database_url: str) -> Shop:
    return Shop(database_url)


SPAN = ("--from", "2025-05-01", "--to", "2025-05-31")


def filled(shop: Shop) -> None:
    async def work(database: Database) -> None:
        books = await Books.open(database)
        await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
        await books.fund(moment("2025-05-01 12:00"), Money(5_000, NGN))
        await books.sell(moment("2025-05-02 08:00"), GHS)
        await books.sell(moment("2025-05-02 23:30"), GHS, delivered=False, network="Telecel")
        await books.sell(moment("2025-05-02 08:00"), NGN, cost_minor=500)
        await books.close()

    shop.work(work)


def test_reports_by_command_have_rows_and_totals_by_currency(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(shop)
    sales = shop.data("report", "sales", *SPAN)
    assert sales["rows"] == [
        {"day": "2025-05-02", "currency": "GHS", "sold": 1, "amount": Decimal("4.50"), "failed": 1, "refunds": 0, "refunded": 0},
        {"day": "2025-05-02", "currency": "NGN", "sold": 1, "amount": Decimal("4.50"), "failed": 0, "refunds": 0, "refunded": 0},
    ]  # fmt: skip
    assert sales["total"]["GHS"] == {"sold": 1, "amount": Decimal("4.50"), "failed": 1, "refunds": 0, "refunded": 0}
    assert set(sales["total"]) == {"GHS", "NGN"}
    assert (sales["from"], sales["to"], sales["zone"], sales["mode"]) == ("2025-05-01", "2025-05-31", "UTC", "live")
    margin = shop.data("report", "margin", *SPAN, "--by", "provider")
    assert [(row["provider"], row["currency"], row["cost"], row["margin"]) for row in margin["rows"]] == [
        ("vt", "GHS", Decimal("3.90"), Decimal("0.60")), ("vt", "NGN", 5, Decimal("-0.50")),
    ]  # fmt: skip
    outcomes = shop.data("report", "outcomes", *SPAN)["rows"]
    assert [(row["network"], row["currency"], row["delivered"], row["failed"], row["delivered_percent"]) for row in outcomes] == [
        ("MTN", "GHS", 1, 0, 100), ("MTN", "NGN", 1, 0, 100), ("Telecel", "GHS", 0, 1, 0),
    ]  # fmt: skip
    floats = shop.data("report", "floats", *SPAN)
    assert floats["total"] == {
        "GHS": {"opening": 0, "cost": Decimal("3.90"), "closing": Decimal("3.90")},
        "NGN": {"opening": 0, "cost": 5, "closing": 5},
    }
    wallets = shop.data("report", "wallets", "--from", "2025-05-02", "--to", "2025-05-02")
    (email,) = (user["email"] for user in shop.data("user", "list")["users"])
    assert wallets["rows"][0] == {
        "reseller": email, "currency": "GHS", "opening": 50, "credits": 0, "sales": -9, "releases": Decimal("4.50"), "refunds": 0,
        "debits": 0, "voids": 0, "closing": Decimal("45.50"),
    }  # fmt: skip
    printed = shop.run("report", "wallets", *SPAN).stdout
    assert "2025-05-01 to 2025-05-31 (UTC)" in printed
    assert printed.count("total") == 2, "one for each currency"
    monkeypatch.setenv("TELVEND_TIMEZONE", "Africa/Lagos")
    assert [row["day"] for row in shop.data("report", "sales", *SPAN)["rows"]] == [
        "2025-05-02",
        "2025-05-02",
        "2025-05-03",
    ]
    assert shop.data("report", "sales", *SPAN, "--mode", "test")["rows"] == []


def test_csv_is_whole(shop: Shop) -> None:
    filled(shop)
    rows = sheet(shop.run("report", "sales", *SPAN, "--by", "day", "--by", "network", "--csv").stdout)
    assert [(row["day"], row["network"], row["currency"], row["amount"], row["failed"]) for row in rows] == [
        ("2025-05-02", "MTN", "GHS", "4.50", "0"), ("2025-05-02", "MTN", "NGN", "4.50", "0"), ("2025-05-02", "Telecel", "GHS", "0.00", "1"),
    ]  # fmt: skip
    days = sheet(
        shop.run("report", "wallets", "--from", "2020-01-01", "--to", "2025-05-31", "--by", "day", "--csv").stdout
    )
    assert len(days) == 2 * 1978


def test_an_empty_shop_has_empty_reports(shop: Shop) -> None:
    for name in ("sales", "margin", "outcomes", "floats", "wallets"):
        found = shop.data("report", name)
        assert (found["rows"], found["total"]) == ([], {})
        assert shop.run("report", name).stdout == "Nothing has moved in these days.\n"
        assert len(shop.run("report", name, "--csv").stdout.splitlines()) == 1
    assert shop.run("report", "months").stdout == "No month is closed.\n"


def test_a_month_is_closed_by_command(shop: Shop) -> None:
    filled(shop)
    before = [shop.data("report", name, *SPAN) for name in ("sales", "margin", "floats", "wallets", "outcomes")]
    done = shop.data("report", "close", "2025-05", "--by", "Esi")
    assert (done["month"], done["by"], done["zone"], done["open"], len(done["digest"])) == (
        "2025-05",
        "Esi",
        "UTC",
        [],
        64,
    )
    assert [shop.data("report", name, *SPAN) for name in ("sales", "margin", "floats", "wallets", "outcomes")] == before
    assert shop.refused("report", "close", "2025-05").endswith("by Esi; its figures stand")
    assert "2025-05" in shop.run("report", "months").stdout
    assert shop.data("report", "months")["months"][0]["digest"] == done["digest"]
    assert shop.data("ledger", "check")["ok"]
    assert shop.data("report", "months", "--check")["ok"]
    assert "is as it was" in shop.run("report", "months", "--check").stdout
    shop.execute("set session_replication_role = replica; update report_movement set change_minor = change_minor + 1")
    found = shop.data("report", "months", "--check", code=1)
    assert (found["ok"], len(found["findings"]) > 1) == (False, True)
    assert "2025-05 was closed with digest" in shop.run("report", "months", "--check", code=1).stdout


def test_sales_that_are_open_when_a_month_is_closed_are_named(shop: Shop) -> None:
    async def work(database: Database) -> str:
        books = await Books.open(database)
        await books.fund(moment("2025-05-01 12:00"), Money(5_000, GHS))
        order = await books.place(moment("2025-05-02 12:00"), GHS)
        await books.close()
        return order.reference

    reference = shop.work(work)
    said = shop.run("report", "close", "2025-05").stdout
    assert "1 of the sales begun before its end are still open, and count in the month in which they end" in said
    assert reference in said


def test_wrong_input_is_refused_with_a_sentence(shop: Shop) -> None:
    assert (
        shop.refused("report", "sales", "--from", "2025-05-02", "--to", "2025-05-01") == "to: must not be before --from"
    )
    assert shop.refused("report", "sales", "--to", "2025-05-01").startswith("from: ")
    assert "days after" in shop.refused("report", "sales", "--from", "1980-01-01", "--to", "2025-05-01")
    assert shop.refused("report", "sales", "--from", "0001-01-01", "--to", "2025-05-01").startswith("from: ")
    assert shop.refused("report", "wallets", *SPAN, "--by", "network") == "by: must be day or reseller here"
    assert shop.refused("report", "floats", *SPAN, "--by", "reseller") == "by: must be day or provider here"
    assert shop.refused("report", "close", "May").startswith("month: must be a month such as")
    assert shop.refused("report", "close", "2025-05", "--by", " \n").startswith("by: ")
    for wrong in (("--from", "yesterday"), ("--by", "colour"), ("--mode", "x"), ("--from", "2025-02-30")):
        assert shop.run("report", "sales", *wrong, code=2).stdout == ""
