"""The payer's pages and the address of notices, over the real database and the sandbox."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from telvend.database.connections import Database
from telvend.funding.model import Funding, FundingState
from telvend.gateways.paystack import wire
from telvend.gateways.paystack.client import Paystack
from telvend.gateways.sandbox.client import Sandbox
from telvend.kit.secret import Secret
from telvend.web import checkout, notices
from telvend.web.shell import Assets, Templates
from tests.store.fundings import AMOUNT, BASE_URL, FundingShop, funding_shop, notice_about, paid


@dataclass
class Browser:
    """A payer's browser, and the shop behind it."""

    http: httpx.AsyncClient
    shop: FundingShop

    async def open(self, funding: Funding) -> httpx.Response:
        assert funding.payment_url is not None
        return await self.http.get(funding.payment_url)

    async def press(self, funding: Funding, decision: str, method: str | None = None) -> httpx.Response:
        assert funding.payment_url is not None
        return await self.http.post(
            funding.payment_url, data={"decision": decision} | ({"method": method} if method else {})
        )

    async def follow(self, response: httpx.Response) -> httpx.Response:
        assert response.status_code == 303
        return await self.http.get(response.headers["location"])


@pytest.fixture
async def browser(database: Database) -> AsyncIterator[Browser]:
    async with funding_shop(database, sandbox=True) as shop:
        app = checkout.checkout(shop.fundings, shop.sandbox, Templates(Assets()))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as http:
            yield Browser(http, shop)


class Reader(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


async def test_the_page_says_what_is_paid_in_three_ways_and_that_it_is_play(browser: Browser) -> None:
    page = await browser.open(await browser.shop.start())
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "NGN 5,000.00" in page.text
    assert "This is play" in page.text
    read = Reader(page.text)
    ways = [tag for tag in read.of("input") if tag["type"] == "radio"]
    assert [(way["value"], "checked" in way) for way in ways] == [
        ("card", True),
        ("bank_transfer", False),
        ("ussd", False),
    ]
    assert [button["value"] for button in read.of("button")] == ["pay", "decline", "abandon"]
    # Every choice has its label; it works on a phone; nothing comes from elsewhere, nothing runs or is framed.
    assert {label["for"] for label in read.of("label")} == {way["id"] for way in ways}
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in read.of("meta")
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in read.tags}
    loaded = [tag["href"] for tag in read.of("link")] + [tag["src"] for tag in read.of("img")]
    assert loaded
    assert all(re.fullmatch(r"/assets/[a-z]+\.[0-9a-f]{12}\.(css|svg)", path or "") for path in loaded)
    assert "http" not in re.sub(r"<!doctype html>", "", page.text)


async def test_no_page_is_kept_framed_or_given_away(browser: Browser) -> None:
    page = await browser.open(await browser.shop.start())
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "style-src 'self'" in policy
    assert "script-src" not in policy
    assert "<style" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize("method", ["card", "bank_transfer", "ussd", None])
async def test_paying_fills_the_wallet_and_goes_back_with_the_reference(browser: Browser, method: str | None) -> None:
    funding = await browser.shop.start(redirect_url="https://client.example/back?order=7&x=a+b#end")
    first = await browser.press(funding, "pay", method)
    assert first.headers["location"] == f"{BASE_URL}/pay/return/{funding.reference}?reference={funding.reference}"
    second = await browser.follow(first)
    assert second.status_code == 303
    assert second.headers["location"] == (
        f"https://client.example/back?order=7&x=a+b&reference={funding.reference}&status=completed#end"
    )
    done = await browser.shop.now(funding)
    assert (done.state, done.channel) == (FundingState.COMPLETED, method or "card")
    assert await browser.shop.balance() == AMOUNT.minor
    assert [notice["event"] for notice in (await browser.shop.fundings.history(funding.reference)).notices] == [
        "payment.paid"
    ]
    await browser.shop.check_books()


@pytest.mark.parametrize("decision", ["decline", "abandon"])
async def test_not_paying_fills_nothing_and_says_so(browser: Browser, decision: str) -> None:
    funding = await browser.shop.start(redirect_url="https://client.example/back")
    back = await browser.follow(await browser.press(funding, decision))
    assert back.headers["location"] == f"https://client.example/back?reference={funding.reference}&status=failed"
    assert (await browser.shop.now(funding)).state is FundingState.FAILED
    assert await browser.shop.balance() == 0


