"""Buying in a browser: money in, a bundle out, its receipt to the customer, a list; by thumb, by mouse, and without scripts."""

import asyncio
import re

import pytest
from playwright.async_api import Download, Page, expect

from tests.browser.conftest import DESK_DARK, PHONE, PLAIN, Portal, View

SETTINGS = {"TELVEND_VERIFY_EMAIL": "false"}
PATIENCE_MS = 15_000


async def looked_at(portal: Portal, page: Page, view: View) -> None:
    """Hold a page to what every page is; without scripts nothing more is on it."""
    if view.scripts:
        await portal.check(page)
        await page.set_viewport_size({"width": view.width, "height": view.height})


async def top_up(page: Page, amount: str) -> None:
    await page.goto("/topup")
    await page.get_by_label("Amount").fill(amount)
    await page.get_by_label("Currency").select_option("GHS")
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Pretend to pay").click()
    await page.wait_for_url("**/home*")


async def text_of(download: Download) -> str:
    """What a file that was downloaded says."""
    path = await download.path()
    return await asyncio.to_thread(path.read_text, "utf-8")


async def until(page: Page, view: View, text: str) -> None:
    """Wait for a page that changes by itself; without scripts its link loads it again."""
    found = page.locator("#main").get_by_text(text).first
    for _ in range(60):
        if await found.count():
            break
        if not view.scripts:
            await page.get_by_role("link", name="Refresh").click()
        await page.wait_for_timeout(150)
    await expect(found).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.parametrize(
    "view", [PHONE, pytest.param(DESK_DARK, marks=pytest.mark.soak), PLAIN], ids=lambda view: view.name
)
async def test_somebody_pays_in_buys_a_bundle_and_passes_the_receipt_on(portal: Portal, view: View) -> None:
    page = await portal.page(view, f"buyer-{view.name}")
    await page.goto("/topup")
    await looked_at(portal, page, view)
    await top_up(page, "30")
    await expect(page.get_by_text("GH₵30.00").first).to_be_visible()

    await page.get_by_role("link", name="Buy", exact=True).first.click()
    await looked_at(portal, page, view)
    await page.get_by_label("Phone number").fill("12")
    await page.get_by_role("button", name="Continue").click()
    assert await page.get_by_label("Phone number").input_value() == "12"
    assert await page.get_by_label("Phone number").get_attribute("aria-describedby") == "f-phone-hint f-phone-error"
    await page.get_by_label("Phone number").fill("024 123 4567")
    await page.get_by_role("button", name="Continue").click()
    assert await page.get_by_label("Network").locator("option:checked").inner_text() == "MTN"
    await expect(page.get_by_role("radio", name="Data")).to_be_checked()
    await expect(page.get_by_label("Amount")).to_be_hidden()
    await looked_at(portal, page, view)
    await page.get_by_role("radio", name=re.compile("^1GB")).check()
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text("GH₵4.50").first).to_be_visible()
    await looked_at(portal, page, view)
    await page.get_by_role("button", name="Confirm").click()
    await page.wait_for_url("**/transactions/WEB-*")
    await until(page, view, "Delivered. Your customer has it.")
    await looked_at(portal, page, view)

    await page.get_by_role("link", name="Receipt").click()
    await looked_at(portal, page, view)
    await page.get_by_role("button", name="Make a link").click()
    await looked_at(portal, page, view)
    link = await page.locator("#receipt-link").inner_text()
    customer = await portal.page(view)
    await customer.goto(link)
    await expect(customer.get_by_text("MTN 1GB")).to_be_visible()
    assert "4.50" not in await customer.locator("body").inner_text()
    await looked_at(portal, customer, view)
    picture = await customer.request.get(f"{link}/picture.png")
    assert (await picture.body()).startswith(b"\x89PNG")

    # Three taps for the same once more.
    await page.goto("/buy")
    await page.get_by_role("link", name="024 123 4567").click()
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_text("You bought the same for this number")).to_be_visible()
    await page.get_by_role("button", name="Confirm").click()
    await page.wait_for_url("**/transactions/WEB-*")

    await page.goto("/transactions")
    await looked_at(portal, page, view)
    assert await page.get_by_role("link", name="MTN 1GB").count() == 2
    await page.get_by_label("Type").select_option("Top-ups")
    await page.get_by_label("Search").fill("")
    await page.get_by_role("button", name="Show").click()
    assert await page.get_by_role("link", name="MTN 1GB").count() == 0
    for label in ("From", "To", "Status"):
        await expect(page.get_by_label(label, exact=True)).to_be_visible()
    async with page.expect_download() as export:
        await page.get_by_role("link", name="Export CSV").click()
    assert "FND-" in await text_of(await export.value)


