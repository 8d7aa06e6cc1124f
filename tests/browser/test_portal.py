"""The portal in a browser: the way in, the account, and what every page keeps to."""

import re

import pyotp
import pytest

from tests.browser.conftest import DESK, PASSWORD, PHONE, PLAIN, Portal, View, weight

OPEN_PAGES = ("/", "/signup", "/signin", "/forgot", "/nothing-here")
OWN_PAGES = (
    "/home",
    "/account",
    "/topup",
    "/claims",
    "/buy",
    "/bulk",
    "/transactions",
    "/keys",
    "/webhooks",
    "/docs",
    "/status",
    "/identity",
)


# Every view is looked at on 320 px and in both themes, so that one of them with scripts is enough for `make test`.
@pytest.mark.parametrize("view", [pytest.param(PHONE, marks=pytest.mark.soak), DESK, PLAIN], ids=lambda view: view.name)
async def test_every_page_is_accessible_and_fits(portal: Portal, view: View) -> None:
    page = await portal.page(view)
    for path in OPEN_PAGES:
        await page.goto(path)
        await portal.check(page)
    page = await portal.page(view, "ama")
    for path in OWN_PAGES:
        await page.goto(path)
        await portal.check(page)


@pytest.mark.parametrize("view", [PHONE, PLAIN], ids=lambda view: view.name)
async def test_somebody_signs_up_out_and_in_again(portal: Portal, view: View) -> None:
    name = f"esi-{view.name}"
    page = await portal.open("/", view)
    await page.get_by_role("link", name="Sign up").click()
    await page.get_by_label("Name").fill("Esi")
    await page.get_by_label("Email").fill("no address")
    await page.get_by_role("button", name="Sign up").click()
    email = page.get_by_label("Email")
    assert await email.input_value() == "no address"
    described = await email.get_attribute("aria-describedby")
    assert described == "f-email-error"
    assert "must be an e-mail address" in await page.locator(f"#{described}").inner_text()
    assert await page.get_by_label("Name").input_value() == "Esi"
    await portal.check(page)
    await email.fill(f"{name}@example.com")
    await page.get_by_label("Phone number").fill("0241234567")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign up").click()
    await page.wait_for_url("**/home")
    for link in ("Top up", "Buy", "Transactions", "API keys"):
        assert await page.get_by_role("link", name=link).is_visible(), link
    await page.get_by_role("button", name="Sign out").click()
    await page.goto("/account")
    assert page.url.endswith("/signin?next=%2Faccount")
    await page.get_by_label("Email").fill(f"{name}@example.com")
    await page.get_by_label("Password").fill("not the right one")
    await page.get_by_role("button", name="Sign in").click()
    wrong = await page.locator("#f-email-error").inner_text()
    await page.get_by_label("Email").fill("nobody@example.com")
    await page.get_by_label("Password").fill("not the right one")
    await page.get_by_role("button", name="Sign in").click()
    assert await page.locator("#f-email-error").inner_text() == wrong
    await page.get_by_label("Email").fill(f"{name}@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/account")


async def test_a_second_step_is_turned_on_and_asked_for(portal: Portal) -> None:
    page = await portal.open("/account", PHONE, "kofi")
    await page.get_by_role("button", name="Turn it on").click()
    secret = (await page.locator("#totp-secret").inner_text()).replace(" ", "")
    assert await page.locator("svg.qr").is_visible()
    await portal.check(page)
    code = page.get_by_label("Code")
    await code.fill("000000")
    await page.get_by_role("button", name="Turn it on").click()
    assert "not right" in await page.locator("#f-code-error").inner_text()
    await code.fill(pyotp.TOTP(secret).now())
    await page.get_by_role("button", name="Turn it on").click()
    recovery = await page.locator("#recovery-codes li").all_inner_texts()
    assert len(recovery) == len(set(recovery)) >= 8
    await portal.check(page)
    page = await portal.open("/signin", DESK)
    await page.get_by_label("Email").fill("kofi@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/signin/code")
    await portal.check(page)
    await page.get_by_label("Code").fill(recovery[0])
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url("**/home")


async def test_a_session_is_ended_from_another_browser(portal: Portal) -> None:
    first = await portal.open("/home", PHONE, "yaa")
    other = await portal.open("/signin", DESK)
    await other.get_by_label("Email").fill("yaa@example.com")
    await other.get_by_label("Password").fill(PASSWORD)
    await other.get_by_role("button", name="Sign in").click()
    await other.goto("/account")
    await other.get_by_role("button", name="End all other sessions").click()
    assert await other.get_by_role("status").filter(has_text="Signed out: 1 other browser").is_visible()
    await first.reload()
    assert "/signin?next=%2Fhome" in first.url


@pytest.mark.parametrize("view", [PHONE, PLAIN], ids=lambda view: view.name)
async def test_the_theme_is_chosen_and_kept_without_scripts(portal: Portal, view: View) -> None:
    page = await portal.open("/signin", view)
    await page.get_by_role("button", name="Dark").click()
    await page.goto("/forgot")
    assert await page.locator("html").get_attribute("data-theme") == "dark"
    await portal.check(page)
    if view.scripts:
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 19, 17)"


async def test_pages_are_light(portal: Portal) -> None:
    page = await portal.page(PHONE)
    assert await weight(page, "/") < 60_000
    page = await portal.page(PHONE, "abena")
    assert await weight(page, "/home") < 60_000
    for path in OWN_PAGES:
        assert await weight(page, path) < 200_000, path


async def test_a_name_with_markup_is_text(portal: Portal) -> None:
    page = await portal.open("/account", DESK, "efua")
    evil = "<img src=x onerror=alert(1)>{{7*7}}"
    await page.get_by_label("Name").fill(evil)
    await page.get_by_role("button", name="Save").click()
    await page.goto("/home")
    assert evil in await page.locator("h1").inner_text()
    assert not await page.locator("main img").count()
    await portal.check(page)


async def test_every_button_of_a_phone_is_large_enough_for_a_thumb(portal: Portal) -> None:
    for path, who in (("/", None), ("/signup", None), ("/home", "ama"), ("/account", "ama")):
        page = await portal.open(path, PHONE, who)
        small = await page.evaluate(
            "() => [...document.querySelectorAll('button, .button, .nav a, input:not([type=hidden]), select')]"
            ".filter(e => e.offsetParent && e.type !== 'checkbox' && e.type !== 'radio' && e.getBoundingClientRect().height < 43.5)"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert small == [], path


async def test_no_page_says_what_it_should_not(portal: Portal) -> None:
    page = await portal.open("/account", DESK, "ama")
    text = await page.content()
    assert PASSWORD not in text
    assert not re.search(r"Traceback|asyncpg|Secret\(", text)