async def test_a_payment_is_decided_once(browser: Browser) -> None:
    funding = await browser.shop.start()
    await browser.press(funding, "decline")
    again = await browser.press(funding, "pay")
    assert again.status_code == 303
    await browser.follow(again)
    assert await browser.shop.balance() == 0
    page = await browser.open(funding)
    assert "The bank has declined this." in page.text
    assert not Reader(page.text).of("button")


async def test_of_many_decisions_at_once_one_counts(browser: Browser) -> None:
    funding = await browser.shop.start()
    answers = await asyncio.gather(
        *(browser.press(funding, decision) for decision in ("pay", "decline", "abandon") * 4)
    )
    assert {answer.status_code for answer in answers} == {303}
    await asyncio.gather(*(browser.follow(answer) for answer in answers))
    done = await browser.shop.now(funding)
    assert done.state in (FundingState.COMPLETED, FundingState.FAILED)
    assert await browser.shop.balance() == (AMOUNT.minor if done.state is FundingState.COMPLETED else 0)
    await browser.shop.check_books()


async def test_without_an_address_to_go_back_to_the_result_is_shown(browser: Browser) -> None:
    funding = await browser.shop.start()
    waiting = await browser.http.get(f"/pay/return/{funding.reference}")
    assert "Waiting for the payment" in waiting.text
    assert {"http-equiv": "refresh", "content": "5"} in Reader(waiting.text).of("meta")
    result = await browser.follow(await browser.press(funding, "pay"))
    assert "The wallet has the money." in result.text
    assert not [tag for tag in Reader(result.text).of("meta") if "http-equiv" in tag]


async def test_one_that_has_taken_too_long_cannot_be_paid_any_more(browser: Browser) -> None:
    funding = await browser.shop.start()
    await browser.shop.execute("update sandbox.payment set expires_at = now()")
    assert "The time to pay this is over." in (await browser.open(funding)).text
    assert "The time to pay this is over." in (await browser.press(funding, "pay")).text
    await browser.shop.pass_time(funding, timedelta(hours=1))
    await browser.shop.worker.work_off()
    assert await browser.shop.balance() == 0


async def test_what_the_client_wrote_is_text_on_the_page(browser: Browser) -> None:
    funding = await browser.shop.start(redirect_url="https://client.example/?a=<script>&quot;")
    back = await browser.follow(await browser.press(funding, "pay"))
    assert "<" not in back.headers["location"]
    await browser.shop.execute("update sandbox.payment set reference = '<b>\"&{amount}'")
    page = await browser.open(funding)
    assert "<b>" not in page.text
    assert "&lt;b&gt;&#34;&amp;{amount}" in page.text


@pytest.mark.parametrize(
    "path",
    ["/pay", "/pay/", "/pay/sandbox", "/pay/sandbox/", "/pay/sandbox/x", "/pay/return/FND-1-000000", "/pay/return/x"],
)
async def test_an_unknown_address_is_a_page_that_says_so(browser: Browser, path: str) -> None:
    page = await browser.http.get(path)
    assert page.status_code == 404
    assert "There is nothing here" in page.text


