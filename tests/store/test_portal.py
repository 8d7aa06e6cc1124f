"""The portal's pages over a real database: the way in, what other sites and strangers may not, and that nothing breaks them."""

import random
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from telvend.database.connections import Database
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.web.portal.home import days_back
from tests.store.pages import ADDRESS, PASSWORD, Pages, Visit, opened_pages, token_of

SESSION = "__Host-telvend"


@pytest.fixture
async def pages(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Pages]:
    async with opened_pages(database_url, tmp_path) as found:
        yield found


async def sign_in(
    visit: Visit, email: str = "ama@example.com", password: str = PASSWORD, path: str = "/signin"
) -> httpx.Response:
    page = await visit.get(path)
    asked = re.search(r'name="next" value="([^"]*)"', page.text)
    assert asked
    return await visit.send_form(
        "/signin", token_of(page.text), email=email, password=password, next=unescape(asked[1])
    )


# Cookies and headers ------------------------------------------------------------------------------------------------------


async def test_a_session_is_a_cookie_that_no_script_and_no_other_site_gets(pages: Pages) -> None:
    visit = pages.browser()
    answer = await visit.submit("/signup", name="Ama", email="ama@example.com", phone="0241234567", password=PASSWORD)
    cookies = [text for text in answer.headers.get_list("set-cookie") if text.startswith(f"{SESSION}=")]
    assert len(cookies) == 1
    flags = {part.strip().lower() for part in cookies[0].split(";")[1:]}
    assert {"httponly", "secure", "path=/", "samesite=lax"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)
    for text in answer.headers.get_list("set-cookie"):
        assert text.startswith("__Host-")


async def test_every_page_is_kept_by_nobody_and_framed_by_nobody(pages: Pages) -> None:
    visit = await pages.signed_up()
    for path in ("/", "/home", "/account", "/nothing", "/reset/x"):
        answer = await visit.get(path)
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'",
                     "base-uri 'none'"):  # fmt: skip
            assert part in policy
        assert "unsafe" not in policy
        assert "style=" not in answer.text
        assert "<style" not in answer.text
        assert not re.search(r"<script(?! src=)|\son\w+=", answer.text), path
        assert answer.headers["x-request-id"]


