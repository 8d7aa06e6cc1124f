"""The pages of what was sold: the table and its export, a transaction's story, receipts and their links, lists in bulk."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from telvend.bootstrap import Shop
from telvend.corrections.model import REFUND_PREFIX
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.wallets.model import TransactionStatus
from telvend.wallets.service import Transactions
from tests.conftest import Server
from tests.store.buyers import BASE, GB, Browser, Page, Stage, served


@pytest.fixture(scope="module")
async def running(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Shop, Any]]:
    """One shop for this file, which delivers."""
    async with (
        server.database("sold_pages") as url,
        served(url, tmp_path_factory.mktemp("shop"), fulfilment=True) as made,
    ):
        yield made


@pytest.fixture
async def shop(running: tuple[Shop, Any]) -> Stage:
    """Ama is new every time, is signed in and has 100.00."""
    made = Stage(*running)
    await made.enter("100")
    return made


async def delivered(shop: Stage, phone: str = "0241234567", **query: str) -> str:
    """Something that was bought and has arrived."""
    reference = await shop.buy(phone, **query)
    order = await shop.shop.order_records.named(reference)
    assert (await shop.shop.orders.settled(order, 20)).state == "delivered"
    return reference


def rows(page: Page) -> list[str]:
    """The links of a table, as they are read."""
    return re.findall(r'<td role="cell"><a href="[^"]*">([^<]*)</a>', page.source)


# The table --------------------------------------------------------------------------------------------------------------


async def test_every_kind_stands_in_one_table_and_filters_narrow_it(shop: Stage) -> None:
    await delivered(shop)
    await delivered(shop, "0241234568", kind="airtime", amount="2")
    everything = await shop.ama.get("/transactions")
    assert rows(everything) == ["MTN airtime", "MTN 1GB", "Wallet funding via Bank Transfer"]
    for query, found in (
        ({"type": "data"}, ["MTN 1GB"]),
        ({"type": "airtime"}, ["MTN airtime"]),
        ({"type": "credit"}, ["Wallet funding via Bank Transfer"]),
        ({"type": "topup"}, []),
        ({"type": "refund"}, []),
        ({"status": "completed"}, ["MTN airtime", "MTN 1GB", "Wallet funding via Bank Transfer"]),
        ({"status": "failed"}, []),
        ({"search": "024 123 4568"}, ["MTN airtime"]),
        ({"search": "+233241234567", "type": "airtime"}, []),
        ({"search": "0241239999"}, []),
        ({"from": "2020-01-01", "to": "2020-12-31"}, []),
        ({"from": "2020-01-01", "to": "2199-12-31", "type": "data"}, ["MTN 1GB"]),
        ({"search": "nothing of this name"}, []),
    ):
        assert rows(await shop.ama.get("/transactions", **query)) == found, query


async def test_a_reference_finds_its_transaction_whoever_named_it(shop: Stage) -> None:
    reference = await shop.buy()
    order = await shop.shop.order_records.named(reference)
    assert rows(await shop.ama.get("/transactions", search=reference)) == ["MTN 1GB"]
    assert rows(await shop.ama.get("/transactions", search=order.client_reference or "")) == ["MTN 1GB"]
    assert rows(await shop.ama.get("/transactions", search=reference, type="topup")) == ["MTN 1GB"]
    kofi = await shop.somebody_else()
    assert rows(await kofi.ama.get("/transactions", search=reference)) == []


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"}, {"to": "2026-13-45"}, {"from": "0001-01-01"}, {"to": "9999-12-31"}, {"type": "x"}, {"status": "<b>"},
    ],
)  # fmt: skip
async def test_a_wrong_filter_is_said_and_kept(shop: Stage, query: dict[str, str]) -> None:
    answer = await shop.ama.get("/transactions", **query)
    assert answer.status == 422
    assert f'id="f-{next(iter(query))}-error"' in answer.source
    assert "<b>" not in answer.source.split("</header>")[1]


async def test_pages_go_back_by_their_keys_and_nothing_is_seen_twice(shop: Stage) -> None:
    for number in range(28):
        await shop.buy(f"02412340{number:02}", kind="airtime", amount="1")
    first = await shop.ama.get("/transactions")
    assert len(rows(first)) == 25
    (older,) = re.findall(r'href="(/transactions\?[^"]*older=[^"]*)"', first.source)
    second = await shop.ama.get(older.replace("&amp;", "&"))
    assert rows(second) == ["MTN airtime"] * 3 + ["Wallet funding via Bank Transfer"]
    links = re.findall(r'href="(/transactions/[^"]+)"', first.source) + re.findall(
        r'href="(/transactions/[^"]+)"', second.source
    )
    assert len(set(links)) == len(links) == 29
    # A key of somebody else's wallet opens nothing of theirs.
    kofi = await shop.somebody_else()
    assert rows(await kofi.ama.get(older.replace("&amp;", "&"))) == []
    for odd in ("x", "1.2.3", "1", "9" * 40, "1.1-" * 20):
        assert (await shop.ama.get("/transactions", older=odd)).status == 200


async def test_the_export_has_what_the_filter_shows_and_no_formula(shop: Stage) -> None:
    await delivered(shop)
    for name in ("=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", '-2+3"; x'):
        await shop.execute(
            "update wallet_credit set reference = $1 || id where id = (select max(id) from wallet_credit)", name
        )
        await shop.credit("1")
    response = await shop.ama.client.get("/transactions.csv", params={"from": "2020-01-01"})
    assert response.headers["content-type"].startswith("text/csv")
    assert "attachment" in response.headers["content-disposition"]
    found = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [row["type"] for row in found] == ["Credit"] * 4 + ["Purchase", "Credit"]
    for row in found:
        for name, cell in row.items():
            assert not cell.startswith(("=", "@", "\t")), (name, cell)
            assert not cell.startswith(("+", "-")) or re.fullmatch(r"\+233\d+|-\d+\.\d\d", cell), (name, cell)
    sale = found[4]
    assert (sale["amount"], sale["currency"], sale["number"], sale["balance_after"]) == (
        "-4.50", "GHS", "+233241234567", "95.50",
    )  # fmt: skip
    only = await shop.ama.client.get("/transactions.csv", params={"type": "data"})
    assert len(only.text.splitlines()) == 2
    assert (await shop.ama.client.get("/transactions.csv", params={"from": "x"})).status_code == 303


async def test_a_credit_with_any_name_has_its_page_and_no_name_is_a_script(shop: Stage) -> None:
    for name in ("a/b c", "<script>alert(1)</script>", "50%", "é?x=1#y", "../../etc", "credit.csv"):
        reference = f"{name}{shop.email}"
        reseller = await shop.shop.resellers.find(shop.email)
        await Credits(shop.shop.database, shop.shop.ledger).add(reseller.id, Money(100, GHS), Mode.LIVE, reference)
        table = await shop.ama.get("/transactions")
        link = re.findall(r'<td role="cell"><a href="([^"]*)"', table.source)[0].replace("&amp;", "&")
        page = await shop.ama.get(link)
        assert page.status == 200, name
        assert reference in page.text
        assert "<script>alert" not in page.source


# One of them ------------------------------------------------------------------------------------------------------------------


async def test_a_sale_that_is_settled_while_its_page_is_made_is_not_called_pending(
    shop: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = await delivered(shop)
    plain = Transactions.find_among

    async def earlier(self: Transactions, *arguments: Any) -> Any:
        found = await plain(self, *arguments)
        return found and replace(found, status=TransactionStatus.PENDING)

    monkeypatch.setattr(Transactions, "find_among", earlier)
    assert "Status Completed" in (await shop.ama.get(f"/transactions/{reference}")).text


async def test_a_sale_changes_by_itself_and_tells_its_story(shop: Stage) -> None:
    reference = await delivered(shop)
    sale = await shop.ama.get(f"/transactions/{reference}")
    for said in (
        "Delivered. Your customer has it.", "Status Completed", "Amount GH₵4.50", "Number 024 123 4567",
        f"Reference {reference}", "Sent to MTN", "Receipt", "Buy again",
    ):  # fmt: skip
        assert said in sale.text
    assert "refresh" not in sale.source.split("</head>")[0]
    assert "own_network" not in sale.source
    fragment = Page(await shop.ama.client.get(f"/transactions/{reference}", headers={"hx-request": "true"}))
    assert fragment.source.startswith('<div id="live"')
    assert "<html" not in fragment.source
    # The caller's own reference leads to the page too.
    order = await shop.shop.order_records.named(reference)
    assert (await shop.ama.get(f"/transactions/{order.client_reference}")).place == f"/transactions/{reference}"


async def test_money_is_held_while_nobody_knows_and_is_back_when_it_was_refused(shop: Stage) -> None:
    await shop.execute(
        "update person_session set mode = 'test' where person_id = (select id from person where email = $1)", shop.email
    )
    await shop.credit("5", mode=Mode.TEST)
    reference = await shop.buy("0241230003")  # The simulator accepts it, and refuses three seconds later.
    assert await shop.balance(Mode.TEST) == "0.50"
    first = await shop.ama.get(f"/transactions/{reference}")
    assert "Charged, not delivered yet. Do not refund your customer" in first.text
    assert await shop.balance(Mode.TEST) == "0.50"
    order = await shop.shop.orders.settled(await shop.shop.order_records.named(reference), 20)
    assert order.state == "failed"
    assert await shop.balance(Mode.TEST) == "5.00"
    failed = await shop.ama.get(f"/transactions/{reference}")
    for said in ("Not delivered. GH₵4.50 is back in your wallet", "Refused by the network", "Given back to the wallet"):
        assert said in failed.text
    assert "Receipt" not in failed.text
    assert "Do not refund" not in failed.text
    assert rows(await shop.ama.get("/transactions", status="failed")) == ["MTN 1GB"]
    # What failed is bought again by another reference, and is another sale.
    again = await shop.buy("0241230000")
    assert again != reference
    assert await shop.balance(Mode.TEST) == "0.50"


async def test_a_refund_stands_in_the_story_and_leads_back_to_its_order(shop: Stage) -> None:
    reference = await delivered(shop)
    order = await shop.shop.order_records.named(reference)
    await shop.shop.corrections.refund(order.id, reason="SECRET reason", by_whom="kofi")
    sale = await shop.ama.get(f"/transactions/{reference}")
    assert "The shop has given GH₵4.50 back to your wallet" in sale.text
    assert "SECRET" not in sale.source
    table = await shop.ama.get("/transactions", type="refund")
    link = re.findall(r'<td role="cell"><a href="([^"]*)"', table.source)[0]
    assert f"/transactions/{REFUND_PREFIX}-" in link
    refund = await shop.ama.get(link)
    assert f'href="/transactions/{reference}"' in refund.source
    assert await shop.balance() == "100.00"


@pytest.mark.parametrize("path", ["/transactions/{}", "/receipt/{}", "/receipt/{}/picture.png"])
async def test_what_is_somebody_elses_is_not_there(shop: Stage, path: str) -> None:
    reference = await delivered(shop)
    kofi = await shop.somebody_else()
    assert (await shop.ama.get(path.format(reference))).status == 200
    for other in (reference, reference[:-1] + "x", "WEB-1", "x" * 500, "%00", "..%2f..", "WEB-999999999-abcdef"):
        assert (await kofi.ama.get(path.format(other))).status == 404, other
    for act in ("link", "revoke", "price"):
        assert (await kofi.ama.post(f"/receipt/{reference}/{act}")).status == 404


# Receipts ----------------------------------------------------------------------------------------------------------------------


async def test_a_receipt_says_what_was_delivered_and_not_what_it_has_cost(shop: Stage) -> None:
    reference = await delivered(shop)
    page = await shop.ama.get(f"/receipt/{reference}")
    receipt = page.source.split('class="card receipt"')[1].split("</main>")[0]
    for said in ("Ama&#39;s &lt;b&gt;Shop&lt;/b&gt;", "MTN 1GB", "024 123 4567", "30 days", reference):
        assert said in receipt
    assert "4.50" not in receipt
    airtime = await delivered(shop, kind="airtime", amount="3")
    assert "GH₵3.00" in (await shop.ama.get(f"/receipt/{airtime}")).text


async def test_the_customers_own_price_stands_on_every_form_of_the_receipt(shop: Stage) -> None:
    reference = await delivered(shop, customer_price="5.50")
    page = await shop.ama.get(f"/receipt/{reference}")
    assert "Price GH₵5.50" in page.text
    assert "4.50" not in page.source.split('class="card receipt"')[1].split("</main>")[0]
    first = (await shop.ama.client.get(f"/receipt/{reference}/picture.png")).content
    for wrong in ("many", "-1", "0", "1.234", "9" * 30):
        refused = await shop.ama.post(f"/receipt/{reference}/price", {"customer_price": wrong})
        assert refused.status == 422, wrong
        assert 'id="f-customer_price-error"' in refused.source, wrong
        assert f'value="{wrong}"' in refused.source
    assert (await shop.ama.post(f"/receipt/{reference}/price", {"customer_price": "1,006"})).status == 303
    link = (await shop.ama.post(f"/receipt/{reference}/link")).source
    token = re.search(r"/r/([A-Za-z0-9]{32})", link)
    assert token is not None
    shared = await Browser(shop.app).get(f"/r/{token[1]}")
    assert "Price GH₵1,006.00" in shared.text
    assert "4.50" not in shared.source
    assert (await shop.ama.client.get(f"/receipt/{reference}/picture.png")).content != first
    await shop.ama.get(f"/receipt/{reference}")
    assert (await shop.ama.post(f"/receipt/{reference}/price", {"customer_price": ""})).status == 303
    assert "Price" not in (await Browser(shop.app).get(f"/r/{token[1]}")).text


async def test_there_is_no_receipt_of_what_is_not_delivered_yet(shop: Stage) -> None:
    await shop.execute(
        "update person_session set mode = 'test' where person_id = (select id from person where email = $1)", shop.email
    )
    await shop.credit("5", mode=Mode.TEST)
    reference = await shop.buy("0241230002")  # The simulator accepts it, and delivers three seconds later.
    assert "Do not refund your customer" in (await shop.ama.get(f"/transactions/{reference}")).text
    for path in (f"/receipt/{reference}", f"/receipt/{reference}/picture.png"):
        assert (await shop.ama.get(path)).status == 404
    refused = await shop.ama.post(f"/receipt/{reference}/link")
    assert refused.status == 404


async def test_a_picture_is_drawn_with_both_signs_and_kept(shop: Stage) -> None:
    reference = await delivered(shop, kind="airtime", amount="3")
    first = await shop.ama.client.get(f"/receipt/{reference}/picture.png")
    assert first.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(first.content)) as picture:
        assert picture.size[0] == 720
    assert len(first.content) < 40_000
    assert (await shop.ama.client.get(f"/receipt/{reference}/picture.png")).content == first.content


async def test_a_link_shows_the_receipt_and_nothing_else_until_it_is_revoked(shop: Stage) -> None:
    reference = await delivered(shop)
    await shop.ama.get(f"/receipt/{reference}")
    made = await shop.ama.post(f"/receipt/{reference}/link")
    found = re.search(rf"{re.escape(BASE)}(/r/[A-Za-z0-9]{{32}})", made.source)
    assert found is not None
    link = found[1]
    stranger = Browser(shop.app)
    shown = await stranger.get(link)
    assert shown.status == 200
    assert "024 123 4567" in shown.text
    assert shown.response.headers["referrer-policy"] == "no-referrer"
    assert "4.50" not in shown.text
    assert "/transactions" not in shown.source
    assert (await stranger.client.get(f"{link}/picture.png")).headers["content-type"] == "image/png"
    for other in ("/r/", f"{link[:-1]}", f"{link[:-1]}!", f"{link}x", "/r/" + "é" * 32, "/r/" + "a" * 32):
        assert (await stranger.get(other)).status == 404, other
    # The database does not know it, and a later page does not repeat it.
    token = link.rpartition("/")[2]
    assert not await shop.value(
        "select count(*) from receipt_link where position($1::bytea in digest) > 0", token.encode()
    )
    assert token not in (await shop.ama.get(f"/receipt/{reference}")).source
    revoked = await shop.ama.post(f"/receipt/{reference}/revoke")
    assert revoked.status == 303
    assert (await stranger.get(link)).status == 404


async def test_a_link_ends_and_there_are_not_many(shop: Stage) -> None:
    reference = await delivered(shop)
    await shop.ama.get(f"/receipt/{reference}")
    answers = await asyncio.gather(*(shop.ama.post(f"/receipt/{reference}/link") for _ in range(22)))
    assert sorted(answer.status for answer in answers) == [200] * 20 + [422] * 2
    found = re.search(r"/r/([A-Za-z0-9]{32})", next(a.source for a in answers if a.status == 200))
    assert found is not None
    await shop.execute("update receipt_link set expires_at = now() - interval '1 second'")
    assert (await Browser(shop.app).get(f"/r/{found[1]}")).status == 404


# Lists in bulk ---------------------------------------------------------------------------------------------------------------------


async def upload(shop: Stage, text: str | bytes, name: str = "staff.csv", **fields: str) -> Page:
    await shop.ama.get("/bulk")
    content = text if isinstance(text, bytes) else text.encode()
    return await shop.ama.post("/bulk", fields, files={"csv": (name, content, "text/csv")})


async def until(shop: Stage, path: str, said: str) -> Page:
    for _ in range(200):
        page = await shop.ama.get(path)
        if said in page.text:
            return page
        await asyncio.sleep(0.05)
    raise AssertionError(page.text)


async def test_a_list_is_checked_bought_followed_and_its_result_taken(shop: Stage) -> None:
    checked = await upload(shop, f"product,to,amount,note\n{GB},0241234567,,=Ama\nGH-MTN-AIRTIME,0241234568,5,Kofi\n")
    assert checked.status == 303
    page = await shop.ama.get(checked.place)
    assert "Every line is right. Nothing is bought yet." in page.text
    assert "2 lines to buy GH₵9.50" in page.text
    assert await shop.orders() == 0
    fields = page.fields(checked.place)
    assert fields["act"] == "buy"
    # Twice clicked is once bought.
    clicks = await asyncio.gather(*(shop.ama.post(checked.place, fields) for _ in range(3)))
    assert {click.status for click in clicks} == {303}
    done = await until(shop, checked.place, "Delivered 2")
    assert "Bought 2" in done.text
    assert "Left 0" in done.text
    assert (await shop.orders(), await shop.balance()) == (2, "90.50")
    response = await shop.ama.client.get(f"{checked.place}/result.csv")
    found = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [(row["line"], row["to"], row["state"], row["price"]) for row in found] == [
        ("2", "+233241234567", "delivered", "4.50"), ("3", "+233241234568", "delivered", "5.00"),
    ]  # fmt: skip
    assert found[0]["note"] == "'=Ama"
    assert found[0]["order"].startswith("WEB-")
    assert "staff.csv" in (await shop.ama.get("/bulk")).text


async def test_mistakes_stand_line_by_line_and_nothing_is_bought(shop: Stage) -> None:
    answer = await upload(shop, f"product,to\n{GB},241234567\n<script>alert(1)</script>,0241234568\n")
    assert answer.status == 422
    for said in ("2 mistakes", "has lost its leading 0", "there is no product of this code"):
        assert said in answer.text
    assert 'aria-describedby="f-csv-hint f-csv-error"' in answer.source
    assert "<script>alert" not in answer.source
    twice = f"product,to\n{GB},0241234567\n{GB},0241234567\n"
    assert "asks for the same as line 2" in (await upload(shop, twice)).text
    assert (await upload(shop, twice, repeats="yes")).status == 303


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Choose a CSV file"), (b"\x00\x01\x02,\xff", "is not text"), (b"PK\x03\x04....", "workbook"),
        (b"product,to\n\"unclosed,1\n", "is not CSV"), (b"a,b\n1,2\n", "this column is missing"), (b"product,to\n", "nothing below"),
        (b"product,to,email\nGH-MTN-1GB-30D,0241234567,kofi@example.com\n", "your own wallet pays"),
    ],
)  # fmt: skip
async def test_a_file_that_is_no_list_is_refused_with_a_sentence(shop: Stage, content: bytes, said: str) -> None:
    answer = await upload(shop, content, "" if not content else "x.csv")
    assert answer.status == 422
    assert said in answer.text


async def test_a_file_that_is_too_large_is_not_read_to_its_end(shop: Stage) -> None:
    assert (await upload(shop, b"product,to\n" + b"x" * (2 * 1024 * 1024))).status == 413


async def test_a_file_may_be_called_anything(shop: Stage) -> None:
    answer = await upload(shop, f"product,to\n{GB},0241234567\n", '../../<img src=x onerror="alert(1)">.csv')
    assert answer.status == 303
    page = await shop.ama.get(answer.place)
    assert "<img src=x" not in page.source


async def test_a_list_of_somebody_else_is_not_there(shop: Stage) -> None:
    mine = (await upload(shop, f"product,to\n{GB},0241234567\n")).place
    kofi = await shop.somebody_else("50")
    assert (await kofi.ama.get(mine)).status == 404
    assert (await kofi.ama.get(f"{mine}/result.csv")).status == 404
    for act in ("buy", "stop", "discard"):
        assert (await kofi.ama.post(mine, {"act": act})).status == 404
    assert "staff.csv" not in (await kofi.ama.get("/bulk")).text
    assert (await shop.ama.post(mine, {"act": "discard"})).place == "/bulk"
    assert (await shop.ama.get(mine)).status == 404
    assert await kofi.balance() == "50.00"


async def test_a_list_stops_when_the_wallet_is_empty_and_goes_on_when_it_is_filled(shop: Stage) -> None:
    lines = "".join(f"GH-MTN-AIRTIME,02412345{number:02},30\n" for number in range(5))
    place = (await upload(shop, f"product,to,amount\n{lines}")).place
    page = await shop.ama.get(place)
    assert "GH₵50.00 is missing, and the list stops when it is empty" in page.text
    await shop.ama.post(place, page.fields(place))
    stopped = await until(shop, place, "The wallet could not pay for line 5")
    assert "Left 2" in stopped.text
    assert await shop.balance() == "10.00"
    await shop.credit("50")
    again = await shop.ama.get(place)
    assert "Go on buying" in again.text
    await shop.ama.post(place, again.fields(place))
    await until(shop, place, "Bought 5")
    assert (await shop.orders(), await shop.balance()) == (5, "0.00")


async def test_the_example_file_and_the_codes_are_what_the_check_takes(shop: Stage) -> None:
    example = await shop.ama.client.get("/bulk/example.csv")
    assert (await upload(shop, example.content)).status == 303
    codes = await shop.ama.get("/bulk/codes")
    assert GB in codes.text
    assert "NG-MTN-AIRTIME" in codes.text
