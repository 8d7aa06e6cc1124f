"""The pages for developers in a browser: a key is made, its command bought with, tried on a page, and revoked; on a phone and a desk."""

import asyncio
import re
from collections.abc import Sequence

import pytest
from playwright.async_api import Page

from tests.browser.conftest import DESK, PHONE, PHONE_DARK, PLAIN, Portal, View, weight

OPEN_PAGES = ("/docs", "/docs/netpluse", "/docs/networkdatasub", "/docs/madapi", "/docs/webhooks", "/status")
OWN_PAGES = ("/keys", "/webhooks", "/identity", "/test", "/docs/netpluse/try/purchase")
WALKED = [PHONE, PLAIN]


# The pages of the three APIs are one template: the longest stands for them.
CHECKED = [path for path in OPEN_PAGES if path not in ("/docs/netpluse", "/docs/networkdatasub")]


@pytest.mark.parametrize(("view", "paths"), [(DESK, CHECKED), (PHONE, OWN_PAGES)], ids=["open", "own"])
async def test_every_page_is_accessible_and_fits(portal: Portal, view: View, paths: Sequence[str]) -> None:
    page = await portal.page(view, "kojo")
    for path in paths:
        await page.goto(path)
        await portal.check(page)


async def test_pages_weigh_little(portal: Portal) -> None:
    page = await portal.page(PHONE)
    for path in OPEN_PAGES:
        assert await weight(page, path) < 90_000, path


async def make_key(page: Page, api: str, mode: str) -> str:
    await page.goto("/keys")
    await page.get_by_label("API", exact=True).select_option(label=api)
    await page.get_by_label("Mode").select_option(label=mode)
    await page.get_by_role("button", name="Create key").click()
    key = page.get_by_role("status")
    await key.wait_for()
    return (await key.inner_text()).strip()


@pytest.mark.parametrize("view", WALKED, ids=lambda view: view.name)
async def test_a_key_is_made_used_by_the_command_shown_and_revoked(portal: Portal, view: View) -> None:
    page = await portal.page(view, f"key-{view.name}")
    key = await make_key(page, "Netpluse", "Test")
    assert re.fullmatch(r"np_test_[A-Za-z0-9]{40}", key)
    await portal.check(page)
    command = await page.locator("#first-call").inner_text()
    assert '"ok":true' in await run(command)
    await page.goto("/keys")
    assert key not in await page.content()
    await page.get_by_role("button", name="Revoke").click()
    await page.wait_for_url("**/revoke*")
    await portal.check(page)
    await page.get_by_role("button", name="Revoke").click()
    await page.wait_for_url("**/keys")
    assert "no longer works" in await page.get_by_role("status").inner_text()
    assert "revoked API key" in await run(command)


async def run(command: str) -> str:
    """What the command of a page prints."""
    process = await asyncio.create_subprocess_shell(f"{command} -s", stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode()


@pytest.mark.parametrize("view", [PHONE, PLAIN], ids=lambda view: view.name)
async def test_a_bundle_is_bought_with_play_money_on_the_page_of_an_endpoint(portal: Portal, view: View) -> None:
    page = await portal.page(view, f"try-{view.name}")
    await page.goto("/docs/netpluse/try/purchase")
    await page.get_by_role("link", name="Make a test key").click()
    await page.wait_for_url("**/keys?**")
    assert await page.get_by_label("Mode").input_value() == "test"
    await page.get_by_role("button", name="Create key").click()
    await page.get_by_role("button", name="Test", exact=True).click()
    await page.goto("/test")
    await page.get_by_role("button", name="Add play money").click()
    await page.get_by_text("GH₵1,000.00").wait_for()
    await page.goto("/docs/netpluse")
    await page.get_by_role("link", name="Try it: Buy a bundle").click()
    await page.get_by_role("button", name="Send in test mode").click()
    await page.get_by_role("heading", name="Answer: 200 OK").wait_for()
    assert '"status": "processing"' in await page.locator("#answer-body").inner_text()
    await portal.check(page)


@pytest.mark.parametrize("view", [DESK, PLAIN], ids=lambda view: view.name)
async def test_an_endpoint_is_added_tried_and_its_message_sent_again(portal: Portal, view: View) -> None:
    page = await portal.page(view, f"hook-{view.name}")
    await page.goto("/webhooks")
    await page.get_by_label("URL").fill("https://10.0.0.1/hooks")
    await page.get_by_role("button", name="Add").click()
    error = page.locator("#f-url-error")
    await error.wait_for()
    assert await page.get_by_label("URL").input_value() == "https://10.0.0.1/hooks"
    await portal.check(page)
    await page.get_by_label("URL").fill("https://nowhere.invalid/hooks")
    await page.get_by_role("button", name="Add").click()
    secret = page.get_by_role("status")
    await secret.wait_for()
    assert (await secret.inner_text()).startswith("whsec_")
    await page.get_by_role("button", name="Send test").click()
    await page.wait_for_url("**/deliveries/**")
    assert "was not taken" in await page.get_by_role("status").inner_text()
    await portal.check(page)
    await page.goto("/webhooks")
    await page.get_by_role("button", name="Send again").click()
    await page.wait_for_url("**/deliveries/**")
    assert "is sent again" in await page.get_by_role("status").inner_text()
    await page.goto("/webhooks")
    await portal.check(page)


@pytest.mark.parametrize("view", [PHONE_DARK, PLAIN], ids=lambda view: view.name)
async def test_somebody_who_does_not_exist_is_looked_up(portal: Portal, view: View) -> None:
    page = await portal.page(view, f"nin-{view.name}")
    await page.goto("/test")
    await page.get_by_role("button", name="Test", exact=True).click()
    await page.goto("/test")
    await page.get_by_label("Test wallet").select_option("NGN")
    await page.get_by_role("button", name="Add play money").click()
    await page.get_by_text("₦1,000.00").wait_for()
    await page.goto("/identity")
    await page.get_by_label("NIN or BVN").fill("12345678901")
    await page.get_by_label("has agreed to this check").check()
    await page.get_by_role("button", name="Check and pay").click()
    await page.get_by_role("heading", name="NIN verified").wait_for()
    assert "Smith" in await page.locator("main").inner_text()
    await portal.check(page)
    await page.get_by_role("link", name="Another check").click()
    await page.wait_for_url("**/identity")
    text = await page.locator("main").inner_text()
    assert "Smith" not in text
    assert "123*****901" in text
    await portal.check(page)