async def test_other_methods_are_refused(browser: Browser) -> None:
    funding = await browser.shop.start()
    assert funding.payment_url is not None
    refused = await browser.http.put(funding.payment_url)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST, HEAD")
    assert (await browser.http.head(funding.payment_url)).status_code == 200
    assert (await browser.http.post(f"/pay/return/{funding.reference}")).status_code == 405


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"decision=steal",
        b"decision=pay&method=barter",
        b"\xff\xfe",
        b'{"decision": "pay"}',
        b"decision=pay&a=" + b"a" * 9000,
    ],
)
async def test_a_form_that_cannot_be_read_decides_nothing(browser: Browser, body: bytes) -> None:
    funding = await browser.shop.start()
    assert funding.payment_url is not None
    answer = await browser.http.post(
        funding.payment_url, content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 422
    assert await browser.shop.value("select state from sandbox.payment") == "open"


async def test_the_address_cannot_be_guessed(browser: Browser) -> None:
    tokens = {((await browser.shop.start()).payment_url or "").rsplit("/", 1)[1] for _ in range(3)}
    assert len(tokens) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", token) for token in tokens)


async def test_a_live_payment_is_not_taken_any_more_when_something_real_is_connected(browser: Browser) -> None:
    """It was begun while the shop pretended, and the payer comes to the page after a restart."""
    sandbox = await Sandbox.open(browser.shop.database, live=False)
    assert not sandbox.traits.takes(test=False)
    late, paid_before = await browser.shop.start(), await browser.shop.start()
    assert browser.shop.sandbox is not None
    await browser.shop.execute(
        "update sandbox.payment set state = 'paid', decided_at = now() where reference = $1", paid_before.reference
    )
    browser.shop.sandbox._traits = sandbox.traits
    shown, pressed = await browser.http.get(late.payment_url or ""), await browser.press(late, "pay")
    assert (shown.status_code, pressed.status_code) == (200, 409)
    for page in (shown, pressed):
        assert "This shop takes no play money any more" in page.text
        assert "<form" not in page.text
    await browser.shop.worker.work_off()
    assert (await browser.shop.now(late)).state is FundingState.PENDING
    # One that was paid, and not credited before the restart, waits for a person.
    page = await browser.http.get(f"/pay/return/{paid_before.reference}")
    assert "Not credited" in page.text
    assert "http-equiv" not in page.text
    assert (await browser.shop.now(paid_before)).attention
    assert await browser.shop.balance() == 0


# Where gateways send their notices ------------------------------------------------------------------------------------------


async def test_a_notice_is_stored_answered_and_then_followed(database: Database) -> None:
    async with (
        funding_shop(database) as shop,
        httpx.AsyncClient(transport=httpx.ASGITransport(notices.notices(shop.fundings)), base_url=BASE_URL) as http,
    ):
        funding = await shop.start()
        shop.gateway.words[funding.reference] = paid(funding)
        headers, body = notice_about(funding.reference)
        answers = [await http.post("/gateways/told/notice", content=body, headers=headers) for _ in range(2)]
        assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"status": "stored"})] * 2
        assert shop.gateway.asked == []
        await shop.worker.work_off()
        assert await shop.balance() == AMOUNT.minor


async def test_a_notice_that_cannot_be_taken_is_refused(database: Database) -> None:
    async with (
        funding_shop(database) as shop,
        httpx.AsyncClient(transport=httpx.ASGITransport(notices.notices(shop.fundings)), base_url=BASE_URL) as http,
    ):
        headers, body = notice_about("FND-1-aaaaaa")
        assert (await http.post("/gateways/told/notice", content=body)).status_code == 401
        assert (await http.post("/gateways/nobody/notice", content=body, headers=headers)).status_code == 404
        assert (await http.post("/gateways/told", content=body, headers=headers)).status_code == 404
        assert (await http.get("/gateways/told/notice")).status_code == 405
        too_long = await http.post("/gateways/told/notice", content=b"x" * 300_000, headers=headers)
        assert too_long.status_code == 413
        assert await shop.value("select count(*) from gateway_notice") == 0
        await shop.database.close()
        away = await http.post("/gateways/told/notice", content=body, headers=headers)
        assert (away.status_code, away.headers["retry-after"]) == (503, "1")


async def test_money_in_a_dedicated_account_is_kept_answered_and_shown_and_fills_no_wallet_by_itself(
    database: Database,
) -> None:
    """Paystack sends it under a reference that we never gave, and says by an account number whose it is."""
    example = json.loads((Path(__file__).parents[1] / "wire/paystack/notice-dedicated-account.json").read_text())
    body, key = json.dumps(example["body"]).encode(), Secret("sk_live_example")
    signed = {wire.SIGNATURE_HEADER: wire.signature_of(key, body)}

    def nobody(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"Paystack was asked: {request.url}")

    paystack = Paystack("paystack", key, transport=httpx.MockTransport(nobody))
    async with (
        funding_shop(database, others=(paystack,)) as shop,
        httpx.AsyncClient(transport=httpx.ASGITransport(notices.notices(shop.fundings)), base_url=BASE_URL) as http,
    ):
        funding = await shop.start()

        async def send() -> httpx.Response:
            return await http.post("/gateways/paystack/notice", content=body, headers=signed)

        answers = await asyncio.gather(*(send() for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
        await shop.worker.work_off()
        assert (await shop.balance(), (await shop.now(funding)).notices) == (0, 0)
        (stray,) = await shop.fundings.stray_notices()
        assert (stray["times"], stray["event"]) == (5, "charge.success")
        assert stray["concern"]
        kept = json.loads(stray["kept"])
        assert (kept["channel"], kept["amount"], kept["receiver_account_number"]) == (
            "dedicated_nuban", 500000, "9930000737",
        )  # fmt: skip
        await shop.check_books()
