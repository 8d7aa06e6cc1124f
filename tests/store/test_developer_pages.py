"""The portal's pages for developers, as a browser without scripts sees them: keys, webhooks, documentation, status, test mode."""

import asyncio
import html
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telvend.catalog.pauses.model import BY_ITSELF
from telvend.catalog.pauses.store import insert_pause
from telvend.catalog.service import TOPIC as CATALOGUE
from telvend.catalog.store import networks_called
from telvend.database.connections import Database, increment_revision
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.kit.secret import Secret
from telvend.orders.records import OrderFilter
from tests.conftest import Server
from tests.store.browsing import Browser, Pages, pages_of
from tests.store.receivers import receiving, says

KEY = re.compile(r'role="status"[^>]*>([^<]+)<')


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def pages(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pages]:
    """One shop for all of these tests: each has resellers of its own."""
    async with server.database("developer_pages") as url:
        database = await Database.open(url)
        try:
            folder = tmp_path_factory.mktemp("shop")
            async with pages_of(database, url, folder, webhook_allow_private=True) as opened:
                yield opened
        finally:
            await database.close()


@pytest.fixture
async def ama(pages: Pages) -> Browser:
    return await pages.signed_in(f"ama{next(_numbers)}")


@pytest.fixture
async def kofi(pages: Pages) -> Browser:
    return await pages.signed_in(f"kofi{next(_numbers)}")


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found is not None, name
    return html.unescape(found[1])


async def make_key(browser: Browser, api: str = "netpluse", mode: str = "test", once: str = "wish") -> str:
    answer = await browser.post("/keys", {"api": api, "mode": mode, "once": once}, page="/keys")
    assert answer.status_code == 200
    found = KEY.search(answer.text)
    assert found is not None
    return found[1]


# Keys --------------------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_works(pages: Pages, ama: Browser) -> None:
    page = (await ama.get("/keys")).text
    sent = {"api": "madapi", "mode": "live", "read_limit": "70", "purchase_limit": "", "once": hidden(page, "once")}
    answer = await ama.post("/keys", sent, page="/keys")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in answer.headers
    (key,) = KEY.findall(answer.text)
    caller = await pages.shop.resellers.authenticate("madapi", key)
    assert (caller.mode, caller.read_limit, caller.purchase_limit) == (Mode.LIVE, 70, 30)
    secret = re.search(r'id="new-secret">([^<]+)<', answer.text)
    assert secret is not None
    await pages.shop.resellers.issue_token(caller, Secret(secret[1]))
    # Loaded again, sent again, listed: nowhere.
    again = await ama.post("/keys", sent, page="/keys")
    assert (again.status_code, again.headers["location"]) == (303, "/keys")
    listed = (await ama.get("/keys")).text
    assert key not in listed
    assert key[:12] in listed
    assert len(await pages.shop.resellers.own_keys(await pages.reseller_id(ama))) == 1


async def test_what_is_wrong_with_a_key_stands_beside_its_field(pages: Pages, ama: Browser) -> None:
    sent = {"api": "x", "mode": "x", "read_limit": "many", "purchase_limit": "301"}
    answer = await ama.post("/keys", sent, page="/keys")
    assert answer.status_code == 422
    for field in ("api", "mode", "read_limit"):
        assert f'id="f-{field}-error"' in answer.text, field
    assert 'value="many"' in answer.text
    answer = await ama.post("/keys", {"api": "netpluse", "mode": "live", "purchase_limit": "301"}, page="/keys")
    assert answer.status_code == 422
    assert 'id="f-purchase_limit-error"' in answer.text
    assert await pages.shop.resellers.own_keys(await pages.reseller_id(ama)) == []


async def test_a_key_is_revoked_on_a_page_of_its_own_and_at_once(pages: Pages, ama: Browser) -> None:
    key = await make_key(ama)
    api = pages.browser()
    assert (await api.client.get("/api/v1/ping", headers={"x-api-key": key})).status_code == 200
    await pages.shop.resellers.write_uses()
    (known,) = await pages.shop.resellers.own_keys(await pages.reseller_id(ama))
    assert known.used_at is not None
    asked = await ama.get(f"/keys/{known.id}/revoke")
    assert known.hint in asked.text
    assert (await api.client.get("/api/v1/ping", headers={"x-api-key": key})).status_code == 200
    answer = await ama.post(f"/keys/{known.id}/revoke", page=f"/keys/{known.id}/revoke")
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys")
    assert (await api.client.get("/api/v1/ping", headers={"x-api-key": key})).status_code == 401
    assert "Revoked keys (1)" in (await ama.get("/keys")).text
    # Again it changes nothing, and nobody did anything.
    assert (await ama.post(f"/keys/{known.id}/revoke")).status_code == 303
    acts = await pages.shop.people.acts(who=ama.email, what="key.")
    assert [(act.what, act.key) for act in acts] == [("key.revoked", known.hint), ("key.made", known.hint)]