@pytest.mark.parametrize("view", [PHONE, PLAIN], ids=lambda view: view.name)
async def test_airtime_shows_its_amount_and_another_network_its_plans(portal: Portal, view: View) -> None:
    page = await portal.open("/buy?phone=0241234567", view, f"chooser-{view.name}")
    await page.get_by_role("radio", name="Airtime").check()
    await expect(page.get_by_role("radio", name=re.compile("^1GB"))).to_be_hidden()
    await page.get_by_label("Amount").fill("0.01")
    await page.get_by_role("button", name="Continue").click()
    assert await page.get_by_label("Amount").get_attribute("aria-invalid") == "true"
    await looked_at(portal, page, view)
    await page.get_by_label("Amount").fill("2")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("link", name="Top up").last).to_be_visible()
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_text("is missing. Nothing was bought.").first).to_be_visible()
    await page.goto("/buy?phone=0241234567")
    before = await page.get_by_role("radio", name=re.compile("GB")).first.get_attribute("value")
    await page.get_by_label("Network").select_option("Telecel")
    if not view.scripts:
        await page.get_by_role("button", name="Show its plans").click()
    await expect(page.locator(f'[name=plan][value="{before}"]')).to_have_count(0)
    assert await page.get_by_label("Network").locator("option:checked").inner_text() == "Telecel"


@pytest.mark.parametrize("view", [PHONE, PLAIN], ids=lambda view: view.name)
async def test_a_list_is_mended_bought_and_its_result_downloaded(portal: Portal, view: View) -> None:
    page = await portal.page(view, f"lister-{view.name}")
    await top_up(page, "50")
    await page.goto("/bulk")
    await looked_at(portal, page, view)

    async def upload(text: str) -> None:
        chosen = {"name": "staff.csv", "mimeType": "text/csv", "buffer": text.encode()}
        await page.get_by_label("CSV file").set_input_files(files=[chosen])  # type: ignore[list-item]
        await page.get_by_role("button", name="Check").click()

    await upload("product,to\nGH-MTN-1GB-30D,241234567\n")
    await expect(page.get_by_text("has lost its leading 0")).to_be_visible()
    await looked_at(portal, page, view)
    await upload("product,to,amount\n" + "".join(f"GH-MTN-AIRTIME,02412345{n:02},1\n" for n in range(8)))
    await expect(page.get_by_text("GH₵8.00").first).to_be_visible()
    await looked_at(portal, page, view)
    await page.get_by_role("button", name="Buy", exact=True).click()
    done = page.locator(".counts").filter(has_text=re.compile(r"Delivered\s*8"))
    for _ in range(80):
        if await done.count():
            break
        if not view.scripts:
            await page.reload()
        await page.wait_for_timeout(200)
    await expect(done).to_be_visible()
    await looked_at(portal, page, view)
    async with page.expect_download() as result:
        await page.get_by_role("link", name="Download results").click()
    assert (await text_of(await result.value)).count("delivered") == 8
    await page.goto("/bulk")
    await expect(page.get_by_role("link", name="staff.csv")).to_be_visible()