async def test_files_of_pages_are_named_by_their_content_and_kept_for_good(pages: Pages) -> None:
    visit = pages.browser()
    page = (await visit.get("/signin")).text
    paths = set(re.findall(r'(?:href|src)="(/assets/[^"#]+)', page))
    assert len(paths) >= 4
    for path in paths:
        found = await visit.get(path)
        assert found.status_code == 200
        assert "immutable" in found.headers["cache-control"]
        again = await visit.get(path, headers={"if-none-match": found.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        plain = await visit.get(path, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == found.content
    assert (await visit.get("/assets/site.css")).status_code == 404
    assert (await visit.get("/assets/..%2f..%2fsite.py")).status_code == 404


# The way in ---------------------------------------------------------------------------------------------------------------


async def test_somebody_signs_up_and_out_and_in_and_comes_back_to_the_page(pages: Pages) -> None:
    visit = await pages.signed_up()
    home = await visit.get("/home")
    assert "GH₵0.00" in home.text
    assert "₦0.00" in home.text
    out = await visit.submit("/home", "/signout")
    assert (out.status_code, out.headers["location"]) == (303, "/signin")
    asked = await visit.get("/account?x=1")
    assert asked.headers["location"] == "/signin?next=%2Faccount%3Fx%3D1"
    answer = await sign_in(visit, path=asked.headers["location"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/account?x=1")


@pytest.mark.parametrize(
    "whereto",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/%0d%0aset-cookie:a=b//x", "/..//evil.example"],
)
async def test_nobody_is_sent_to_another_site_after_signing_in(pages: Pages, whereto: str) -> None:
    await pages.signed_up()
    visit = pages.browser()
    page = await visit.get("/signin", params={"next": whereto})
    assert '<input type="hidden" name="next" value="">' in page.text
    token = token_of(page.text)
    answer = await visit.send_form("/signin", token, email="ama@example.com", password=PASSWORD, next=whereto)
    assert answer.status_code == 303
    assert not re.search(r"evil|//", answer.headers["location"])


async def test_an_unknown_address_and_a_wrong_password_read_the_same(pages: Pages) -> None:
    await pages.signed_up()

    def bare(text: str) -> str:
        return re.sub(r'name="csrf" value="[^"]*"|Request \S+|value="[^"@]+@example.com"', "", text)

    known = await sign_in(pages.browser(), password="something else")
    unknown = await sign_in(pages.browser(), email="eve@example.com", password="something else")
    assert (known.status_code, bare(known.text)) == (unknown.status_code, bare(unknown.text))
    assert known.status_code == 422
    assert "something else" not in known.text
    one, other = pages.browser(), pages.browser()
    known, unknown = [
        await visit.submit("/forgot", email=email)
        for visit, email in ((one, "ama@example.com"), (other, "eve@example.com"))
    ]
    assert known.status_code == unknown.status_code == 303
    assert known.headers.get_list("set-cookie") == unknown.headers.get_list("set-cookie")


async def test_wrong_fields_keep_what_was_typed_but_never_the_password(pages: Pages) -> None:
    visit = pages.browser()
    answer = await visit.submit(
        "/signup", name='"><script>alert(1)</script>', email="no address", phone="12", password="secret secret"
    )
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;' in answer.text
    assert "secret secret" not in answer.text
    for name in ("email", "phone"):
        assert re.search(
            rf'id="f-{name}"[^>]* aria-describedby="[^"]*f-{name}-error[^"]*" aria-invalid="true"', answer.text
        ), name
        assert f'href="#f-{name}"' in answer.text
        assert f'id="f-{name}-error"' in answer.text


async def test_a_taken_address_may_be_said(pages: Pages) -> None:
    await pages.signed_up()
    answer = await pages.browser().submit(
        "/signup", name="Eve", email="AMA@example.com", phone="0241234567", password=PASSWORD
    )
    assert answer.status_code == 422
    assert "f-email-error" in answer.text


async def test_a_closed_shop_opens_no_account(database: Database, database_url: str, tmp_path: Path) -> None:
    async with opened_pages(database_url, tmp_path, signup="invite") as pages:
        visit = pages.browser()
        page = await visit.get("/signup")
        assert "by invitation" in page.text
        assert 'name="password"' not in page.text
        answer = await visit.submit(
            "/signup", name="Eve", email="eve@example.com", phone="0241234567", password=PASSWORD
        )
        assert answer.status_code == 403
        assert (await visit.get("/home")).status_code == 303


async def test_a_lost_password_is_changed_by_a_link_once_and_every_session_ends(pages: Pages) -> None:
    visit = await pages.signed_up()
    path = await pages.shop.people.reset_link("ama@example.com", by="test")
    stranger = pages.browser()
    assert (await stranger.get(path)).status_code == 200
    short = await stranger.submit(path, password="short")
    assert short.status_code == 422
    done = await stranger.submit(path, password="another long one")
    assert (done.status_code, done.headers["location"]) == (303, "/signin")
    assert (await visit.get("/home")).status_code == 303
    again = await stranger.get(path)
    assert again.status_code == 410
    assert "/forgot" in again.text
    assert (await sign_in(pages.browser())).status_code == 422
    assert (await sign_in(pages.browser(), password="another long one")).status_code == 303
    assert (await stranger.get("/reset/" + "x" * 43)).status_code == 404


async def test_an_invitation_opens_the_account_of_a_reseller_made_by_command(pages: Pages) -> None:
    await pages.shop.services.resellers.add("kofi@example.com", "Kofi", "0241234568")
    path = await pages.shop.people.invite("kofi@example.com", by="test")
    visit = pages.browser()
    page = await visit.get(path)
    assert "Kofi" in page.text
    done = await visit.submit(path, password=PASSWORD, name="Kofi Annan", phone="")
    assert (done.status_code, done.headers["location"]) == (303, "/home")
    assert "Kofi Annan" in (await visit.get("/home")).text


# Other sites --------------------------------------------------------------------------------------------------------------


async def test_a_form_without_the_token_of_its_session_does_nothing(pages: Pages) -> None:
    ama, eve = await pages.signed_up(), await pages.signed_up("eve@example.com", "Eve")
    theirs = token_of((await eve.get("/account")).text)
    stranger = token_of((await pages.browser().get("/signin")).text)
    fields = {"name": "Forged", "phone": "0241234567", "zone": "UTC"}
    for token in (None, "", "x", theirs, stranger, "A" * 88, "\u00e9"):
        answer = await ama.send_form("/account/profile", token, **fields)
        assert answer.status_code == 403, token
    assert "Forged" not in (await ama.get("/account")).text
    mine = token_of((await ama.get("/account")).text)
    for headers in (
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}, {"origin": "null"},
    ):  # fmt: skip
        answer = await ama.post("/account/profile", data=fields | {"csrf": mine}, headers=headers)
        assert answer.status_code == 403, headers
    assert "Forged" not in (await ama.get("/account")).text
    done = await ama.post(
        "/account/profile", data=fields | {"csrf": mine}, headers={"sec-fetch-site": "same-origin", "origin": ADDRESS}
    )
    assert done.status_code == 303
    assert "Forged" in (await ama.get("/account")).text


async def test_nobody_is_signed_in_by_the_form_of_another_site(pages: Pages) -> None:
    await pages.signed_up()
    visit = pages.browser()
    answer = await visit.post("/signin", data={"email": "ama@example.com", "password": PASSWORD})
    assert answer.status_code == 403
    assert SESSION not in visit.cookies


async def test_the_token_differs_on_every_page_and_works_each_time(pages: Pages) -> None:
    visit = await pages.signed_up()
    tokens = [token_of((await visit.get("/home")).text) for _ in range(3)]
    assert len(set(tokens)) == 3
    for token in tokens:
        answer = await visit.send_form("/theme", token, theme="dark", next="/home")
        assert (answer.status_code, answer.headers["location"]) == (303, "/home")
    assert 'data-theme="dark"' in (await visit.get("/home")).text
    assert (await visit.submit("/home", "/theme", theme="evil", next="//evil.example")).headers["location"] == "/"
    assert 'data-theme="dark"' in (await visit.get("/home")).text


async def test_get_changes_nothing_and_unknown_methods_are_refused(pages: Pages) -> None:
    visit = await pages.signed_up()
    assert (await visit.get("/signout")).status_code == 405
    assert (await visit.get("/home")).status_code == 200
    head = await visit.head("/home")
    assert (head.status_code, head.content) == (200, b"")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = await visit.request(method, "/home")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"


# Sessions -----------------------------------------------------------------------------------------------------------------


async def test_a_revoked_session_opens_nothing_and_nobody_revokes_anothers(pages: Pages) -> None:
    first, eve = await pages.signed_up(), await pages.signed_up("eve@example.com", "Eve")
    second = pages.browser()
    await sign_in(second)
    account = (await second.get("/account")).text
    (found,) = set(re.findall(r"/account/sessions/(\d+)/revoke", account))
    assert (await eve.submit("/account", f"/account/sessions/{found}/revoke")).status_code == 404
    assert (await first.get("/home")).status_code == 200
    assert (await second.submit("/account", f"/account/sessions/{found}/revoke")).status_code == 303
    assert (await first.get("/home")).status_code == 303
    # Its forms go to sign-in as well, with nothing done.
    assert (await first.send_form("/account/profile", "x", name="x")).headers["location"].startswith("/signin")
    assert (await second.get("/home")).status_code == 200


@pytest.mark.parametrize("cookie", ["", "x", "x" * 300, "\x7f", "a b", '"', "%00", "x" * 4000])
async def test_a_cookie_that_is_none_of_ours_is_nobody(pages: Pages, cookie: str) -> None:
    visit = pages.browser()
    answer = await visit.get(
        "/home",
        headers={
            "cookie": f"{SESSION}={cookie}; {SESSION}-visit={cookie}; {SESSION}-theme={cookie}; __Host-telvend-flash={cookie}"
        },
    )
    assert answer.status_code == 303
    page = await visit.get(
        "/signin",
        headers={
            "cookie": f"{SESSION}={cookie}; {SESSION}-visit={cookie}; __Host-telvend-theme={cookie}; __Host-telvend-flash={cookie}"
        },
    )
    assert page.status_code == 200


async def test_the_purchase_pin_and_the_password_ask_for_the_password(pages: Pages) -> None:
    visit = await pages.signed_up()
    wrong = await visit.submit("/account", "/account/pin", pin="1234", pin_password="not it at all")
    assert wrong.status_code == 422
    assert "f-pin_password-error" in wrong.text
    assert "not it at all" not in wrong.text
    letters = await visit.submit("/account", "/account/pin", pin="12a4", pin_password=PASSWORD)
    assert "f-pin-error" in letters.text
    assert (await visit.submit("/account", "/account/pin", pin="1234", pin_password=PASSWORD)).status_code == 303
    assert "Change the PIN" in (await visit.get("/account")).text
    assert (await visit.submit("/account", "/account/pin/remove", pin_password=PASSWORD)).status_code == 303
    old = await visit.submit("/account", "/account/password", current="wrong wrong", new_password="yet another one")
    assert "f-current-error" in old.text
    assert (
        await visit.submit("/account", "/account/password", current=PASSWORD, new_password="yet another one")
    ).status_code == 303
    assert (await visit.get("/home")).status_code == 200


# Home ---------------------------------------------------------------------------------------------------------------------


async def test_home_shows_what_came_in_and_what_was_spent_on_its_day(pages: Pages) -> None:
    visit = await pages.signed_up()
    shop = pages.shop
    reseller = await shop.services.resellers.find("ama@example.com")
    await shop.services.credits.add(reseller.id, Money(100_00, GHS), Mode.LIVE, "opening")
    home = (await visit.get("/home")).text
    assert "GH₵100.00" in home
    assert "Wallet funding via" in home
    wallet = next(
        w
        for w in await shop.services.wallets.of_reseller(reseller.id)
        if w.mode is Mode.LIVE and w.balance.currency == GHS
    )
    bounds = days_back(datetime.now(UTC), "Africa/Accra")
    overview = await shop.services.transactions.overview(wallet.wallet_id, GHS, bounds)
    # Money that was put in is not spent.
    assert (overview.balance, overview.held, overview.count) == (Money(100_00, GHS), Money(0, GHS), 1)
    assert overview.spent == [Money(0, GHS)] * 30


async def test_what_was_spent_stands_on_its_day_less_what_came_back(pages: Pages) -> None:
    """A history over four days: money in, sales, one that failed on the next day, and money in between."""
    reseller = await pages.shop.services.resellers.add("efua@example.com", "Efua", "0241234567")
    for number, amount in enumerate((100_00, 50_00)):
        await pages.shop.services.credits.add(reseller.id, Money(amount, GHS), Mode.LIVE, f"in-{number}")
    (wallet,) = [
        w
        for w in await pages.shop.services.wallets.of_reseller(reseller.id)
        if w.mode is Mode.LIVE and w.balance.currency == GHS
    ]
    now = datetime.now(UTC)
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    days = [noon - timedelta(days=3 - day) for day in range(4)]
    # (day, change of the balance): the credits above are the first and the fourth transfer.
    history = [(0, 100_00), (0, -30_00), (1, -20_00), (1, 50_00), (2, 20_00), (2, -5_00), (3, -1_00)]
    async with pages.shop.database.connection() as tx:
        await tx.execute("set session_replication_role = replica")
        rows = await tx.fetch(
            "select cause, kind, debit, credit from transfer where wallet_id = $1 order by wallet_sequence",
            wallet.wallet_id,
        )
        await tx.execute("delete from transfer where wallet_id = $1", wallet.wallet_id)
        house, balance, made = rows[0]["debit"], 0, iter(rows)
        for sequence, (day, change) in enumerate(history, 1):
            balance += change
            at = days[day] + timedelta(minutes=sequence)
            found = next(made) if change in (100_00, 50_00) else None
            cause, kind = (found["cause"], found["kind"]) if found else (900_000 + sequence, 1)
            debit, credit = (house, wallet.wallet_id) if change > 0 else (wallet.wallet_id, house)
            await tx.execute(
                "insert into transfer (cause, kind, debit, credit, amount_minor, wallet_id, wallet_sequence,"
                " wallet_balance_minor, created_at)"
                " values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                cause, kind, debit, credit, abs(change), wallet.wallet_id, sequence, balance, at,
            )  # fmt: skip
        for position, day in ((1, 0), (2, 1)):
            at = days[day]
            await tx.execute(
                "update wallet_transaction set created_at = $3 where wallet_id = $1 and position = $2",
                wallet.wallet_id,
                position,
                at,
            )
        await tx.execute("update wallet_credit set created_at = $2 where reference = $1", "in-0", days[0])
        await tx.execute("update wallet_credit set created_at = $2 where reference = $1", "in-1", days[1])
        await tx.execute(
            "update wallet set balance_minor = $2, sequence = $3 where account_id = $1",
            wallet.wallet_id,
            balance,
            len(history),
        )
        await tx.execute("set session_replication_role = origin")
    bounds = days_back(now, "UTC")
    overview = await pages.shop.services.transactions.overview(wallet.wallet_id, GHS, bounds)
    # The sale of day 1 came back on day 2, which had spent 5: nothing was spent on that day, and never less than nothing.
    assert [money.minor for money in overview.spent[-5:]] == [0, 30_00, 20_00, 0, 1_00]
    assert overview.balance.minor == balance


def test_the_last_days_begin_at_midnight_in_the_persons_zone() -> None:
    bounds = days_back(datetime(2026, 11, 28, 23, 30, tzinfo=UTC), "Africa/Lagos")
    assert len(bounds) == 31
    assert bounds[-1].isoformat() == "2026-11-30T00:00:00+01:00"
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(bounds))
    # An hour that is left out in spring: days are days all the same.
    assert len({bound.date() for bound in days_back(datetime(2026, 4, 10, tzinfo=UTC), "Europe/London")}) == 31


# Anything at all ----------------------------------------------------------------------------------------------------------


async def test_no_bytes_make_a_page_fail(pages: Pages) -> None:
    visit = await pages.signed_up()
    token = token_of((await visit.get("/account")).text)
    dice = random.Random(16)
    kinds = [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=XX",
        "text/plain",
        "",
        "multipart/form-data",
    ]
    paths = ["/signup", "/signin", "/signin/code", "/forgot", "/reset/x", "/verify/x", "/verify", "/invitation/x", "/theme", "/signout",
             "/account/profile", "/account/password", "/account/totp/confirm", "/account/totp/end", "/account/pin", "/account/pin/unlock",
             "/account/sessions/99999999999999999999/revoke", "/account/sessions/x/revoke", "/account/sessions/1/revoke"]  # fmt: skip
    names = [
        "name",
        "email",
        "phone",
        "password",
        "code",
        "pin",
        "pin_password",
        "current",
        "new_password",
        "zone",
        "theme",
        "next",
        "id",
    ]
    texts = [
        "",
        "\x00",
        "é\u202e",
        "a" * 5000,
        "../../x",
        "'; drop table person; --",
        "{{7*7}}",
        "-1",
        "1e999",
        "\ud7ff",
        "<b>",
        "a\nb",
        "%00",
    ]
    for path in paths:
        for kind in kinds:
            body = bytes(dice.randrange(256) for _ in range(dice.randrange(200)))
            answer = await visit.post(path, content=body, headers={"content-type": kind})
            assert answer.status_code < 500, (path, kind, body)
        if path == "/signout":
            continue
        for _ in range(4):
            fields = {name: dice.choice(texts) for name in names}
            answer = await visit.post(path, data=fields | {"csrf": token})
            assert answer.status_code < 500, (path, fields)
            assert "<b>" not in answer.text.replace("<b>1</b>", "")


@pytest.mark.parametrize(
    "path", ["/home/", "/Home", "/home%00", "/reset/%ff", "/reset/" + "x" * 900, "/account/sessions", "/%2e%2e/home"]
)
async def test_an_address_that_nothing_has_is_a_page_of_its_own(pages: Pages, path: str) -> None:
    answer = await pages.browser().get(path)
    assert answer.status_code == 404
    assert "<h1>There is nothing here</h1>" in answer.text


async def test_programs_are_answered_in_json_as_before(pages: Pages) -> None:
    visit = pages.browser(accept="application/json")
    assert set((await visit.get("/")).json()) == {"name", "apis", "collections", "health"}
    assert (await visit.get("/nothing")).json() == {"error": "There is nothing at this path."}
    assert (await visit.get("/")).headers["vary"] == "Accept"
    first = await pages.browser().get("/")
    assert (first.status_code, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Accept" in first.headers["vary"]
    assert "Data bundles of Ghana from a wallet in GHS." in first.text
    for words, path in (("Sign in", "/signin"), ("Sign up", "/signup"), ("API documentation", "/docs")):
        assert re.search(rf'<a [^>]*href="{path}"[^>]*>{words}', first.text), words
    for name in ("netpluse", "networkdatasub", "madapi"):
        for link in (f"/openapi/{name}.json", f"/postman/{name}.json"):
            assert f'href="{link}?download"' in first.text
            assert (await visit.get(link)).status_code == 200


async def test_over_plain_http_the_page_says_that_nobody_can_sign_in(pages: Pages) -> None:
    assert "Nobody can sign in here" in (await pages.browser("http://192.168.1.5:8000").get("/signin")).text
    for address in (ADDRESS, "http://localhost:8000", "http://127.0.0.1:8000"):
        assert "Nobody can sign in here" not in (await pages.browser(address).get("/signin")).text
    refused = await pages.browser("http://192.168.1.5:8000").post(
        "/signin", data={"email": "a@example.com", "password": PASSWORD}
    )
    assert refused.status_code == 403
    assert "plain http" in refused.text
