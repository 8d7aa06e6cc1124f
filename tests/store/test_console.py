"""The console over the real database: coming in, the first page, orders and their decisions, with balances between the steps."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from telvend.database.connections import transaction_time
from telvend.desk.jobs.model import JobKind
from telvend.errors import Busy, NotPermitted, TelvendError
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.people.model import Role
from telvend.providers.upstream import LineStatus, StatementLine
from telvend.upstreams.reconciliation.model import Aspect, Comparison, Leftover, Side
from telvend.upstreams.reconciliation.service import FarSide
from telvend.web.console.rights import ROLES, Right
from tests.store.consoles import OWNER, PASSWORD, ConsoleShop, Page, console_shop


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
    assert [act[1] for act in (await strict.acts())[:2]] == ["order.resolve.proposed", "order.resolve"]
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


async def test_a_credit_above_the_limit_moves_nothing_until_another_person_confirms_it(strict: ConsoleShop) -> None:
    owner, finance = await strict.owner(), await strict.staff("esi@shop.example", Role.FINANCE)
    path = f"/console/resellers/{strict.ama.number}/credit"
    #                                                      wallet
    assert await strict.balance() == 100_00
    for number in (1, 2):
        page = await owner.do(path, "Credit", amount="50", reference=f"bank {number}", reason="by transfer")
        assert "waits for a second person" in page.text
    assert await strict.balance() == 100_00
    assert "2 proposals wait" in (await finance.open("/console")).text
    await finance.do("/console/approvals/1/confirm", "Confirm", reason="seen at the bank")
    assert await strict.balance() == 150_00
    await finance.do("/console/approvals/2/reject", "Reject", reason="no such transfer")
    assert await strict.balance() == 150_00
    again = await owner.press(await owner.open("/console/approvals/2/reject"), "Continue", reason="mine")
    assert again.status == 422
    assert "no such transfer" in again.text
    page = await owner.press(await owner.open(path), "Continue", amount="50", reference="bank 1", reason="again")
    page.error_of("reference")
    page = await owner.do(path, "Credit", amount="0.50", reference="bank 3", reason="small")
    assert await strict.balance() == 150_50
    acts = [act[1] for act in await strict.acts()]
    assert acts.count("wallet.credit.proposed") == 2
    assert acts.count("proposal.confirm") == 1


async def test_a_colleague_comes_in_by_a_link_that_an_owner_makes(console: ConsoleShop) -> None:
    owner, colleague = await console.owner(), await console.stranger()
    shown = await owner.press(
        await owner.open("/console/staff/invite"), "Continue", email="yaw@shop.example", support="yes", reason="helps"
    )
    page = await owner.press(shown, "Make the link")
    link = re.findall(r"/console/invitation/[A-Za-z0-9_-]+", page.html)[0]
    assert link not in (await owner.open("/console/audit-log")).html
    page = await colleague.press(await colleague.open(link), "Continue", password=PASSWORD)
    assert page.url.endswith("/console")
    assert "Staff" not in page.links
    assert "Settings" not in page.links
    assert (await (await console.stranger()).open(link)).status == 410
    nobody = await owner.press(await owner.open("/console/staff/invite"), "Continue", email="x@y.example", reason="x")
    assert nobody.status == 422


async def test_figures_that_have_changed_are_shown_again(console: ConsoleShop) -> None:
    owner, other = await console.owner(), await console.staff("esi@shop.example", Role.FINANCE)
    path = "/console/catalogue/GH-MTN-1GB-30D/price"

    async def price() -> str:
        return (await console.shop.catalogue.product("GH-MTN-1GB-30D")).price.text

    shown = await owner.press(await owner.open(path), "Continue", price="5.00", reason="dearer")
    await other.do(path, "Change", price="6.00", reason="dearer still")
    again = await owner.press(shown, "Change")
    assert "figures have changed" in again.text
    assert await price() == "6.00"
    await owner.press(again, "Change")
    assert await price() == "5.00"


async def test_a_reseller_that_buys_meanwhile_does_not_hinder_a_credit(console: ConsoleShop) -> None:
    owner = await console.owner()
    path = f"/console/resellers/{console.ama.number}/credit"
    shown = await owner.press(await owner.open(path), "Continue", amount="5", reference="bank 1", reason="paid in cash")
    await console.sell()
    assert await console.balance() == 95_50
    page = await owner.press(shown, "Credit")
    assert "was credited" in page.text
    assert await console.balance() == 100_50
    again = await owner.press(shown, "Credit")
    assert again.status == 422
    again.error_of("reference")
    assert await console.balance() == 100_50
    assert [act[1] for act in await console.acts()].count("wallet.credit") == 1


# Every page -------------------------------------------------------------------------------------------------------------


async def things(console: ConsoleShop) -> dict[str, str]:
    """One of each thing that an address may name."""
    shop = console.shop
    reference = await console.doubtful("walk")
    key, _, _ = await shop.resellers.add_key(console.ama.email, "netpluse")
    person = (await shop.people.staff())[0].person
    batch = await shop.vouchers.issue(Money(1_00, NGN), 2, _Nowhere())
    await shop.subscribers.add("+2348031234567", tariff_plan="PulsePlus", currency=NGN)
    await shop.people.mail.send_test("esi@shop.example")
    funding = await console.value(
        "insert into funding (id, reference, reseller_id, wallet_id, mode, gateway, method, amount_minor, currency, state, position,"
        " balance_before_minor, balance_after_minor, expires_at) select 900, 'FND-900-abcdef', reseller_id, account_id, 'live',"
        " 'sandbox', 'card', 500, 'GHS', 'pending', 77, 0, 0, now() + interval '1 hour' from wallet"
        " where reseller_id = $1 and mode = 'live' and currency = 'GHS' returning reference",
        console.ama.id,
    )
    await shop.claims.make(console.ama.id, "sandbox", "trf-1", Money(1_00, NGN), "", by_whom="ama")
    await shop.desk.jobs.start(JobKind.CLOSE, "2020-01", by_whom=OWNER)
    reconciliations = console.shop.reconciliations
    async with console.shop.database.connection() as tx:
        day = await reconciliations.day((await transaction_time(tx)).date())
    await reconciliations.record("simulator", day, FarSide.LIST, "", Comparison(), by_whom="esi")
    return {
        "reference": reference, "topic": "review", "number": str(console.ama.number), "key": str(key.id), "name": "simulator",
        "country": "GH", "code": "MTN", "msisdn": "+2348031234567", "serial": batch.first_serial, "id": str(person.id),
        "funding": funding, "product": "GH-MTN-1GB-30D", "batch": str(batch.id), "endpoint": "1",
    }  # fmt: skip


class _Nowhere:
    async def take(self, vouchers: object) -> None:
        """Nobody wants them."""

    async def finish(self) -> None:
        """Nothing to keep."""


def address_of(path: str, named: dict[str, str]) -> str:
    """The address of a page about one of the things that are there."""
    own = dict(named)
    if path.startswith("/console/funding/"):
        own["reference"] = named["funding"]
    if path.startswith("/console/funding/claims/"):
        own["number"] = "1"
    if path.startswith("/console/catalogue/"):
        own["code"] = named["product"]
    if path.startswith("/console/vouchers/batches/"):
        own["number"] = named["batch"]
    if path.startswith(("/console/audit-log/", "/console/emails/", "/console/reconciliations/", "/console/jobs/")):
        own["number"] = "1"
    for name, value in own.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


NOT_THERE = (
    "/console/approvals/{number}/",
    "/console/resellers/{number}/webhooks/",
    "/console/resellers/{number}/statement",
)
"""Pages about things of which there is none in this shop."""


async def test_every_page_opens_for_the_roles_of_the_table_and_for_nobody_else(console: ConsoleShop) -> None:
    owner = await console.owner()
    browsers = {
        Role.OWNER: owner,
        Role.FINANCE: await console.staff("esi@shop.example", Role.FINANCE),
        Role.SUPPORT: await console.staff("kofi@shop.example", Role.SUPPORT),
    }
    named = await things(console)
    rights = console.site.console.rights
    assert len(rights) > 90
    assert set(rights.values()) == set(Right)
    for (method, path), right in rights.items():
        if path.startswith(NOT_THERE):
            continue
        for role, browser in browsers.items():
            if method == "GET":
                response = await browser.http.get(address_of(path, named))
                expected = 200 if role in ROLES[right] else 404
                assert response.status_code == expected, (method, path, role, response.text[-300:])
                if expected == 200 and response.headers["content-type"].startswith("text/html"):
                    assert "<h1>" in response.text, path
                    assert "style=" not in response.text, path
            elif role not in ROLES[right]:
                csrf = (await browser.open("/console")).form("Sign out").fields["csrf"]
                response = await browser.http.post(
                    address_of(path, named), data={"csrf": csrf, "reason": "x", "confirmed": "x"}
                )
                assert response.status_code == 404, (method, path, role)


async def test_a_post_without_its_token_or_from_another_site_does_nothing(console: ConsoleShop) -> None:
    owner = await console.owner()
    named = await things(console)
    csrf = (await owner.open("/console")).form("Sign out").fields["csrf"]
    acts = await console.value("select count(*) from act")
    for method, path in console.site.console.rights:
        if method != "POST" or path.startswith(NOT_THERE):
            continue
        for data, headers in (
            ({"confirmed": "x", "reason": "x"}, {}),
            ({"csrf": "x" * 64, "reason": "x"}, {}),
            ({"csrf": csrf, "reason": "x"}, {"sec-fetch-site": "cross-site"}),
            ({"csrf": csrf, "reason": "x"}, {"origin": "https://evil.example"}),
        ):
            response = await owner.http.post(address_of(path, named), data=data, headers=headers)
            assert response.status_code == 403, (path, data, headers)
    assert await console.value("select count(*) from act") == acts


async def test_a_role_that_was_taken_away_ends_the_session_at_once(console: ConsoleShop) -> None:
    owner, finance = await console.owner(), await console.staff("esi@shop.example", Role.FINANCE)
    assert (await finance.open("/console/orders")).url.endswith("/console/orders")
    staff = await owner.open("/console/staff")
    path = [href for tag, attrs in staff.tags if tag == "a" and (href := attrs.get("href", "")).endswith("/roles")]
    for one in path:
        page = await owner.open(one)
        if "esi@shop.example" in page.text:
            form = page.form("Continue")
            form.fields.pop("finance")
            shown = await owner.press(page, "Continue", reason="left us", support="yes")
            await owner.press(shown, "Change")
    assert "/console/signin" in (await finance.open("/console/orders")).url
    assert (await console.acts())[0][1:] == ("roles.changed", "left us")


# Money and access -------------------------------------------------------------------------------------------------------


async def test_a_wallet_is_credited_and_debited_once_for_each_reference(console: ConsoleShop) -> None:
    owner = await console.owner()
    base = f"/console/resellers/{console.ama.number}"
    #                                                      wallet
    assert await console.balance() == 100_00
    await owner.do(f"{base}/credit", "Credit", amount="1,250.50", reference="bank 1", reason="cash")
    assert await console.balance() == 1_350_50
    for amount in ("1,250.50", "9"):  # The same amount again, and another one.
        page = await owner.press(
            await owner.open(f"{base}/credit"), "Continue", amount=amount, reference="bank 1", reason="cash"
        )
        page.error_of("reference")
        assert await console.balance() == 1_350_50
    await owner.do(f"{base}/debit", "Debit", amount="50.50", reference="bank 1", reason="typed twice")
    assert await console.balance() == 1_300_00
    page = await owner.press(
        await owner.open(f"{base}/debit"), "Continue", amount="2000", reference="bank 2", reason="too much"
    )
    assert page.status == 422
    assert await console.balance() == 1_300_00
    statement = await owner.open((await owner.open(base)).links["Statement"])
    assert statement.status == 200
    acts = [act for act in await console.acts() if act[1].startswith("wallet.")]
    assert acts[0][1:] == ("wallet.debit", "typed twice")


async def test_what_was_typed_wrongly_comes_back_with_its_error(console: ConsoleShop) -> None:
    owner = await console.owner()
    base = f"/console/resellers/{console.ama.number}"
    for field, typed in (
        ("amount", {"amount": "abc"}), ("amount", {"amount": "-5"}), ("amount", {"amount": "0"}), ("amount", {"amount": "1.234"}),
        ("currency", {"currency": "USD"}), ("mode", {"mode": "play"}), ("reference", {"reference": ""}), ("reason", {"reason": " "}),
        ("reference", {"reference": "x\ty"}), ("amount", {"amount": "9" * 40}),
    ):  # fmt: skip
        given = {"amount": "5", "currency": "GHS", "mode": "live", "reference": "bank 7", "reason": "cash", **typed}
        page = await owner.press(await owner.open(f"{base}/credit"), "Continue", **given)
        assert page.status == 422, typed
        page.error_of(field)
        if field != "reason":
            assert page.form("Continue").fields["reason"] == "cash"
    assert await console.balance() == 100_00


async def test_a_suspended_reseller_is_refused_and_let_in_again(console: ConsoleShop) -> None:
    owner = await console.owner()
    base = f"/console/resellers/{console.ama.number}"
    page = await owner.do(f"{base}/suspend", "Suspend", reason="chargebacks")
    assert "Suspended" in page.text
    assert "chargebacks" in page.text
    with pytest.raises(NotPermitted):
        await console.sell()
    again = await owner.press(await owner.open(f"{base}/suspend"), "Continue", reason="x")
    assert again.status == 422
    await owner.do(f"{base}/resume", "Resume", reason="settled")
    await console.sell()
    assert [act[1] for act in (await console.acts())[:2]] == ["reseller.resume", "reseller.suspend"]


async def test_the_limits_of_a_key_are_changed_with_their_figures_before_and_after(console: ConsoleShop) -> None:
    owner = await console.owner()
    key, _, _ = await console.shop.resellers.add_key(console.ama.email, "netpluse", Mode.LIVE, 60, 30)
    page = await owner.open(f"/console/resellers/{console.ama.number}")
    path = page.links["60 / 30, change"]
    page = await owner.open(path)
    assert page.form("Continue").fields.items() >= {"read_limit": "60", "purchase_limit": "30"}.items()
    wrong = await owner.press(page, "Continue", read_limit="0", purchase_limit="many", reason="grows")
    assert wrong.status == 422
    assert "whole number" in wrong.error_of("read_limit")
    assert "whole number" in wrong.error_of("purchase_limit")
    shown = await owner.press(wrong, "Continue", read_limit="1,200", purchase_limit="30", reason="grows")
    assert "60 → 1,200" in shown.text
    (unchanged,) = await console.shop.resellers.list_keys(console.ama.email)
    assert unchanged.read_limit == 60
    page = await owner.press(shown, "Change")
    assert "1,200 / 30, change" in page.links
    (changed,) = await console.shop.resellers.list_keys(console.ama.email)
    assert (changed.read_limit, changed.purchase_limit) == (1200, 30)
    assert (await console.acts())[0] == (OWNER, "key.limits", "grows")
    await console.shop.resellers.revoke_key(key.id)
    assert (await owner.press(await owner.open(path), "Continue", reason="again")).status == 422


async def test_an_act_stands_with_its_change_or_not_at_all(
    console: ConsoleShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await console.owner()
    base = f"/console/resellers/{console.ama.number}"
    shown = await owner.press(
        await owner.open(f"{base}/credit"), "Continue", amount="5", reference="bank 1", reason="cash"
    )

    async def fails(*_: object, **__: object) -> None:
        raise Busy

    with monkeypatch.context() as patched:
        patched.setattr(console.shop.people, "record", fails)
        assert (await owner.press(shown, "Credit")).status == 503
    assert await console.balance() == 100_00
    await owner.press(shown, "Credit")
    assert await console.balance() == 105_00
    assert [act[1] for act in await console.acts()].count("wallet.credit") == 1


# Prices, providers, vouchers, months --------------------------------------------------------------------------------------


async def test_prices_change_alone_and_together_with_their_figures(console: ConsoleShop) -> None:
    owner = await console.owner()

    async def price(code: str = "GH-MTN-1GB-30D") -> str:
        return (await console.shop.catalogue.product(code)).price.text

    assert await price() == "4.50"
    page = await owner.press(
        await owner.open("/console/catalogue/GH-MTN-1GB-30D/price"), "Continue", price="4", reason="war"
    )
    page.error_of("price")
    await owner.do("/console/catalogue/GH-MTN-1GB-30D/price", "Change", price="5.00", cost="4.27", reason="dearer")
    assert await price() == "5.00"
    shown = await owner.press(
        await owner.open("/console/catalogue/prices"),
        "Continue",
        network="GH MTN",
        percent="10",
        step="10",
        reason="rise",
    )
    assert "GHS 5.00 → 5.50" in shown.text
    assert await price() == "5.00"
    await owner.press(shown, "Change all")
    assert await price() == "5.50"
    page = await owner.press(
        await owner.open("/console/catalogue/prices"),
        "Continue",
        network="GH MTN",
        percent="-90",
        step="10",
        reason="x",
    )
    page.error_of("percent")
    assert await price() == "5.50"


async def test_a_sheet_is_taken_in_as_a_whole_or_not_at_all(console: ConsoleShop) -> None:
    owner = await console.owner()
    sheet = (await owner.http.get("/console/catalogue.csv")).text
    assert "GH-MTN-1GB-30D" in sheet

    async def send(text: str) -> Page:
        page = await owner.open("/console/catalogue/import")
        return await owner.press(page, "Continue", {"csv": ("new.csv", text.encode(), "text/csv")}, reason="new list")

    wrong = await send(sheet.replace("4.50,4.27", "4.50,abc"))
    assert wrong.status == 422
    wrong.error_of("csv")
    shown = await send(sheet.replace("4.50,4.27", "4.60,4.27"))
    assert shown.status == 200, shown.text
    assert (await console.shop.catalogue.product("GH-MTN-1GB-30D")).price.text == "4.50"
    page = await owner.press(shown, "Import")
    assert "changed" in page.text, page.text
    assert (await console.shop.catalogue.product("GH-MTN-1GB-30D")).price.text == "4.60"


async def test_a_provider_is_drained_and_a_network_paused(console: ConsoleShop) -> None:
    owner, support = await console.owner(), await console.staff("kofi@shop.example", Role.SUPPORT)
    shown = await owner.press(await owner.open("/console/providers/simulator/drain"), "Continue", reason="slow")
    assert "No other provider is on" in shown.text
    page = await owner.press(shown, "Drain")
    assert "Draining" in page.text
    assert "No upstream" in (await owner.open("/console/settings")).text or "simulator" in page.text
    await owner.do("/console/providers/simulator/on", "Switch on", reason="quick again")
    await support.do("/console/networks/GH/MTN/pause", "Pause", reason="outage")
    await console.shop.watch.look()
    with pytest.raises(TelvendError):
        await console.sell()
    page = await owner.open("/console")
    assert "paused" in (await owner.open("/console/providers")).text
    await support.do("/console/networks/GH/MTN/resume", "Resume", reason="over")
    await console.shop.watch.look()
    await console.sell()
    assert page.status == 200


async def test_vouchers_are_issued_once_and_blocked(console: ConsoleShop) -> None:
    owner = await console.owner()
    page = await owner.open("/console/vouchers/issue")
    shown = await owner.press(page, "Continue", amount="5", currency="NGN", count="3", reason="for Esi")
    issued = await owner.press(shown, "Issue")
    assert issued.html.count("<code>") == 3
    assert await console.value("select count(*) from voucher") == 3
    again = await owner.press(shown, "Issue")
    assert "figures have changed" in again.text
    assert await console.value("select count(*) from voucher") == 3
    serial = await console.value("select min(serial)::text from voucher")
    page = await owner.open(f"/console/search?q={serial}")
    found = (
        page
        if "/vouchers/" in page.url
        else await owner.open(next(h for h in page.links.values() if "/vouchers/" in h))
    )
    shown = await owner.press(await owner.open(found.links["Block"]), "Continue", state="stolen", reason="lost")
    await owner.press(shown, "Confirm")
    assert await console.value("select state from voucher where serial = $1", int(serial)) == "stolen"
    pins = await console.value(
        "select string_agg(coalesce(before::text, '') || coalesce(after::text, ''), '') from act"
    )
    assert not [pin for pin in issued.html.split("<code>")[1:] if pin.split("<")[0] in pins]


async def test_reports_and_books_agree_with_the_ledger(console: ConsoleShop) -> None:
    owner = await console.owner()
    reference = await console.doubtful()
    await owner.do(f"/console/orders/{reference}/resolve", "Confirm", outcome="delivered", reason="seen")
    page = await owner.open("/console/reports?kind=margin&by=network")
    assert "MTN" in page.text
    assert "GH₵4.50" in page.text
    file = await owner.http.get("/console/reports.csv?kind=margin&by=network")
    assert file.text.splitlines()[0] == "network,currency,sold,amount,cost,refunded,written_off,margin"
    for kind in ("margin", "sales", "outcomes", "wallets"):
        page = await owner.open(f"/console/reports?kind={kind}&by=reseller")
        assert console.ama.email in page.text
        assert next(form for form in page.forms if "Show" in form.buttons).fields["currency"] == "GHS"
        for empty in ("page=2", "currency=NGN"):
            page = await owner.open(f"/console/reports?kind={kind}&by=reseller&{empty}")
            assert "Nothing has moved" in page.text
            assert "(GHS)" in page.text, "totals are of all"
        file = await owner.http.get(f"/console/reports.csv?kind={kind}&by=reseller")
        assert console.ama.email in file.text
    books = await owner.open("/console/books")
    rows = [row for row in books.html.split("<tr") if "Total (GHS)" in row]
    amounts = re.findall(r"GH₵[0-9,.]+", rows[0])
    assert amounts[0] == amounts[1] != "GH₵0.00"
    page = await owner.press(await owner.open("/console/books/audit"), "Continue")
    running = await owner.press(page, "Start")
    assert "It has begun" in running.text
    again = await owner.press(page, "Start")
    assert again.status == 422
    assert "runs already" in again.text
    await console.work_off(JobKind.AUDIT)
    assert "The books hold" in (await owner.open(running.url)).text
    assert "holds" in (await owner.open("/console/books")).text
    page = await owner.press(await owner.open("/console/reports/close"), "Continue", month="2020-13", reason="x")
    page.error_of("month")
    page = await owner.press(await owner.open("/console/reports/close"), "Continue", month="2020-01", reason="done")
    assert "Figures of 2020-01" in page.text
    await console.work_off(JobKind.FIGURES)
    page = await owner.open(page.url)
    shown = await owner.press(await owner.open(page.links["Close this month"]), "Continue")
    assert "done" in shown.text
    page = await owner.press(shown, "Close")
    assert await console.value("select count(*) from report_month") == 0
    assert (await console.acts())[0] == (OWNER, "month.close", "done")
    await console.work_off(JobKind.CLOSE)
    assert "2020-01 is closed" in (await owner.open(page.url)).text
    assert await console.value("select count(*) from report_month") == 1
    assert await console.value("select by_whom from report_month") == OWNER
    assert "2020-01" in (await owner.open("/console/reports/months")).text


async def test_a_claim_is_made_in_the_portal_and_answered_in_the_console(console: ConsoleShop) -> None:
    owner, ama = await console.owner(), await console.stranger()
    page = await ama.open(await console.shop.people.invite(console.ama.email, by="test"))
    await ama.press(page, "Open my account", password=PASSWORD)
    page = await ama.open((await ama.open("/topup")).links["Paid, and the money is not here?"])
    wrong = await ama.press(page, "Send", reference="", amount="many", currency="GHS", note="from <b>my</b> bank")
    assert wrong.status == 422
    assert "reference" in wrong.error_of("reference")
    wrong.error_of("amount")
    page = await ama.press(wrong, "Send", reference="trf-77", amount="50")
    assert "The shop looks at it" in page.text
    assert "You have claimed" in (await ama.press(page, "Send", reference="trf-77", amount="50")).text
    assert "1 claim of a payment waits" in (await owner.open("/console")).text
    page = await owner.open("/console/funding/claims")
    page = await owner.open(page.links["Claim 1"])
    assert "from <b>my</b> bank" in page.text
    refused = await owner.press(await owner.open("/console/funding/claims/1/credit"), "Continue", reason="looked")
    assert refused.status == 422
    assert "Sandbox does not say that it was paid" in refused.text
    page = await owner.do("/console/funding/claims/1/refuse", "Refuse", reason="No such payment at our bank")
    assert "refused" in page.text
    assert (await console.acts())[0] == (OWNER, "claim.refuse", "No such payment at our bank")
    assert "No such payment at our bank" in (await ama.open("/claims")).text
    assert "claim of a payment" not in (await owner.open("/console")).text
    assert await console.balance() == 100_00


def left_over(index: int, **changes: object) -> Leftover:
    """What the provider has delivered, and our books do not know."""
    line = StatementLine(
        LineStatus.DELIVERED,
        f"=ours-{index}",
        f"T-{index}",
        charged=Money(390, GHS),
        subscriber="0241230009",
        word="sent\0",
    )
    return replace(Leftover(Side.ONLY_THERE, (Aspect.STATUS,), None, line, LineStatus.DELIVERED), **changes)


async def test_a_reconciliation_is_read_line_by_line_and_as_a_file(console: ConsoleShop) -> None:
    owner = await console.owner()
    reference = await console.doubtful()
    reconciliations = console.shop.reconciliations
    async with console.shop.database.connection() as tx:
        today = await transaction_time(tx)
    day = await reconciliations.day(today.date())
    (attempt,) = await reconciliations.attempts_of("simulator", day)
    dearer = StatementLine(LineStatus.DELIVERED, attempt.reference, "T-0", charged=Money(400, GHS))
    different = Leftover(Side.DIFFERENT, (Aspect.STATUS,), attempt, dearer, LineStatus.DELIVERED)
    found = Comparison(leftovers=[*(left_over(number) for number in range(60)), different])
    made = await reconciliations.record("simulator", day, FarSide.STATEMENT, "", found, by_whom="esi")
    page = await owner.open("/console/reconciliations")
    page = await owner.open(page.links[f"{day.calendar_date} simulator"])
    assert "T-49" in page.text
    assert "T-50" not in page.text
    assert "Find who bought by the number" in page.text
    assert "T-50" in (await owner.open(page.links["Older"])).text
    page = await owner.open(f"/console/reconciliations/{made.id}?side=different")
    assert page.links[reference] == f"/console/orders/{reference}"
    assert "Resolve" not in page.links
    assert "Ask the provider from the order's page" in page.text
    assert "0.10" in page.text
    rows = (await owner.http.get(page.links["Export CSV"])).text.splitlines()
    assert len(rows) == 2
    rows = (await owner.http.get(f"/console/reconciliations/{made.id}/lines.csv")).text.splitlines()
    assert len(rows) == 62
    assert "'=ours-0" in rows[1]
    assert (await owner.open("/console/reconciliations/999")).status == 404


async def test_hostile_names_and_references_are_shown_as_text(console: ConsoleShop) -> None:
    owner = await console.owner()
    evil = "<script>alert(1)</script>"
    mallory = await console.shop.resellers.add("mallory@example.com", f"{evil}=HYPERLINK(1)", "0209999999")
    await console.sell("=cmd|'/c calc'!A1")
    async with console.shop.database.connection() as tx:
        await tx.execute("update orders set client_reference = $1 || client_reference", evil)
    reference = await console.value("select reference from orders")
    for path in (
        "/console/resellers", f"/console/resellers/{mallory.number}", "/console/orders", f"/console/orders/{reference}",
        f"/console/search?q={evil}", f"/console/orders?search={evil}", f"/console/audit-log?who={evil}&what={evil}",
        f"/console/resellers/{mallory.number}/suspend?reason={evil}", f"/console/orders?reseller={evil}&from={evil}",
    ):  # fmt: skip
        page = await owner.open(path)
        assert "<script>alert" not in page.html, path
        assert page.status == 200, path
    shown = await owner.press(await owner.open(f"/console/resellers/{mallory.number}/suspend"), "Continue", reason=evil)
    assert "<script>alert" not in shown.html
    page = await owner.press(shown, "Suspend")
    assert "<script>alert" not in page.html
    assert "<script>alert" not in (await owner.open("/console/audit-log")).html


async def test_files_hold_no_formulas(console: ConsoleShop) -> None:
    owner = await console.owner()
    await console.sell("=1+1")
    file = (await owner.http.get("/console/orders.csv")).text
    assert ",'=1+1," in file
    assert ",+233241234567," in file
    assert await console.value("select count(*) from orders") == len(file.splitlines()) - 1


async def test_texts_in_addresses_that_cannot_be_are_no_server_errors(console: ConsoleShop) -> None:
    owner = await console.owner()
    for path in (
        "/console/orders?before=abc",
        "/console/orders?before=99999999999999999999",
        "/console/orders?from=2026-99-99",
        "/console/orders?state=%00",
        "/console/orders?reseller=nobody@example.com",
        "/console/orders?network=%F0%9F%98%80",
        "/console/audit-log?from=x",
        "/console/audit-log/abc",
        "/console/audit-log/99",
        "/console/reports?from=x",
        "/console/reports?kind=x&by=x",
        "/console/reports?from=2026-01-02&to=2026-01-01",
        "/console/reports?from=1000-01-01&to=9999-12-31",
        "/console/reports?kind=wallets&by=reseller&page=999999999999999999&currency=%00",
        "/console/catalogue?network=%00&after=9999999999",
        "/console/vouchers?serial=abc",
        "/console/vouchers?serial=99999999999999999999",
        "/console/vouchers/abc",
        "/console/subscribers/abc",
        "/console/resellers/abc",
        "/console/resellers/0",
        "/console/resellers/99999999999999",
        "/console/resellers?after=x&search=%00",
        "/console/providers/nobody",
        "/console/funding/FND-1-abcdef",
        "/console/funding?state=x",
        "/console/todo/x",
        "/console/emails/x",
        "/console/orders/NPAPI-1-abcdef",
        "/console/orders/%00",
        "/console/approvals/x/confirm",
        "/console/catalogue/x/price",
        "/console/search?q=" + "x" * 300,
        "/console/search?q=%00",
        "/console/networks/GH/x/pause",
        "/console/resellers/1/statement?wallet=x",
        "/console/subscribers?number=abc&mode=x",
        "/console/staff/x/roles",
        "/console/orders.csv?state=x",
    ):
        response = await owner.http.get(path, follow_redirects=True)
        assert response.status_code in (200, 400, 404), (path, response.status_code)
