"""The lists of transactions of Reloadly and DT One: pages, days, rows and pages that cannot be read. MADAPI has none."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest

from telvend.config import ProviderSettings
from telvend.kit.money import Currency, Money
from telvend.kit.secret import Secret
from telvend.providers import pages
from telvend.providers.connectors import connect
from telvend.providers.dtone import wire as dtone
from telvend.providers.over_http import ProviderReply
from telvend.providers.pages import TransactionPage, transactions
from telvend.providers.reloadly import wire as reloadly
from telvend.providers.upstream import LineStatus, ListsTransactions, StatementLine, StatementUnavailable
from tests.clocks import FakeClock
from tests.contract.provider_rigs import delivery_in_nigeria
from tests.contract.situations import Situation
from tests.unit.providers.vendors.test_world import DOUBLES, SETTINGS
from tests.vendor_doubles import VendorDouble, answer, reply
from tests.world_doubles import DTOneDouble, ReloadlyDouble

DAY: Final = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
USD: Final = Currency("USD", 2)


async def sold(name: str, count: int) -> tuple[VendorDouble, ListsTransactions]:
    """A double with `count` purchases of airtime, and the connector that made them."""
    double = DOUBLES[name]()
    provider = connect(name, SETTINGS[name], FakeClock(), transport=httpx.MockTransport(double.handle))
    assert isinstance(provider, ListsTransactions)
    for number in range(count):
        delivery = delivery_in_nigeria(f"+23480312{number:05}", f"AT-{number}-1", "airtime")
        await provider.deliver(delivery)
    return double, provider


async def listed(provider: ListsTransactions) -> list[StatementLine]:
    return [line async for line in provider.statement(*DAY)]


def asked_pages(double: VendorDouble) -> list[dict[str, str]]:
    return [
        dict(request.url.params)
        for request in double.seen
        if "page" in request.url.params and "transactions" in request.url.path
    ]


async def test_reloadly_lists_every_top_up_of_the_days_around_however_many_pages() -> None:
    double, provider = await sold("reloadly", 205)
    lines = await listed(provider)
    assert len({line.reference for line in lines}) == len(lines) == 205
    assert lines[-1] == StatementLine(
        LineStatus.DELIVERED,
        reference="AT-0-1",
        provider_reference="4602844",
        # Midnight of the American East is five hours later.
        at=datetime(2026, 1, 1, 5, tzinfo=UTC),
        charged=Money(65, USD),
        subscriber="+2348031200000",
        product="MTN Nigeria",
        word="SUCCESSFUL",
    )
    queries = asked_pages(double)
    assert [query["page"] for query in queries] == ["1", "2"]
    assert {(query["startDate"], query["endDate"]) for query in queries} == {
        ("2025-12-30 19:00:00", "2026-01-02 19:00:00")
    }


async def test_dt_one_lists_every_transaction_of_the_day_however_many_pages() -> None:
    double, provider = await sold("dtone", 101)
    lines = await listed(provider)
    assert len({line.reference for line in lines}) == len(lines) == 101
    assert lines[-1] == StatementLine(
        LineStatus.DELIVERED,
        reference="AT-0-1",
        provider_reference=lines[-1].provider_reference,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        charged=Money(65, USD),
        subscriber="+2348031200000",
        product="a product",
        word="COMPLETED",
    )
    queries = asked_pages(double)[-2:]
    assert [query["page"] for query in queries] == ["1", "2"]
    assert {(query["from_date"], query["to_date"]) for query in queries} == {
        ("2025-12-31T23:00:00Z", "2026-01-02T01:00:00Z")
    }


@pytest.mark.parametrize("name", DOUBLES)
async def test_a_day_without_a_sale_is_an_empty_list(name: str) -> None:
    _, provider = await sold(name, 0)
    assert await listed(provider) == []


@pytest.mark.parametrize("name", DOUBLES)
async def test_a_page_that_fails_is_asked_for_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    double, provider = await sold(name, 3)
    whole: Callable[[httpx.Request], httpx.Response] = double.page  # type: ignore[attr-defined]
    failures: list[httpx.Response | Exception] = [
        httpx.Response(503, text="busy"),
        httpx.ReadTimeout("silence"),
        answer(429, {}, "application/json"),
    ]

    def failing(request: httpx.Request) -> httpx.Response:
        if not failures:
            return whole(request)
        failure = failures.pop()
        if isinstance(failure, Exception):
            raise failure
        return failure

    monkeypatch.setattr(double, "page", failing)
    assert len(await listed(provider)) == 3
    failures[:] = [httpx.Response(503, text="busy") for _ in range(4)]
    with pytest.raises(StatementUnavailable, match="page 1 of the list of transactions cannot be read: HTTP 503"):
        await listed(provider)


@pytest.mark.parametrize("name", DOUBLES)
@pytest.mark.parametrize("status", [400, 401, 403])
async def test_what_says_the_same_the_next_time_is_not_asked_again(
    name: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    double, provider = await sold(name, 3)
    asked = []

    def refusing(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer(status, {"message": "no"})

    monkeypatch.setattr(double, "page", refusing)
    with pytest.raises(StatementUnavailable, match=f"HTTP {status}"):
        await listed(provider)
    assert len(asked) == 1


async def test_credentials_that_are_refused_are_named_and_not_shown() -> None:
    double = ReloadlyDouble()
    settings = ProviderSettings(connector="reloadly", client_id=Secret("wrong"), client_secret=Secret("wrong-secret"))
    provider = connect("rl", settings, FakeClock(), transport=httpx.MockTransport(double.handle))
    assert isinstance(provider, ListsTransactions)
    with pytest.raises(StatementUnavailable, match="the credentials are not accepted: INVALID_CREDENTIALS") as raised:
        await listed(provider)
    assert "wrong-secret" not in str(raised.value)


ROW: Final = {"transactionId": 1, "status": "SUCCESSFUL", "customIdentifier": "AT-1-1"}


def reloadly_page(*rows: Any) -> TransactionPage:
    page = reloadly.page_of(reply(200, {"content": list(rows), "totalElements": len(rows), "totalPages": 1}))
    assert page is not None
    return page


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, LineStatus.DELIVERED),
        ({"status": "PROCESSING"}, LineStatus.PENDING),
        ({"status": "REFUNDED"}, LineStatus.FAILED),
        ({"status": "FAILED"}, LineStatus.FAILED),
        ({"status": "QUEUED"}, LineStatus.UNKNOWN),
        ({"status": "successful"}, LineStatus.UNKNOWN),
    ],
)
def test_what_reloadly_says_of_a_top_up(change: dict[str, Any], expected: LineStatus) -> None:
    ((theirs, line),) = reloadly_page(ROW | change).lines
    assert (theirs, line.status, line.reference, line.at) == ("1", expected, "AT-1-1", None)


@pytest.mark.parametrize("row", ["text", None, {}, ROW | {"transactionId": None}, ROW | {"status": 3}])
def test_a_row_that_cannot_be_read_is_counted(row: Any) -> None:
    page = reloadly_page(ROW, row)
    assert (len(page.lines), page.unread) == (1, 1)


@pytest.mark.parametrize(
    ("number", "word", "expected"),
    [
        (1, "CREATED", LineStatus.PENDING),
        (2, "CONFIRMED", LineStatus.PENDING),
        (3, "REJECTED", LineStatus.FAILED),
        (4, "CANCELLED", LineStatus.FAILED),
        (5, "SUBMITTED", LineStatus.PENDING),
        (7, "COMPLETED", LineStatus.DELIVERED),
        (8, "REVERSED", LineStatus.FAILED),
        (9, "DECLINED", LineStatus.FAILED),
        (6, "QUEUED", LineStatus.UNKNOWN),
        (7, "DECLINED", LineStatus.UNKNOWN),
    ],
)
def test_what_dt_one_says_of_a_transaction(number: int, word: str, expected: LineStatus) -> None:
    row = {"id": 1, "external_id": "AT-1-1", "status": {"message": word, "class": {"id": number, "message": word}}}
    page = dtone.page_of(reply(200, [row, {"external_id": "AT-2-1"}]))
    assert page is not None
    assert page.unread == 1
    assert (page.lines[0][1].status, page.lines[0][1].reference) == (expected, "AT-1-1")
    assert (page.last, page.total) == (None, None)


@pytest.mark.parametrize("body", [{"content": "none"}, {"totalElements": 0}, []])
def test_an_answer_that_is_no_page_is_none(body: Any) -> None:
    assert reloadly.page_of(reply(200, body)) is None
    assert reloadly.page_of(reply(503, {"content": [], "totalElements": 0})) is None
    assert dtone.page_of(reply(200, {"rows": []})) is None
    assert dtone.page_of(reply(404, {"errors": [{"code": 1000404}]})) is None


# Pages in general --------------------------------------------------------------------------------------------------------


def page(*names: str, unread: int = 0, last: int | None = None, total: int | None = None) -> TransactionPage:
    lines = [(name, StatementLine(LineStatus.DELIVERED, provider_reference=name)) for name in names]
    return TransactionPage(lines, unread, last, total)


def read_all(*found: TransactionPage) -> AsyncIterator[StatementLine]:
    """Read these pages, two rows each."""

    async def read(request: httpx.Request) -> ProviderReply:
        return ProviderReply(200, request.url.params["page"].encode(), {})

    return transactions(
        read,
        lambda number: httpx.Request("GET", "https://x.example", params={"page": str(number)}),
        lambda reply: found[int(reply.body) - 1],
        FakeClock(),
        2,
    )


async def test_without_a_count_a_short_page_is_the_last_one() -> None:
    lines = [line async for line in read_all(page("a", "b"), page("c", unread=1), page("d"))]
    assert [line.provider_reference for line in lines] == ["a", "b", "c", "", "d"]
    assert lines[3].status is LineStatus.UNKNOWN


async def test_what_moves_to_the_next_page_counts_once() -> None:
    lines = [line async for line in read_all(page("b", "c", last=2, total=3), page("c", "d", last=2, total=4))]
    assert [line.provider_reference for line in lines] == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((page("a", "b", last=2, total=4), page("c", last=2, total=4)), "has changed while it was read"),
        ((page("a", "b", last=2, total=4), page("c", last=2, total=3)), "has become shorter"),
        ((page("a", "b", last=2, total=3), page("a", "b", last=2, total=3)), "has changed while it was read"),
        ((page("a", "b", last=3, total=5), page(last=3, total=5)), "page 2 of the list of transactions is empty"),
    ],
)
async def test_a_list_that_is_not_whole_is_refused(found: tuple[TransactionPage, ...], said: str) -> None:
    with pytest.raises(StatementUnavailable, match=said):
        _ = [line async for line in read_all(*found)]


async def test_a_list_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_PAGES", 2)
    with pytest.raises(StatementUnavailable, match="more than 2 pages"):
        _ = [line async for line in read_all(page("a", "b"), page("c", "d"), page("e", "f"))]


async def test_a_refused_purchase_is_on_the_list_as_dt_one_has_it() -> None:
    double, provider = await sold("dtone", 1)
    assert isinstance(double, DTOneDouble)
    double.situations["08031200001"] = Situation.REFUSES
    await connect("x", SETTINGS["dtone"], FakeClock(), transport=httpx.MockTransport(double.handle)).deliver(
        delivery_in_nigeria("+2348031200001", "AT-9-1", "airtime")
    )
    assert [line.reference for line in await listed(provider)] == ["AT-0-1"]


def test_madapi_says_why_it_lists_nothing() -> None:
    settings = ProviderSettings(connector="madapi", client_id=Secret("key"), client_secret=Secret("secret"))
    provider = connect("mtn", settings, FakeClock())
    assert not isinstance(provider, ListsTransactions)
    assert "no list of transactions" in provider.without_list