async def test_limits_are_changed_within_bounds(pages: Pages, ama: Browser) -> None:
    await make_key(ama)
    (known,) = await pages.shop.resellers.own_keys(await pages.reseller_id(ama))
    path = f"/keys/{known.id}/limits"
    answer = await ama.post(path, {"read_limit": "601", "purchase_limit": "30"}, page=path)
    assert answer.status_code == 422
    assert 'id="f-read_limit-error"' in answer.text
    answer = await ama.post(path, {"read_limit": "600", "purchase_limit": "1"}, page=path)
    assert answer.status_code == 303
    (changed,) = await pages.shop.resellers.own_keys(await pages.reseller_id(ama))
    assert (changed.read_limit, changed.purchase_limit) == (600, 1)


async def test_nobody_reaches_what_is_somebody_elses(pages: Pages, ama: Browser, kofi: Browser) -> None:
    await make_key(ama)
    (key,) = await pages.shop.resellers.own_keys(await pages.reseller_id(ama))
    made = await pages.shop.webhooks.add(await pages.reseller_id(ama), "http://127.0.0.1:9/hooks")
    sent, _ = await pages.shop.webhooks.send_test(made.endpoint.id)
    wallets = await pages.shop.wallets.of_reseller(await pages.reseller_id(ama))
    number = made.endpoint.id
    for path in (
        f"/keys/{key.id}/revoke",
        f"/keys/{key.id}/limits",
        "/keys/nonsense/revoke",
        f"/webhooks/{number}/remove",
        f"/webhooks/{number}/rotate",
        f"/webhooks/deliveries/{sent.id}",
        "/webhooks/deliveries/nonsense",
        "/webhooks/99999999999999999999/remove",
    ):
        assert (await kofi.get(path)).status_code == 404, path
    for path in (
        f"/keys/{key.id}/revoke",
        f"/webhooks/{number}/pause",
        f"/webhooks/{number}/resume",
        f"/webhooks/{number}/remove",
        f"/webhooks/{number}/test",
        f"/webhooks/deliveries/{sent.id}/again",
        f"/webhooks/thresholds/{wallets[0].wallet_id}",
    ):
        assert (await kofi.post(path, {"threshold-GHS": "5"})).status_code == 404, path
    assert (await pages.shop.webhooks.endpoint(number, owner=await pages.reseller_id(ama))).state == "active"
    assert (await kofi.post("/docs/netpluse/try/ping", {"key": str(key.id)})).status_code == 422


@pytest.mark.parametrize(
    "path", ["/keys", "/webhooks", "/identity", "/test", "/docs/netpluse/try/ping", "/keys/x/revoke"]
)
async def test_pages_of_ones_own_want_a_session(pages: Pages, path: str) -> None:
    answer = await pages.browser().get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/signin?next=%2F")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/keys", {"api": "netpluse", "mode": "live"}),
        ("/webhooks", {"url": "https://reseller.example/hooks"}),
        ("/test/money", {"currency": "GHS", "amount": "5"}),
        ("/mode", {"mode": "test"}),
        ("/identity", {"check": "nin-standard", "number": "12345678901", "consent": "yes"}),
    ],
)
async def test_a_form_of_another_site_does_nothing(
    pages: Pages, ama: Browser, path: str, fields: dict[str, str]
) -> None:
    assert (await ama.post_as_is(path, fields)).status_code == 403
    assert (await ama.post_as_is(path, fields | {"csrf": "bm8="})).status_code == 403
    answer = await ama.post(path, fields, sec_fetch_site="cross-site")
    assert answer.status_code == 403
    mine = await pages.reseller_id(ama)
    assert await pages.shop.resellers.own_keys(mine) == []
    assert await pages.shop.webhooks.list_endpoints(mine) == []
    assert all(not wallet.balance.minor for wallet in await pages.shop.wallets.of_reseller(mine))


# Webhooks ----------------------------------------------------------------------------------------------------------------


