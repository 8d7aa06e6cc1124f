"""The console over the real database: coming in, the first page, orders and their decisions, with balances between the steps."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telvend.people.model import Role
from tests.store.consoles import OWNER, PASSWORD, ConsoleShop, console_shop


@pytest.fixture
async def console(database_url: str, tmp_path: Path) -> AsyncIterator[ConsoleShop]:
    async with console_shop(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def strict(database_url: str, tmp_path: Path) -> AsyncIterator[ConsoleShop]:
    """A shop in which what is above 1.00 waits for a second person."""
    async with console_shop(database_url, tmp_path, second_person_above={"GHS": "1"}) as opened:
        yield opened


# Coming in --------------------------------------------------------------------------------------------------------------


async def test_the_one_time_link_opens_the_console_once(console: ConsoleShop) -> None:
    link = await console.shop.people.console_link(by="test")
    browser, other = await console.stranger(), await console.stranger()
    page = await browser.open(link)
    assert page.status == 200
    wrong = await browser.press(page, "Continue", email="no address", password="short")
    assert wrong.status == 422
    assert wrong.form("Continue").fields["email"] == "no address"
    assert "password" not in {name for form in wrong.forms for name, value in form.fields.items() if value == "short"}
    wrong.error_of("email")
    page = await browser.press(wrong, "Continue", email=OWNER, password=PASSWORD)
    assert page.url.endswith("/console")
    for words in (
        "Orders",
        "Resellers",
        "Catalogue",
        "Providers",
        "Funding",
        "Vouchers",
        "Review",
        "Reports",
        "Audit log",
        "Settings",
    ):
        assert page.links[words].startswith("/console/"), words
    assert (await other.open(link)).status == 410


async def test_signing_in_and_out(console: ConsoleShop) -> None:
    await console.owner()
    browser = await console.stranger()
    page = await browser.open("/console/orders?state=review")
    assert "/console/signin?next=" in page.url
    for email, password in ((OWNER, "wrong wrong wrong"), ("nobody@shop.example", PASSWORD)):
        refused = await browser.press(page, "Sign in", email=email, password=password)
        assert refused.status == 422
        assert "do not belong together" in refused.text
        assert refused.form("Sign in").fields["email"] == email
    page = await browser.press(page, "Sign in", email=OWNER, password=PASSWORD)
    assert page.url.endswith("/console/orders?state=review")
    page = await browser.press(page, "Sign out")
    assert page.url.endswith("/console/signin")
    assert "/console/signin" in (await browser.open("/console")).url


async def test_a_session_of_the_portal_opens_nothing_here(console: ConsoleShop) -> None:
    browser = await console.stranger()
    path = await console.shop.people.invite(console.ama.email, by="test")
    page = await browser.press(await browser.open(path), "Open my account", password=PASSWORD)
    assert page.url.endswith("/home"), page.text
    for method, path in console.site.console.rights:
        address = path.replace("{", "").replace("}", "")
        response = await browser.http.request(method, address, data={"csrf": "x"} if method == "POST" else None)
        assert response.status_code in (303, 403), (method, path)
        assert method == "POST" or "/console/signin" in response.headers["location"]
    cookie = next(value for name, value in browser.http.cookies.items() if name == "__Host-telvend")
    browser.http.cookies.set("__Host-telvend-console", cookie, domain="shop.example")
    assert "/console/signin" in (await browser.open("/console")).url


# Orders -----------------------------------------------------------------------------------------------------------------


async def test_an_order_in_doubt_is_found_by_its_number_and_decided(console: ConsoleShop) -> None:
    owner = await console.owner()
    assert await console.balance() == 100_00
    reference = await console.doubtful(number="0241234567")
    held = await console.balance()
    assert held < 100_00
    page = await owner.open("/console")
    assert "1 order waits for a decision" in page.text
    page = await owner.open("/console/search?q=024 123 4567")
    if not page.url.endswith(reference):  # The reseller has this number too.
        page = await owner.open(page.links[reference])
    assert "no answer in time" in page.text
    shown = await owner.press(
        await owner.open(page.links["Resolve"]), "Continue", outcome="failed", reason="not in their list"
    )
    assert shown.status == 200
    assert await console.balance() == held, "nothing moves before it is confirmed"
    page = await owner.press(shown, "Confirm")
    assert await console.balance() == 100_00
    assert page.url.endswith(reference)
    assert "not in their list" in page.text
    assert (await console.acts())[0] == (OWNER, "order.resolve", "not in their list")
    again = await owner.press(shown, "Confirm")
    assert again.status == 422
    assert await console.balance() == 100_00


async def test_a_decision_above_the_limit_waits_for_somebody_else(strict: ConsoleShop) -> None:
    owner, finance = await strict.owner(), await strict.staff("esi@shop.example", Role.FINANCE)
    reference = await strict.doubtful()
    held = await strict.balance()
    page = await owner.do(f"/console/orders/{reference}/resolve", "Confirm", outcome="failed", reason="never came")
    assert "waits for a second person" in page.text
    assert await strict.balance() == held
    page = await owner.open("/console/approvals")
    assert "Withdraw" in page.links
    proposal = page.links["Withdraw"].split("/")[3]
    own = await owner.press(await owner.open(f"/console/approvals/{proposal}/confirm"), "Continue", reason="me")
    refused = await owner.press(own, "Confirm")
    assert refused.status == 422
    assert "another person" in refused.text
    assert await strict.balance() == held
    page = await finance.do(f"/console/approvals/{proposal}/confirm", "Confirm", reason="seen in their portal")
    assert await strict.balance() == 100_00
    assert "Confirmed" in page.text


async def test_two_who_confirm_at_once_move_the_money_once(strict: ConsoleShop) -> None:
    owner = await strict.owner()
    reference = await strict.doubtful()
    await owner.do(f"/console/orders/{reference}/resolve", "Confirm", outcome="failed", reason="never came")
    people = [await strict.staff(f"{name}@shop.example", Role.FINANCE) for name in ("esi", "kofi", "yaw")]
    shown = [
        await one.press(await one.open("/console/approvals/1/confirm"), "Continue", reason="seen") for one in people
    ]
    pages = await asyncio.gather(*(one.press(page, "Confirm") for one, page in zip(people, shown, strict=True)))
    assert await strict.balance() == 100_00
    assert {page.status for page in pages} <= {200, 422}
    assert await strict.value("select count(*) from proposal_end") == 1
    assert await strict.value("select count(*) from transfer where kind = 2") == 1


async def test_figures_that_have_changed_are_shown_again(console: ConsoleShop) -> None:
    owner, other = await console.owner(), await console.staff("esi@shop.example", Role.FINANCE)
    path = f"/console/resellers/{console.ama.number}/credit"
    typed = {"amount": "5", "reference": "bank 1", "reason": "paid in cash"}
    shown = await owner.press(await owner.open(path), "Continue", **typed)
    await other.do(path, "Credit", amount="7", reference="bank 2", reason="paid too")
    assert await console.balance() == 107_00
    again = await owner.press(shown, "Credit")
    assert "figures have changed" in again.text
    assert await console.balance() == 107_00
    await owner.press(again, "Credit")
    assert await console.balance() == 112_00
