"""The pages by which a person spends money: once, whatever is clicked twice; at the price that was shown; from nobody else's wallet."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from telvend.audit.service import audit_books
from telvend.bootstrap import Shop
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.kit.secret import Secret
from telvend.orders.model import OrderFilter
from telvend.people.model import Surface
from tests.conftest import Server
from tests.store.buyers import BASE, GB, PASSWORD, Browser, Stage, served


@pytest.fixture(scope="module")
async def running(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Shop, Any]]:
    """One shop for this file. Nothing is delivered."""
    async with server.database("buying_pages") as url, served(url, tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
async def shop(running: tuple[Shop, Any]) -> Stage:
    """Ama is new every time, is signed in and has 10.00."""
    made = Stage(*running)
    await made.enter("10")
    return made


@asynccontextmanager
async def changed(shop: Stage, price: str | None = None, *, on_sale: bool = True) -> AsyncIterator[None]:
    """The catalogue with another price of the bundle, or without its network."""
    catalogue = shop.shop.catalogue
    if price is not None:
        await catalogue.change_price(GB, price=price, allow_loss=True)
    if not on_sale:
        await catalogue.switch_network("MTN", False, country="GH")
    await shop.shop.watch.look()
    try:
        yield
    finally:
        await catalogue.change_price(GB, price="4.50")
        await catalogue.switch_network("MTN", True, country="GH")
        await shop.shop.watch.look()


async def books_hold(shop: Stage) -> None:
    report = await audit_books(shop.shop.database)
    assert report.ok, report.findings


# From the number to the transaction ---------------------------------------------------------------------------------------


async def test_a_number_its_network_a_plan_a_summary_and_the_purchase(shop: Stage) -> None:
    first = await shop.ama.get("/buy")
    assert 'for="f-phone">Phone number<' in first.source
    choose = await shop.ama.get("/buy", phone="024 123 4567")
    assert choose.status == 200
    assert ">MTN</option>" in choose.source.split("selected", 1)[1][:40]
    assert 'value="data" checked' in choose.source
    assert "1GB 30 Days GH₵4.50" in choose.text
    once = choose.fields("/buy")["once"]
    summary = await shop.ama.get("/buy", phone="0241234567", kind="data", plan=GB, once=once)
    assert "Price GH₵4.50 Left in the wallet GH₵5.50" in summary.text
    assert await shop.orders() == 0
    bought = await shop.ama.post("/buy", summary.fields("/buy"))
    assert bought.status == 303
    assert bought.place.startswith("/transactions/WEB-")
    assert (await shop.orders(), await shop.balance()) == (1, "5.50")

    sale = await shop.ama.get(bought.place)
    assert sale.status == 200
    for said in (
        "MTN 1GB for 024 123 4567",
        "Do not refund your customer",
        "Paid: held until it is delivered",
        "Refresh",
    ):
        assert said in sale.text
    assert '<noscript><meta http-equiv="refresh"' in sale.source
    assert "Receipt" not in sale.text
    # It is a sale like any other: in the wallet's list, among the orders, in the reports.
    owner = (await shop.shop.resellers.find(shop.email)).id
    (order,) = await shop.shop.order_records.list_orders(OrderFilter(owner, dialect="portal"))
    assert (order.reference, order.price, order.client_reference) == (
        bought.place.rpartition("/")[2],
        Money(450, GHS),
        once,
    )
    listed = await shop.ama.get("/transactions")
    assert "MTN 1GB" in listed.text
    await books_hold(shop)


@pytest.mark.parametrize(
    ("phone", "network"),
    [("0201234567", "Telecel"), ("+233271234567", "AirtelTigo"), ("08031234567", "MTN"), ("2348051234567", "Glo")],
)
async def test_the_network_is_guessed_and_can_be_corrected(shop: Stage, phone: str, network: str) -> None:
    choose = await shop.ama.get("/buy", phone=phone)
    assert f"selected>{network}</option>" in choose.source
    options = re.findall(r'<option value="(\d+)"( selected)?>', choose.source)
    other = next(number for number, selected in options if not selected)
    corrected = await shop.ama.get("/buy", phone=phone, network=other, kind="data", step="choose")
    assert f'<option value="{other}" selected>' in corrected.source


async def test_a_plan_of_another_network_is_not_carried_over(shop: Stage) -> None:
    choose = await shop.ama.get("/buy", phone="0201234567", kind="data", plan=GB)
    assert (choose.status, "Telecel</option>" in choose.source) == (200, True)
    assert "checked" not in choose.source.split('id="f-plan"')[1].split("</fieldset>")[0]


async def test_airtime_by_amount(shop: Stage) -> None:
    for amount, problem in (
        ("", "Enter an amount"),
        ("0.10", "must be from"),
        ("x", "must be an amount"),
        ("1e3", "must be"),
    ):
        answer = await shop.ama.get("/buy", phone="0241234567", kind="airtime", amount=amount)
        assert answer.status == 422
        assert problem in answer.text
        assert 'aria-describedby="f-amount-hint f-amount-error"' in answer.source
        assert 'value="airtime" checked' in answer.source
    summary = await shop.summary(kind="airtime", amount="2.50")
    assert "GH₵2.50 airtime" in summary.text
    bought = await shop.ama.post("/buy", summary.fields("/buy"))
    assert (await shop.balance(), bought.status) == ("7.50", 303)
    assert "MTN airtime for 024 123 4567" in (await shop.ama.get(bought.place)).text


@pytest.mark.parametrize(
    "phone", ["", "12", "abc", "<script>alert(1)</script>", "+4915112345678", "0241234567" * 9, "\x00"]
)
async def test_a_wrong_number_is_said_beside_its_field_and_kept(shop: Stage, phone: str) -> None:
    answer = await shop.ama.get("/buy", phone=phone)
    assert answer.status == 422
    assert 'aria-describedby="f-phone-hint f-phone-error"' in answer.source
    assert "<script>alert" not in answer.source


async def test_what_cannot_be_chosen_is_no_error_of_the_server(shop: Stage) -> None:
    for query in (
        {"plan": "NOPE"}, {"plan": "NG-IKEDC-PREPAID"}, {"network": "999999"}, {"network": "x" * 300}, {"once": "é"},
        {"plan": ""}, {"kind": "electricity"}, {"plan": "GH-MTN-AIRTIME"},
    ):  # fmt: skip
        answer = await shop.ama.get("/buy", **({"phone": "0241234567", "kind": "data"} | query))
        assert answer.status in (200, 303, 422), query
    assert await shop.orders() == 0


# Once ----------------------------------------------------------------------------------------------------------------------


async def test_a_double_click_a_reload_and_two_tabs_buy_once(shop: Stage) -> None:
    summary = await shop.summary()
    fields = summary.fields("/buy")
    answers = await asyncio.gather(*(shop.ama.post("/buy", fields) for _ in range(6)))
    assert {answer.status for answer in answers} == {303}
    assert len({answer.place for answer in answers}) == 1
    assert (await shop.orders(), await shop.balance()) == (1, "5.50")
    # A second tab with the same summary leads to what was bought.
    again = await shop.ama.get(str(summary.response.url))
    assert (again.status, again.place) == (303, answers[0].place)
    # Also when it has become dearer, and the wallet is empty.
    async with changed(shop, "9"):
        late = await shop.ama.post("/buy", fields)
    assert late.place == answers[0].place
    assert (await shop.orders(), await shop.balance()) == (1, "5.50")


async def test_the_reference_of_a_page_buys_nothing_else(shop: Stage) -> None:
    fields = (await shop.summary()).fields("/buy")
    await shop.ama.post("/buy", fields)
    other = await shop.ama.post("/buy", fields | {"phone": "+233241234568"})
    assert other.status == 422
    assert "Something else was bought from this page" in other.text
    assert other.fields("/buy")["once"] != fields["once"]
    assert await shop.orders() == 1


async def test_the_same_for_the_same_number_a_moment_later_is_asked_about(shop: Stage) -> None:
    first = await shop.summary()
    assert "You bought the same" not in first.text
    await shop.ama.post("/buy", first.fields("/buy"))
    again = await shop.summary()
    assert "You bought the same for this number" in again.text
    assert (await shop.ama.post("/buy", again.fields("/buy"))).status == 303
    assert (await shop.orders(), await shop.balance()) == (2, "1.00")


async def test_another_person_with_the_same_reference_buys_for_themselves(shop: Stage) -> None:
    fields = (await shop.summary()).fields("/buy")
    kofi = await shop.somebody_else("5")
    mine = await shop.ama.post("/buy", fields)
    theirs = await kofi.ama.post("/buy", {**fields, "csrf": kofi.ama.csrf})
    assert theirs.status == 303
    assert mine.place != theirs.place
    assert (await shop.balance(), await kofi.balance()) == ("5.50", "0.50")
    assert (await kofi.ama.get(mine.place)).status == 404


# What is refused ------------------------------------------------------------------------------------------------------------


async def test_too_little_money_says_how_much_is_missing_and_leads_to_the_top_up(shop: Stage) -> None:
    summary = await shop.summary(plan="GH-MTN-3GB-30D")
    assert "GH₵3.20 is missing" in summary.text
    refused = await shop.ama.post("/buy", summary.fields("/buy"))
    assert refused.status == 422
    assert "GH₵3.20 is missing. Nothing was bought." in refused.text
    assert 'href="/topup?currency=GHS&amp;amount=3.20"' in refused.source
    assert (await shop.orders(), await shop.balance()) == (0, "10.00")
    top_up = await shop.ama.get("/topup", currency="GHS", amount="3.20")
    assert 'value="3.20"' in top_up.source
    await shop.credit("3.20")
    # The same page goes through now.
    assert (await shop.ama.post("/buy", summary.fields("/buy"))).status == 303


async def test_nothing_is_bought_at_a_price_that_was_not_shown(shop: Stage) -> None:
    fields = (await shop.summary()).fields("/buy")
    for price in ("1", "", "x", "-5", "9" * 30, "449"):
        answer = await shop.ama.post("/buy", fields | {"price": price})
        assert answer.status == 422
        assert "The price has changed to GH₵4.50" in answer.text
    async with changed(shop, "4.60"):
        answer = await shop.ama.post("/buy", fields)
        assert "The price has changed to GH₵4.60" in answer.text
        assert await shop.orders() == 0
        assert (await shop.ama.post("/buy", answer.fields("/buy"))).status == 303
    assert await shop.balance() == "5.40"


async def test_a_paused_network_says_so_and_sells_nothing(shop: Stage) -> None:
    fields = (await shop.summary()).fields("/buy")
    async with changed(shop, on_sale=False):
        assert "MTN is paused at the moment" in (await shop.ama.get("/buy", phone="0241234567")).text
        refused = await shop.ama.post("/buy", fields)
    assert refused.status == 422
    assert "MTN does not sell this at the moment. Nothing was charged" in refused.text
    assert await shop.orders() == 0


async def test_the_purchase_pin_is_asked_for_where_it_is_set(shop: Stage) -> None:
    assert "PIN" not in (await shop.summary()).text
    await shop.ama.get("/account")
    await set_pin(shop, "1234")
    summary = await shop.summary()
    assert 'id="f-pin"' in summary.source
    fields = summary.fields("/buy")
    for pin, said in (("", "is needed"), ("9999", "is wrong")):
        refused = await shop.ama.post("/buy", fields | {"pin": pin})
        assert refused.status == 422
        assert said in refused.text
        assert pin == "" or pin not in refused.source
    assert await shop.orders() == 0
    assert (await shop.ama.post("/buy", fields | {"pin": "1234"})).status == 303
    # A reload of the form needs none: nothing is bought by it.
    assert (await shop.ama.post("/buy", fields)).status == 303
    assert await shop.orders() == 1


async def set_pin(shop: Stage, pin: str) -> None:
    people = shop.shop.services.people
    cookie = shop.ama.client.cookies.get("__Host-telvend")
    visitor = await people.visitor(cookie or "", Surface.PORTAL)
    assert visitor is not None
    await people.set_pin(visitor, Secret(PASSWORD), Secret(pin))


async def test_an_unproven_address_buys_nothing_with_real_money(
    database_url: str, tmp_path: Path, nobodys_settings: None
) -> None:
    async with served(database_url, tmp_path, verify_email=True) as running:
        made = Stage(*running)
        await made.enter("10")
        refused = await made.ama.post("/buy", (await made.summary()).fields("/buy"))
        assert refused.status == 422
        assert "Confirm your e-mail address first" in refused.text
        assert 'action="/verify"' in refused.source
        listed = await made.ama.post("/bulk", files={"csv": ("a.csv", f"product,to\n{GB},0241234567\n", "text/csv")})
        begun = await made.ama.post(listed.place, {"act": "buy"})
        assert (begun.status, "Confirm your e-mail address first" in begun.text) == (422, True)
        assert await made.value("select state from bulk_list") == "checked"
        assert await made.orders() == 0


async def test_a_suspended_account_buys_nothing(shop: Stage) -> None:
    fields = (await shop.summary()).fields("/buy")
    await shop.shop.resellers.suspend(shop.email, "why")
    refused = await shop.ama.post("/buy", fields)
    assert refused.status in (303, 403, 422)
    assert await shop.orders() == 0


async def test_a_form_of_another_site_and_one_without_a_session_buy_nothing(shop: Stage) -> None:
    fields = (await shop.summary()).fields("/buy")
    forged = await shop.ama.post("/buy", fields | {"csrf": "x" * 40})
    assert forged.status == 403
    foreign = await shop.ama.post("/buy", fields, headers={"origin": "https://evil.example"})
    assert foreign.status == 403
    nobody = Browser(shop.app)
    for path in (
        "/buy",
        "/topup",
        "/bulk",
        "/transactions",
        "/transactions/WEB-1-abcdef",
        "/receipt/WEB-1-abcdef",
        "/numbers",
    ):
        answer = await nobody.get(path)
        assert (answer.status, answer.place) == (303, f"/signin?next={path.replace('/', '%2F')}")
    assert await shop.orders() == 0


# Test mode -------------------------------------------------------------------------------------------------------------------


async def test_play_money_stays_play_money(shop: Stage) -> None:
    await shop.execute("update person_session set mode = 'test'")
    await shop.credit("20", mode=Mode.TEST)
    summary = await shop.summary()
    assert "Test mode: play money" in summary.text
    assert "Left in the wallet GH₵15.50" in summary.text
    bought = await shop.ama.post("/buy", summary.fields("/buy"))
    reference = bought.place.rpartition("/")[2]
    assert await shop.value("select mode from orders where reference = $1", reference) == "test"
    assert await shop.balance() == "10.00"
    # It is found in either mode, and says what it is.
    await shop.execute("update person_session set mode = 'live'")
    sale = await shop.ama.get(bought.place)
    assert sale.status == 200
    assert "Mode Test" in sale.text
    assert "MTN 1GB" not in (await shop.ama.get("/transactions")).text


# Whom one buys for again --------------------------------------------------------------------------------------------------------


async def test_the_last_numbers_and_named_ones_lead_to_their_summary(shop: Stage) -> None:
    await shop.ama.post("/buy", (await shop.summary()).fields("/buy"))
    first = await shop.ama.get("/buy")
    assert "024 123 4567 MTN 1GB" in first.text
    again = next(part.split('"')[0] for part in first.source.split('href="')[1:] if "step=choose" in part)
    choose = await shop.ama.get(again.replace("&amp;", "&"))
    assert f'value="{GB}" checked' in choose.source
    await shop.ama.get("/numbers")
    wrong = await shop.ama.post("/numbers", {"name": "", "phone": "12"})
    assert (wrong.status, "f-name-error" in wrong.source, "f-phone-error" in wrong.source) == (422, True, True)
    assert (await shop.ama.post("/numbers", {"name": "<b>Kofi</b>", "phone": "0241234567"})).status == 303
    named = await shop.ama.get("/buy")
    assert "&lt;b&gt;Kofi&lt;/b&gt;" in named.source
    kofi = await shop.somebody_else()
    number = await shop.value("select max(id) from beneficiary")
    assert (await kofi.ama.post(f"/numbers/{number}/remove")).status == 404
    for other in ("0", "9" * 30, "x"):
        assert (await shop.ama.post(f"/numbers/{other}/remove")).status == 404
    assert (await shop.ama.post(f"/numbers/{number}/remove")).status == 303
    assert await shop.value("select count(*) from beneficiary where id = $1", number) == 0


async def test_buy_again_leads_straight_to_a_summary_of_its_own(shop: Stage) -> None:
    bought = await shop.ama.post("/buy", (await shop.summary()).fields("/buy"))
    sale = await shop.ama.get(bought.place)
    link = next(part.split('"')[0] for part in sale.source.split('href="')[1:] if part.startswith("/buy?"))
    going = await shop.ama.get(link.replace("&amp;", "&"))
    assert going.status == 303
    once = parse_qs(urlsplit(going.place).query)["once"][0]
    summary = await shop.ama.get(going.place)
    assert summary.fields("/buy")["once"] == once
    await shop.ama.post("/buy", summary.fields("/buy"))
    assert await shop.orders() == 2


# Money in ------------------------------------------------------------------------------------------------------------------------


async def test_a_top_up_goes_to_the_page_of_the_gateway_and_the_money_is_there_when_paid(shop: Stage) -> None:
    page = await shop.ama.get("/topup")
    assert '<option value="GHS" selected>GHS</option>' in page.source
    assert 'value="card" checked' in page.source
    begun = await shop.ama.post("/topup", {"amount": "1,250.50", "currency": "GHS", "method": "card"})
    assert begun.status == 303
    assert begun.place.startswith(f"{BASE}/pay/sandbox/")
    reference = await shop.value("select reference from funding order by id desc limit 1")
    pending = await shop.ama.get(f"/transactions/{reference}")
    assert "The money has not come yet" in pending.text
    paid = await shop.ama.client.post(begun.place, data={"decision": "pay", "method": "card"})
    back = await shop.ama.client.get(paid.headers["location"])
    assert back.headers["location"].startswith(f"{BASE}/home")
    assert await shop.balance() == "1260.50"
    done = await shop.ama.get(f"/transactions/{reference}")
    assert "The money is in your wallet" in done.text
    await books_hold(shop)


@pytest.mark.parametrize(
    ("amount", "currency", "method", "field"),
    [
        ("", "GHS", "card", "amount"), ("0", "GHS", "card", "amount"), ("-5", "GHS", "card", "amount"),
        ("1.234", "GHS", "card", "amount"), ("9" * 20, "GHS", "card", "amount"), ("5", "USD", "card", "currency"),
        ("5", "GHS", "gold", "method"), ("5", "", "card", "currency"),
    ],
)  # fmt: skip
async def test_a_wrong_top_up_is_said_beside_its_field(
    shop: Stage, amount: str, currency: str, method: str, field: str
) -> None:
    await shop.ama.get("/topup")
    answer = await shop.ama.post("/topup", {"amount": amount, "currency": currency, "method": method})
    assert answer.status == 422
    assert f'id="f-{field}-error"' in answer.source
    owner = (await shop.shop.resellers.find(shop.email)).id
    assert await shop.value("select count(*) from funding where reseller_id = $1", owner) == 0


async def test_a_payment_page_of_another_server_is_reached_by_its_payer_alone(shop: Stage) -> None:
    await shop.ama.get("/topup")
    await shop.ama.post("/topup", {"amount": "5", "currency": "GHS", "method": "card"})
    reference = await shop.value("select reference from funding order by id desc limit 1")
    await shop.execute(
        "update funding set payment_url = 'https://gateway.example/p?a=1&b=<x>' where reference = $1", reference
    )
    leaving = await shop.ama.get(f"/topup/{reference}")
    assert "On to gateway.example" in leaving.text
    assert 'href="https://gateway.example/p?a=1&amp;b=&lt;x&gt;"' in leaving.source
    kofi = await shop.somebody_else()
    assert (await kofi.ama.get(f"/topup/{reference}")).status == 404
    assert (await kofi.ama.get(f"/transactions/{reference}")).status == 404
    assert (await shop.ama.get("/topup/FND-1-aaaaaa")).status == 404