async def test_an_endpoint_is_added_tested_paused_rotated_and_removed(pages: Pages, ama: Browser) -> None:
    async with receiving(says(200, b"thanks")) as receiver:
        added = await ama.post("/webhooks", {"url": receiver.url, "event": ["order.completed", "wallet.low"]})
        assert added.status_code == 200
        (secret,) = KEY.findall(added.text)
        assert secret.startswith("whsec_")
        shown = (await ama.get("/webhooks")).text
        assert secret not in shown
        assert "order.completed, wallet.low" in shown
        (listed,) = await pages.shop.webhooks.list_endpoints(await pages.reseller_id(ama))
        number = listed.endpoint.id
        tested = await ama.post(f"/webhooks/{number}/test")
        assert tested.status_code == 303
        (received,) = receiver.requests
        assert received.event["data"]["example"] is True
        assert received.event["data"]["mode"] == "test"
        delivery = (await ama.get(tested.headers["location"])).text
        assert "thanks" in delivery
        assert "answered 200" in delivery
    for path, state in (("pause", "paused"), ("resume", "active")):
        assert (await ama.post(f"/webhooks/{number}/{path}")).status_code == 303
        (listed,) = await pages.shop.webhooks.list_endpoints(await pages.reseller_id(ama))
        assert listed.endpoint.state == state
    page = (await ama.get(f"/webhooks/{number}/rotate")).text
    fields = {"as_of": hidden(page, "as_of")}
    rotated = await ama.post(f"/webhooks/{number}/rotate", fields)
    assert rotated.status_code == 200
    (second,) = KEY.findall(rotated.text)
    assert second != secret
    # The page that is sent again makes no third secret.
    assert (await ama.post(f"/webhooks/{number}/rotate", fields)).status_code == 303
    assert (await ama.post(f"/webhooks/{number}/remove")).status_code == 303
    assert await pages.shop.webhooks.list_endpoints(await pages.reseller_id(ama)) == []
    acts = await pages.shop.people.acts(who=ama.email, what="webhook.")
    assert [act.what.partition(".")[2] for act in acts] == ["removed", "rotated", "resumed", "paused", "added"]
    assert {act.after["host"] for act in acts if act.after} == {"127.0.0.1"}


