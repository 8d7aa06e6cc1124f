"""A purchase that the printed networkdatasub did not answer: it is found in the list only where nothing else can explain it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest

from telvend.config import ProviderSettings
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.providers.connectors import connect
from telvend.providers.contract import Accepted, Delivered, Delivery, Refused, Unknown
from tests.contract.provider_rigs import delivery_in_nigeria
from tests.contract.situations import Situation
from tests.vendor_doubles import Entry, NetworkDataSubDouble, answer

PHONE: Final = "08031234567"
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
LOST: Final = replace(delivery_in_nigeria("+2348031234567", "AT-7H2K-1"), started_at=START, rivals=0)
SETTINGS: Final = ProviderSettings(connector="networkdatasub", api_key=Secret(NetworkDataSubDouble.KEY))


def entry(number: int, created_s: float = 1, phone: str = PHONE, service: str = "data", **changes: Any) -> Entry:
    form = {"network": "mtn", "phone": phone, "service": service}
    return Entry(number, f"own-{number}", phone, form, created_s, **{"deliveries": 1} | changes)


async def told(
    double: NetworkDataSubDouble, delivery: Delivery = LOST, after_s: float = 600
) -> Delivered | Accepted | Refused | Unknown:
    provider = connect("up", SETTINGS, double.clock, transport=double.transport)
    double.clock.pass_time(after_s)
    outcome = await provider.requery(delivery)
    assert isinstance(outcome, Delivered | Accepted | Refused | Unknown)
    return outcome


async def test_the_only_one_like_it_is_ours() -> None:
    double = NetworkDataSubDouble(book=[entry(1)])
    assert await told(double) == Delivered("DATA-1-xyz", Money(300_00, NGN))


async def test_one_that_failed_or_is_open_is_said_to_be_so() -> None:
    assert isinstance(await told(NetworkDataSubDouble(book=[entry(1, refused=True, deliveries=0)])), Refused)
    assert isinstance(await told(NetworkDataSubDouble(book=[entry(1, settles_at_s=9999)])), Accepted)


async def test_that_nothing_is_found_means_nothing_at_any_age() -> None:
    for after_s in (600, 86_400, 10_000_000):
        assert isinstance(await told(NetworkDataSubDouble(), after_s=after_s), Unknown)


@pytest.mark.parametrize(
    ("book", "delivery"),
    [
        pytest.param([entry(1), entry(2)], LOST, id="another identical purchase"),
        pytest.param([entry(1), entry(2, 40_000)], LOST, id="an identical purchase half a day later"),
        pytest.param([entry(1), entry(2, refused=True)], LOST, id="an identical purchase that failed"),
        pytest.param([entry(1, -61)], LOST, id="made before ours was sent"),
        pytest.param([entry(1, 200)], LOST, id="made after ours had timed out"),
        pytest.param([entry(1)], replace(LOST, rivals=1), id="another order of ours for the same recipient"),
        pytest.param([entry(1)], replace(LOST, rivals=None), id="nobody has counted our other orders"),
        pytest.param([entry(1)], replace(LOST, started_at=None), id="nobody knows when it was sent"),
        pytest.param([entry(1, phone="08039999999")], LOST, id="another recipient"),
        pytest.param([entry(1, service="airtime")], LOST, id="airtime"),
        pytest.param([entry(1)], replace(LOST, size="2GB"), id="another size"),
        pytest.param(
            [entry(1)], replace(LOST, validity_days=7, type="Direct"), id="another plan of the size, by its price"
        ),
        pytest.param([entry(1)], replace(LOST, provider_code="77"), id="a plan whose price is not known"),
        pytest.param([entry(1)], replace(LOST, network="glo"), id="another network"),
    ],
)
async def test_where_a_doubt_is_left_it_stays_unknown(book: list[Entry], delivery: Delivery) -> None:
    assert isinstance(await told(NetworkDataSubDouble(book=book), delivery), Unknown)


async def test_nothing_is_concluded_before_its_time_is_over() -> None:
    for after_s in (0, 60, 150):
        assert isinstance(await told(NetworkDataSubDouble(book=[entry(1)]), after_s=after_s), Unknown)


async def test_airtime_is_found_by_its_amount() -> None:
    airtime = replace(delivery_in_nigeria("+2348031234567", "AT-1", "airtime"), started_at=START, rivals=0)
    bought = entry(1, service="airtime")
    bought.request["amount"] = 300
    assert isinstance(await told(NetworkDataSubDouble(book=[bought]), airtime), Delivered)
    other = replace(airtime, face_value=Money(400_00, NGN))
    assert isinstance(await told(NetworkDataSubDouble(book=[bought]), other), Unknown)


async def test_every_page_is_read() -> None:
    crowd = [entry(number, phone=f"0803{number:07}") for number in range(2, 160)]
    assert isinstance(await told(NetworkDataSubDouble(book=[entry(1), *crowd])), Delivered)
    # The twin stands at the other end of the list.
    double = NetworkDataSubDouble(book=[entry(1), *crowd, entry(900)])
    assert isinstance(await told(double), Unknown)
    pages = [request.url.params for request in double.seen if request.url.path == "/api/transactions"]
    assert [page["page"] for page in pages] == ["1", "2", "3", "4"]
    assert {(page["type"], page["start_date"], page["end_date"]) for page in pages} == {
        ("debit", "2025-12-31", "2026-01-02")
    }


async def test_a_list_that_grows_under_the_reading_hides_nothing() -> None:
    class Growing(NetworkDataSubDouble):
        def page(self, request: httpx.Request) -> dict[str, Any]:
            shown = super().page(request)
            self.book.append(entry(1000 + len(self.book), phone="08030000000"))
            return shown

    crowd = [entry(number, phone=f"0803{number:07}") for number in range(2, 120)]
    assert isinstance(await told(Growing(book=[entry(1), *crowd])), Delivered)
    assert isinstance(await told(Growing(book=[entry(1), *crowd[:49], entry(900), *crowd[49:]])), Unknown)


def broken(change: Callable[[dict[str, Any]], object]) -> NetworkDataSubDouble:
    class Broken(NetworkDataSubDouble):
        def page(self, request: httpx.Request) -> dict[str, Any]:
            shown = super().page(request)
            change(shown)
            return shown

    crowd = [entry(number, phone=f"0803{number:07}") for number in range(2, 60)]
    return Broken(book=[entry(1), *crowd])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda page: page["data"].pop(0), id="a line is missing"),
        pytest.param(lambda page: page.update(total=page["total"] + 1), id="fewer lines than it counts"),
        pytest.param(lambda page: page.update(current_page=1), id="the first page again"),
        pytest.param(lambda page: page.update(last_page="2"), id="no number of pages"),
        pytest.param(lambda page: page.update(last_page=1), id="the end too soon"),
        pytest.param(lambda page: page.update(last_page=500), id="too many pages"),
        pytest.param(lambda page: page["data"][0]["meta"].pop("phone"), id="a purchase without its number"),
        pytest.param(
            lambda page: page["data"][0].update(amount="3,00"), id="a purchase with an amount that cannot be read"
        ),
        pytest.param(lambda page: page["data"][0].update(created_at="yesterday"), id="a purchase without its time"),
        pytest.param(
            lambda page: page["data"][0].update(created_at="2026-01-01T00:00:00"), id="a time without its zone"
        ),
        pytest.param(lambda page: page["data"][0].pop("meta"), id="a debit that may be anything"),
        pytest.param(lambda page: page["data"][0].update(id=None), id="a line without its number"),
        pytest.param(lambda page: page.update(data="many"), id="no lines"),
    ],
)
async def test_a_list_that_is_not_as_printed_proves_nothing(change: Callable[[dict[str, Any]], object]) -> None:
    assert isinstance(await told(broken(lambda _: None)), Delivered)
    assert isinstance(await told(broken(change)), Unknown)


async def test_what_is_no_purchase_at_all_leaves_no_doubt() -> None:
    def add(page: dict[str, Any]) -> None:
        for number, line in enumerate(page["data"][:2]):
            line.update({"type": ("credit", "debit")[number], "meta": {"service_type": ("x", "nin")[number]}})

    assert isinstance(await told(broken(add)), Delivered)


async def test_a_list_that_is_not_answered_proves_nothing() -> None:
    class Away(NetworkDataSubDouble):
        def other(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == "/api/transactions":
                return answer(429, {"success": False, "message": "Too many requests"})
            return super().other(request)

    assert isinstance(await told(Away(book=[entry(1)])), Unknown)


async def test_a_transaction_belongs_to_one_order_only() -> None:
    double = NetworkDataSubDouble()
    provider = connect("up", SETTINGS, double.clock, transport=double.transport)
    answered = replace(LOST, reference="AT-1-1")
    assert isinstance(await provider.deliver(answered), Delivered)
    double.situations[PHONE] = Situation.SILENCE
    assert isinstance(await provider.deliver(LOST), Unknown)
    double.clock.pass_time(600)
    assert isinstance(await provider.requery(LOST), Unknown)
    assert isinstance(await provider.requery(answered), Delivered)
