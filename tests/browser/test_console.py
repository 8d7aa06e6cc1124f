"""The console in a browser: the way in by the one-time link, every page on a phone and a desk, and an order found and refunded."""

import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import Page

from tests.browser.conftest import DESK, DESK_DARK, PASSWORD, PHONE, PLAIN, Portal, View
from tests.e2e.shop import Shop

OWNER = "owner@shop.example"
LABELS = (
    "Orders", "Resellers", "Catalogue", "Providers", "Funding", "Vouchers", "Review", "Reports", "Audit log", "Settings",
)  # fmt: skip
PAGES = (
    "/console", "/console/orders", "/console/review", "/console/approvals", "/console/resellers", "/console/resellers/1",
    "/console/resellers/1/credit", "/console/resellers/add", "/console/catalogue", "/console/catalogue/prices",
    "/console/catalogue/import", "/console/providers", "/console/providers/own_network", "/console/networks/pauses",
    "/console/funding", "/console/funding/strays", "/console/funding/claims", "/console/funding/claims/1",
    "/console/funding/claims/1/credit", "/console/funding/claims/1/refuse", "/console/vouchers", "/console/vouchers/issue",
    "/console/subscribers", "/console/reports", "/console/reports?by=reseller", "/console/reports?kind=wallets",
    "/console/reports/months", "/console/reports/close", "/console/books", "/console/books/audit", "/console/jobs",
    "/console/jobs/1", "/console/reconciliations", "/console/reconciliations/1", "/console/audit-log", "/console/audit-log/1",
    "/console/emails", "/console/staff", "/console/staff/invite", "/console/settings",
    "/console/todo/review", "/console/search?q=nothing", "/console/nothing-here",
)  # fmt: skip
WIDE_PAGES = (
    "/console", "/console/orders", "/console/resellers/1", "/console/catalogue", "/console/providers", "/console/funding/claims/1",
    "/console/jobs/1", "/console/reconciliations/1", "/console/audit-log", "/console/settings",
)  # fmt: skip
"""Those with the widest tables."""


@pytest.fixture(scope="module")
def furnished(served: Shop) -> Shop:
    """The shop with a reseller, money, one delivered order, a statement that does not know it, and a claim of a payment."""
    served.telvend("user", "add", "ama@example.com", "--name", "Ama's Airtime", "--phone", "0241234567")
    served.telvend("wallet", "credit", "ama@example.com", "100", "GHS", "--reference", "start")
    served.telvend(
        "order", "place", "--product", "GH-MTN-1GB-30D", "--to", "0551234567", "--email", "ama@example.com",
        "--reference", "INV-7",
    )  # fmt: skip
    served.wait_until_final()
    statement = served.data_dir / "statement.csv"
    statement.write_text("Reference,Amount,Status,Phone\nTHEIRS-1,4.50,delivered,0559999999\n")
    compared = served.run(
        "reconcile", "simulator", "--date", f"{datetime.now(UTC):%Y-%m-%d}", "--statement", str(statement)
    )
    assert compared.returncode == 1, compared.stdout
    served.sql(
        "insert into funding_claim (reseller_id, gateway, reference, amount_minor, currency, note, by_whom)"
        " select id, 'sandbox', 'TRF-77', 5000, 'GHS', 'From my bank, on Friday.', email from reseller"
    )
    return served


async def came_in(portal: Portal, view: View) -> Page:
    """A tab of the owner's, by a link of the command."""
    page = await portal.page(view)
    await page.goto(portal.shop.telvend("console", "link")["url"])
    await page.get_by_label("Email").fill(OWNER)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url("**/console")
    return page


async def test_the_one_time_link_leads_in_and_is_used_up(portal: Portal, furnished: Shop) -> None:
    link = furnished.telvend("console", "link")["url"]
    page = await portal.open(link, PLAIN)
    await portal_less_check(page, "Open the console")
    await page.get_by_label("Email").fill(OWNER)
    await page.get_by_label("Password").fill("short")
    await page.get_by_role("button", name="Continue").click()
    described = await page.get_by_label("Password").get_attribute("aria-describedby")
    assert described is not None
    assert "f-password-error" in described
    assert await page.get_by_label("Email").input_value() == OWNER
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url("**/console")
    for label in LABELS:  # No other link has the word in its name, so that a script finds it.
        await page.get_by_role("link", name=label).click()
        await page.wait_for_url("**/console/*")
    assert await page.get_by_role("button", name="Sign out").is_visible()
    await page.get_by_role("button", name="Sign out").click()
    await page.goto("/console/orders")
    assert "/console/signin?next=" in page.url
    await page.get_by_label("Email").fill(OWNER)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    assert page.url.endswith("/console/orders")
    used = await portal.open(link, DESK)
    assert "This link has ended" in await used.inner_text("main")


async def portal_less_check(page: Page, heading: str) -> None:
    """A page without scripts cannot run axe; it has its heading."""
    assert await page.get_by_role("heading", name=heading, level=1).is_visible()


# Every view is looked at on 320 px and in both themes.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("view", [pytest.param(PHONE, marks=pytest.mark.soak), DESK_DARK], ids=lambda view: view.name)
async def test_every_page_is_accessible_and_fits(portal: Portal, furnished: Shop, view: View) -> None:
    page = await came_in(portal, view)
    (reference,) = furnished.sql("select reference from orders")[0]
    wanted = PAGES if view is PHONE else WIDE_PAGES
    if furnished.sql("select count(*) from console_job") == [(0,)]:
        await page.goto("/console/books/audit")
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_role("button", name="Start").click()
        await page.wait_for_url("**/console/jobs/1")
    for path in (*wanted, f"/console/orders/{reference}", f"/console/orders/{reference}/refund"):
        await page.set_viewport_size({"width": view.width, "height": view.height})
        await page.goto(path)
        await portal.check(page)


async def test_an_order_is_found_by_the_number_read_out_and_refunded_without_scripts(
    portal: Portal, furnished: Shop
) -> None:
    page = await came_in(portal, PLAIN)
    await page.get_by_label("Search for a number").fill("055 123 4567")
    await page.get_by_role("button", name="Search").click()
    if "/console/search" in page.url:  # The number is a subscriber of our own network too.
        await page.get_by_role("link", name=re.compile("^CTR-")).click()
    assert "It was delivered" in await page.inner_text("main")
    await page.get_by_role("link", name="Refund").click()
    await page.get_by_role("button", name="Continue").click()
    described = await page.get_by_label("Reason").get_attribute("aria-describedby")
    assert described is not None
    assert "f-reason-error" in described
    await page.get_by_label("Reason").fill("never arrived")
    await page.get_by_role("button", name="Continue").click()
    assert "GH₵4.50" in await page.inner_text("main")
    assert furnished.sql("select count(*) from order_refund") == [(0,)]
    await page.get_by_role("button", name="Confirm").click()
    assert furnished.sql("select count(*) from order_refund") == [(1,)]
    assert "went back" in await page.get_by_role("status").inner_text()
    await page.goto("/console/audit-log")
    assert "never arrived" in await page.inner_text("main")
    report, _ = furnished.check_books()
    assert report["ok"]