async def test_a_private_address_is_an_error_of_the_field(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with pages_of(database, database_url, tmp_path) as pages:
        ama = await pages.signed_in("ama")
        for url in ("https://10.0.0.1/hooks", "https://localhost/hooks", "http://example.com/hooks", "", "x" * 3000):
            answer = await ama.post("/webhooks", {"url": url})
            assert answer.status_code == 422, url
            assert 'id="f-url-error"' in answer.text, url
            assert 'aria-describedby="f-url-hint f-url-error"' in answer.text, url
        assert await pages.shop.webhooks.list_endpoints(await pages.reseller_id(ama)) == []


async def test_what_an_endpoint_answers_is_shown_as_text(pages: Pages, ama: Browser) -> None:
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    async with receiving(says(500, script.encode())) as receiver:
        url = f"{receiver.url}?a=<b>'\"&amp;".replace(" ", "")
        await ama.post("/webhooks", {"url": url})
        (listed,) = await pages.shop.webhooks.list_endpoints(await pages.reseller_id(ama))
        tested = await ama.post(f"/webhooks/{listed.endpoint.id}/test")
    for path in (tested.headers["location"], "/webhooks"):
        shown = (await ama.get(path)).text
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown
        assert "<b>" not in shown
    shown = (await ama.get(tested.headers["location"])).text
    assert html.escape(script, quote=False) in shown.replace("&#34;", '"').replace("&#39;", "'")


async def test_deliveries_are_filtered_paged_and_sent_again(pages: Pages, ama: Browser) -> None:
    async with receiving(says(503)) as receiver:
        await ama.post("/webhooks", {"url": receiver.url})
        (listed,) = await pages.shop.webhooks.list_endpoints(await pages.reseller_id(ama))
        for _ in range(21):
            await pages.shop.webhooks.send_test(listed.endpoint.id)
        first = (await ama.get("/webhooks")).text
        assert first.count("Send again</button>") == 20
        older = html.unescape(re.findall(r'rel="next" href="([^"]+)"', first)[0])
        assert (await ama.get(older.partition("#")[0])).text.count("Send again</button>") == 1
        assert "Nothing like that" in (await ama.get("/webhooks?status=delivered")).text
        assert (await ama.get("/webhooks?status=failed&endpoint=999")).text.count("Send again</button>") == 20
        assert (await ama.get("/webhooks?before=nonsense")).status_code == 404
        count = len(receiver.requests)
        (newest, *_) = await pages.shop.webhooks.deliveries(await pages.reseller_id(ama))
        assert (await ama.post(f"/webhooks/deliveries/{newest.id}/again")).status_code == 303
        await receiver.wait_for(count + 1)


async def test_a_low_balance_is_told_when_its_owner_has_said_below_what(pages: Pages, ama: Browser) -> None:
    mine = await pages.reseller_id(ama)
    wallets = {
        str(one.balance.currency): one for one in await pages.shop.wallets.of_reseller(mine) if one.mode is Mode.LIVE
    }
    path = f"/webhooks/thresholds/{wallets['NGN'].wallet_id}"
    for text in ("much", "-5", "0", "1.234"):
        answer = await ama.post(path, {"threshold-NGN": text})
        assert answer.status_code == 422, text
        assert 'id="f-threshold-NGN-error"' in answer.text, text
    assert (await ama.post(path, {"threshold-NGN": "1,500.50"})).status_code == 303
    (threshold,) = await pages.shop.webhooks.thresholds(mine)
    assert (threshold.mode, threshold.threshold) == (Mode.LIVE, Money(150_050, NGN))
    assert 'value="1500.50"' in (await ama.get("/webhooks")).text
    assert (await ama.post(path, {"threshold-NGN": ""})).status_code == 303
    assert await pages.shop.webhooks.thresholds(mine) == []
    # A wallet of the other mode is none of this page.
    await ama.post("/mode", {"mode": "test"})
    assert (await ama.post(path, {"threshold-NGN": "5"})).status_code == 404


async def test_messages_by_hand_are_bounded(pages: Pages, ama: Browser, kofi: Browser) -> None:
    async def last(browser: Browser, path: str, fields: dict[str, str], times: int) -> int:
        for _ in range(times):
            answer = await browser.post_as_is(path, fields)
        return answer.status_code

    token = hidden((await ama.get("/test")).text, "csrf")
    fields = {"csrf": token, "currency": "GHS", "amount": "1", "once": "one wish"}
    assert await last(ama, "/test/money", fields, 30) == 303
    answer = await ama.post_as_is("/test/money", fields)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) <= 60
    # Nobody else waits for it.
    assert (await kofi.post("/test/money", {"currency": "GHS", "amount": "1"})).status_code == 303


# Documentation -----------------------------------------------------------------------------------------------------------


async def test_the_documentation_is_for_everybody_and_holds_this_servers_address(pages: Pages) -> None:
    browser = pages.browser()
    for path in ("/docs", "/docs/netpluse", "/docs/networkdatasub", "/docs/madapi"):
        shown = await browser.get(path, host="shop.example:8443")
        assert shown.status_code == 200
        for text in ("http://shop.example:8443/", "curl", "import requests", "curl_init", "YOUR-KEY"):
            assert text in html.unescape(shown.text), (path, text)
        assert len(shown.text) < 190_000, path
    assert (await browser.get("/docs/webhooks")).status_code == 200
    assert (await browser.get("/docs/nothing")).status_code == 404
    every = (await browser.get("/docs")).text
    for path in ("/api/v1/purchase", "/api/data/purchase", "/v2/customers/{customerId}/plans/refill"):
        assert path in every


