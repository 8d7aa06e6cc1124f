"""Takes the pictures of docs/images anew: `make screenshots`. A page gets its line in SHOTS.

A shop is furnished, somebody signs up in it, and each page is photographed as it is. Pictures keep 128 colours, which pages do
not need more of.
"""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image
from playwright.async_api import Browser, async_playwright

from tests.browser.chromium import chromium
from tests.browser.conftest import DESK, DESK_DARK, PASSWORD, PHONE, View
from tests.e2e.shop import Shop


class Shot(NamedTuple):
    """One picture: the file's name, the page, how it is looked at."""

    name: str
    path: str
    view: View


SHOTS: Final = (
    Shot("portal-first", "/", DESK),
    Shot("portal-home", "/home", DESK),
    Shot("portal-home-dark", "/home", DESK_DARK),
    Shot("portal-home-phone", "/home", PHONE),
    Shot("portal-buy-phone", "/buy", PHONE),
    Shot("portal-transactions", "/transactions", DESK),
)
CONSOLE_SHOTS: Final = (
    Shot("console-today", "/console", DESK),
    Shot("console-today-phone", "/console", PHONE),
    Shot("console-orders-dark", "/console/orders", DESK_DARK),
    Shot("console-order", "/console/orders/{order}", DESK),
)
"""Those of the owner. `{order}` is one of the orders."""


def furnish(shop: Shop) -> None:
    """Money in both wallets of the account, and a few sales."""
    made = shop.several(
        [
            ["wallet", "credit", "ama@example.com", "450", "GHS", "--reference", "opening"],
            ["wallet", "credit", "ama@example.com", "25000", "NGN", "--reference", "opening-ng"],
            ["key", "add", "ama@example.com", "--api", "netpluse"],
        ]
    )
    with shop.client(made[2]["key"]) as client:
        for number, network in enumerate(("MTN", "TELECEL", "MTN", "AIRTELTIGO")):
            client.post("purchase", json={"network": network, "phoneNumber": f"024123456{number}", "capacity": "1GB"})
    shop.wait_until_final()


async def take(browser: Browser, shop: Shop, folder: Path) -> None:
    """Sign up, furnish the account, and write every picture."""
    first = await browser.new_context(viewport={"width": DESK.width, "height": DESK.height}, base_url=shop.url)
    page = await first.new_page()
    await page.goto("/signup")
    for label, text in {
        "Name": "Ama Mensah",
        "Email": "ama@example.com",
        "Phone number": "0241234567",
        "Password": PASSWORD,
    }.items():
        await page.get_by_label(label).fill(text)
    await page.get_by_role("button", name="Sign up").click()
    await page.wait_for_url("**/home")
    shop.sql("update person set email_verified_at = now()")
    await asyncio.to_thread(furnish, shop)
    owner = await browser.new_context(base_url=shop.url)
    page = await owner.new_page()
    await page.goto((await asyncio.to_thread(shop.telvend, "console", "link"))["url"])
    await page.get_by_label("Email").fill("owner@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url("**/console")
    ((order,),) = shop.sql("select reference from orders order by id limit 1")
    for shots, session in ((SHOTS, first), (CONSOLE_SHOTS, owner)):
        for shot in shots:
            context = await browser.new_context(
                viewport={"width": shot.view.width, "height": shot.view.height},
                color_scheme="dark" if shot.view.dark else "light",
                storage_state=await session.storage_state() if shot.path != "/" else None,
                base_url=shop.url,
            )
            page = await context.new_page()
            await page.goto(shot.path.replace("{order}", order))
            target = folder / f"{shot.name}.png"
            await page.screenshot(path=target)
            await asyncio.to_thread(shrink, target)
            await context.close()
            print(target)
    await owner.close()
    await first.close()


def shrink(path: Path) -> None:
    """Keep a picture in 128 colours."""
    with Image.open(path) as picture:
        smaller = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    smaller.save(path, optimize=True)


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        shop = Shop(Path(made) / "data")
        shop.data_dir.mkdir(mode=0o700)
        shop.settings["TELVEND_SIGNUP"] = "open"
        try:
            shop.start()
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
                await take(browser, shop, folder)
                await browser.close()
        finally:
            shop.end()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