async def test_the_setting_public_url_is_the_address_of_the_examples(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with pages_of(database, database_url, tmp_path, public_url="https://api.shop.example") as pages:
        shown = (await pages.browser().get("/docs/netpluse", host="elsewhere.example")).text
        assert "https://api.shop.example/api/v1/purchase" in shown
        assert "elsewhere.example" not in shown


async def test_examples_show_the_hint_of_ones_own_key_and_never_the_key(pages: Pages, ama: Browser) -> None:
    key = await make_key(ama, mode="live")
    shown = (await ama.get("/docs/netpluse")).text
    (known,) = await pages.shop.resellers.own_keys(await pages.reseller_id(ama))
    assert f"x-api-key: {known.hint}" in html.unescape(shown)
    assert key not in shown
    assert "YOUR-KEY" in (await ama.get("/docs/networkdatasub")).text


async def test_an_endpoint_is_tried_with_a_test_key_of_ones_own(pages: Pages, ama: Browser) -> None:
    path = "/docs/netpluse/try/purchase"
    assert "You have no test key" in (await ama.get(path)).text
    await make_key(ama, mode="live", once="live")
    assert "You have no test key" in (await ama.get(path)).text
    await make_key(ama)
    mine = await pages.reseller_id(ama)
    keys = {key.mode: key for key in await pages.shop.resellers.own_keys(mine)}
    await pages.shop.credits.add_play_money(mine, Money(10_000, GHS), "opening")
    page = (await ama.get(path)).text
    assert str(keys[Mode.TEST].id) in page
    assert str(keys[Mode.LIVE].id) not in page
    body = '{"network": "MTN", "phoneNumber": "0241230000", "capacity": "1GB", "reference": "try <1>"}'
    # Never a live purchase, whatever is sent.
    refused = await ama.post(path, {"key": str(keys[Mode.LIVE].id), "body": body}, page=path)
    assert refused.status_code == 422
    answer = await ama.post(path, {"key": str(keys[Mode.TEST].id), "body": body}, page=path)
    assert answer.status_code == 200
    assert "Answer: 200 OK" in answer.text
    assert html.escape('"status": "processing"').replace("&quot;", "&#34;") in answer.text
    assert "try <1>" not in answer.text
    orders = await pages.shop.order_records.list_orders(OrderFilter(reseller_id=mine))
    assert [(order.mode, order.client_reference) for order in orders] == [(Mode.TEST, "try <1>")]


async def test_every_endpoint_but_that_of_tokens_may_be_tried_as_it_is_printed(pages: Pages, ama: Browser) -> None:
    mine = await pages.reseller_id(ama)
    for api in ("netpluse", "networkdatasub", "madapi"):
        await make_key(ama, api, once=api)
    keys = {key.api: str(key.id) for key in await pages.shop.resellers.own_keys(mine)}
    for amount in (Money(10_000_000, NGN), Money(10_000, GHS)):
        await pages.shop.credits.add_play_money(mine, amount, "opening")
    tried: dict[str, str] = {}
    for api in keys:
        for path in re.findall(rf'href="(/docs/{api}/try/[a-z0-9_]+)"', (await ama.get(f"/docs/{api}")).text):
            page = (await ama.get(path)).text
            fields = dict(re.findall(r'name="((?:path|query|header)-[^"]+)"[^>]* value="([^"]*)"', page))
            body = re.search(r'name="body"[^>]*>\n?([^<]*)<', page)
            sent = {"key": keys[api], **{name: html.unescape(value) for name, value in fields.items()}}
            if body is not None:
                sent["body"] = html.unescape(body[1])
            answer = await ama.post(path, sent, page=path)
            status = re.search(r"Answer: (\d+)", answer.text)
            assert status is not None, path
            tried[path] = status[1]
    assert len(tried) == 41
    # There is no such subscriber, order, check or quote; everything else is as it is printed.
    refused = {path.removeprefix("/docs/"): status for path, status in tried.items() if not status.startswith("2")}
    assert refused.pop("madapi/try/premium") == "400"
    assert set(refused.values()) == {"404"}
    assert all(path.startswith("madapi/") or path.endswith(("_details", "_status", "/transaction")) for path in refused)
    assert (await ama.get("/docs/madapi/try/access_token")).status_code == 404


async def test_hostile_parameters_reach_the_api_as_they_are(pages: Pages, ama: Browser) -> None:
    await make_key(ama)
    (key,) = await pages.shop.resellers.own_keys(await pages.reseller_id(ama))
    path = "/docs/netpluse/try/order_status"
    for reference in ("../../../keys", "a/b", "a?b=c#d", "ä", "<script>", "%2e%2e"):
        answer = await ama.post(path, {"key": str(key.id), "path-reference": reference}, page=path)
        assert "Answer: 404" in answer.text, reference
        assert "<script>" not in answer.text
    path = "/docs/netpluse/try/purchase"
    for body in ("{", "[]", '"x"', "9" * 5000):
        answer = await ama.post(path, {"key": str(key.id), "body": body}, page=path)
        assert "Answer: 400" in answer.text, body


# Status ------------------------------------------------------------------------------------------------------------------


async def test_everybody_sees_whether_networks_sell_and_nobody_how_much(pages: Pages) -> None:
    browser = pages.browser()
    shown = (await browser.get("/status")).text
    assert shown.count("Selling") == 7
    assert "Every network sells." in shown
    await pages.shop.pauses.pause("Telecel", reason="Their <b>switch</b> is down", by_whom="Esi")
    await pages.shop.watch.look()
    try:
        shown = (await browser.get("/status")).text
    finally:
        await pages.shop.pauses.resume("Telecel", reason="mended", by_whom="Esi")
        await pages.shop.watch.look()
    assert shown.count("Selling") == 6
    assert "One network has trouble." in shown
    assert "Their &lt;b&gt;switch&lt;/b&gt; is down" in shown
    assert "Esi" not in shown
    part = await browser.get("/status", hx_request="true")
    assert part.text.lstrip().startswith('<div id="live"')


async def test_an_automatic_pause_does_not_name_the_provider(pages: Pages) -> None:
    why = "nothing delivered for 5 minutes: 9 attempts failed, the last one was refused at secret-upstream"
    async with pages.shop.database.transaction() as tx:
        network = (await networks_called(tx, "Telecel", "GH"))[0]
        await insert_pause(tx, network.id, automatic=True, reason=why, by_whom=BY_ITSELF, retry_s=300.0)
        await increment_revision(tx, CATALOGUE)
    await pages.shop.watch.look()
    try:
        shown = (await pages.browser().get("/status")).text
    finally:
        await pages.shop.pauses.resume("Telecel", reason="mended", by_whom="Esi")
        await pages.shop.watch.look()
    assert "Paused" in shown
    assert "Tried again" in shown
    assert "secret-upstream" not in shown


# Test mode ---------------------------------------------------------------------------------------------------------------


async def test_the_switch_changes_the_session_alone(ama: Browser, kofi: Browser) -> None:
    assert "Test mode: play money" not in (await ama.get("/keys")).text
    for back, expected in (("/keys", "/keys"), ("/keys/7/revoke", "/home"), ("//elsewhere.example", "/home")):
        await ama.post("/mode", {"mode": "live"})
        answer = await ama.post("/mode", {"mode": "test", "next": back})
        assert (answer.status_code, answer.headers["location"]) == (303, expected)
        assert "Test mode: play money" in (await ama.get("/keys")).text
    assert (await ama.post("/mode", {"mode": "nonsense"})).status_code == 303
    assert "Test mode: play money" in (await ama.get("/keys")).text
    assert "Test mode: play money" not in (await kofi.get("/keys")).text


async def test_play_money_goes_into_the_test_wallet_once(pages: Pages, ama: Browser) -> None:
    page = (await ama.get("/test")).text
    for code in ("0000", "0016", "0404", "0503"):
        assert f"<code>{code}</code>" in page
    fields = {"currency": "GHS", "amount": "1,000", "once": hidden(page, "once")}
    for _ in range(2):
        assert (await ama.post("/test/money", fields)).status_code == 303
    for amount in ("0", "-1", "x", "100,001", "1.001"):
        answer = await ama.post("/test/money", fields | {"amount": amount, "once": f"again {amount}"})
        assert answer.status_code == 422, amount
        assert 'id="f-amount-error"' in answer.text, amount
    assert (await ama.post("/test/money", fields | {"currency": "ZAR"})).status_code == 422
    balances = {
        (one.mode, str(one.balance.currency)): one.balance.minor
        for one in await pages.shop.wallets.of_reseller(await pages.reseller_id(ama))
    }
    assert balances == {
        (Mode.LIVE, "GHS"): 0, (Mode.LIVE, "NGN"): 0, (Mode.TEST, "GHS"): 100_000, (Mode.TEST, "NGN"): 0,
    }  # fmt: skip


async def test_a_sale_with_a_test_key_is_told_as_a_test_and_reaches_only_the_simulator(
    pages: Pages, ama: Browser
) -> None:
    mine = await pages.reseller_id(ama)
    key = await make_key(ama)
    await pages.shop.credits.add_play_money(mine, Money(10_000, GHS), "opening")
    async with receiving(says(204)) as receiver:
        await ama.post("/webhooks", {"url": receiver.url})
        body = {"network": "MTN", "phoneNumber": "0241230000", "capacity": "1GB", "reference": "one"}
        answer = await ama.client.post("/api/v1/purchase", json=body, headers={"x-api-key": key})
        assert answer.status_code == 200
        (received,) = await receiver.wait_for(1)
    assert received.event["type"] == "order.completed"
    assert received.event["data"]["mode"] == "test"
    async with pages.shop.database.connection() as tx:
        providers = await tx.fetch("select distinct provider from attempt")
    assert [row["provider"] for row in providers] == ["simulator"]
    balances = {
        one.mode: one.balance.minor for one in await pages.shop.wallets.of_reseller(mine) if one.balance.currency is GHS
    }
    assert balances[Mode.LIVE] == 0
    assert balances[Mode.TEST] < 10_000


# Identity ----------------------------------------------------------------------------------------------------------------


async def test_a_check_is_made_with_consent_shown_once_and_listed_masked(pages: Pages, ama: Browser) -> None:
    mine = await pages.reseller_id(ama)
    await ama.post("/mode", {"mode": "test"})
    await pages.shop.credits.add_play_money(mine, Money(100_000, NGN), "opening")
    page = (await ama.get("/identity")).text
    fields = {"check": "nin-standard", "number": "1234 567 8901", "once": hidden(page, "once")}
    refused = await ama.post("/identity", fields, page="/identity")
    assert refused.status_code == 422
    assert 'id="f-consent-error"' in refused.text
    shown = await ama.post("/identity", fields | {"consent": "yes"}, page="/identity")
    assert shown.status_code == 200
    assert "John" in shown.text
    assert "content-encoding" not in shown.headers
    # An answer that was lost on the way is shown by sending the form again, and costs nothing more.
    assert "John" in (await ama.post("/identity", fields | {"consent": "yes"}, page="/identity")).text
    later = (await ama.get("/identity")).text
    assert "John" not in later
    assert "12345678901" not in later
    assert "123*****901" in later
    balance = next(
        one.balance.minor
        for one in await pages.shop.wallets.of_reseller(mine)
        if (one.mode, one.balance.currency) == (Mode.TEST, NGN)
    )
    assert balance == 90_000
    ((verification, _),) = await pages.shop.identity.own_listed("x", mine, Mode.TEST)
    consent = await pages.shop.identity.consent(verification)
    assert consent is not None
    assert consent[1].startswith("The person whose number this is has agreed")


@pytest.mark.parametrize(
    ("number", "words"),
    [("71234560404", "no such number on record"), ("71234560503", "There was no answer"), ("7123", None), ("", None)],
)
async def test_what_is_not_found_costs_nothing(pages: Pages, ama: Browser, number: str, words: str | None) -> None:
    mine = await pages.reseller_id(ama)
    await ama.post("/mode", {"mode": "test"})
    await pages.shop.credits.add_play_money(mine, Money(100_000, NGN), "opening")
    fields = {"check": "bvn-standard", "number": number, "consent": "yes", "once": "a form"}
    answer = await ama.post("/identity", fields, page="/identity")
    if words is None:
        assert answer.status_code == 422
        assert 'id="f-number-error"' in answer.text
    else:
        assert words in answer.text
    assert sum(one.balance.minor for one in await pages.shop.wallets.of_reseller(mine)) == 100_000


async def test_without_money_the_check_says_what_it_costs(ama: Browser) -> None:
    await ama.post("/mode", {"mode": "test"})
    fields = {"check": "bvn-premium", "number": "12345678901", "consent": "yes"}
    answer = await ama.post("/identity", fields, page="/identity")
    assert answer.status_code == 422
    assert "₦500.00" in answer.text


async def test_made_up_people_are_not_sold_for_money(pages: Pages, ama: Browser) -> None:
    mine = await pages.reseller_id(ama)
    await pages.shop.credits.add(mine, Money(100_000, NGN), Mode.LIVE, "opening")
    fields = {"check": "nin-standard", "number": "12345678901", "consent": "yes"}
    answer = await ama.post("/identity", fields, page="/identity")
    assert answer.status_code == 422
    assert "John" not in answer.text
    assert sum(one.balance.minor for one in await pages.shop.wallets.of_reseller(mine)) == 100_000


async def test_a_form_that_is_sent_twice_at_once_is_one_check(pages: Pages, ama: Browser) -> None:
    mine = await pages.reseller_id(ama)
    await ama.post("/mode", {"mode": "test"})
    await pages.shop.credits.add_play_money(mine, Money(100_000, NGN), "opening")
    fields = {"check": "nin-standard", "number": "12345678901", "consent": "yes", "once": "a form"}
    answers = await asyncio.gather(*(ama.post("/identity", fields, page="/identity") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await pages.shop.identity.own_listed("x", mine, Mode.TEST)) == 1
