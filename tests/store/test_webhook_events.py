"""Events of acts that no story has: refunds, refills, play money taken out; and events and money in one transaction."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.fulfilment.model import FulfilmentPolicy, PersonVerdict
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.funding.play_money.voiding import PlayMoney
from telvend.kit.failpoints import FailpointError
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.ledger.service import Ledger
from telvend.operator.vouchers.model import PinRefused
from telvend.orders.placement import OrderPlacement
from telvend.webhooks import store
from tests.store.fundings import AMOUNT, funding_shop
from tests.store.purchases import KINDS, Customer, customer
from tests.store.refills import HUNDRED, network
from tests.store.test_play_money import fund
from tests.store.test_webhooks import URL, webhooks
from tests.webhook_bodies import require_as_told


async def listens(database: Database, folder: Path, reseller_id: UUID) -> None:
    await webhooks(database, folder).add(reseller_id, URL)


async def told(database: Database) -> list[dict[str, Any]]:
    """The bodies, in their order; each is as the reference and the OpenAPI documents say."""
    async with database.connection() as tx:
        bodies = [json.loads(row[0]) for row in await tx.fetch("select body from webhook_event order by id")]
    for body in bodies:
        require_as_told(body)
    return bodies


async def alert(database: Database, folder: Path, wallet_id: int, below: Money) -> None:
    await webhooks(database, folder).set_threshold(wallet_id, below)


async def placed(ama: Customer, count: int = 1) -> list[int]:
    """Orders that wait for a person."""
    placement = OrderPlacement(ama.database, kinds=KINDS)
    answers = await placement.place_all([ama.wants() for _ in range(count)])
    await placement.close()
    ids = [answer.order.id for answer in answers if not isinstance(answer, Exception)]
    async with ama.database.connection() as tx:
        for number in ids:
            await tx.execute(
                "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
                " values ($1, 1, 'simulator', $2, 'unknown', 390, now())",
                number,
                f"r{number}",
            )
        await tx.execute("update orders set state = 'review', due_at = null, attempts = 1")
    return ids


def verdict(order_id: int, *, delivered: bool) -> PersonVerdict:
    return PersonVerdict(order_id, None, delivered, "seen it")


async def test_a_refund_is_told_once_and_in_its_transaction(database: Database, tmp_path: Path, armed: Any) -> None:
    ama = await customer(database, ghs_minor=10_000)
    (number,) = await placed(ama)
    jobs = PostgresFulfilmentStore(database, ama.ledger, FulfilmentPolicy())
    await jobs.settle([verdict(number, delivered=True)])
    await jobs.close()
    await listens(database, tmp_path, ama.reseller_id)
    corrections = Corrections(database, Ledger(database))
    armed("correction.before_commit=error")
    with pytest.raises(FailpointError):
        await corrections.refund(number, reason="never arrived", by_whom="Esi")
    assert await told(database) == []
    armed("")
    await asyncio.gather(*(corrections.refund(number, reason="never arrived", by_whom="Esi") for _ in range(5)))
    (body,) = await told(database)
    assert body["type"] == "order.refunded"
    assert body["data"]["status"] == "refunded"
    assert body["data"]["refund_reference"].startswith("REFUND-")
    assert body["data"]["price"] == "4.50"


@pytest.mark.parametrize("point", ["settle.before_commit", "settle.after_commit"])
async def test_a_settlement_that_fails_tells_nothing_and_one_that_is_repeated_tells_once(
    database: Database, tmp_path: Path, armed: Any, point: str
) -> None:
    ama = await customer(database, ghs_minor=10_000)
    await listens(database, tmp_path, ama.reseller_id)
    numbers = await placed(ama, 3)
    items = [verdict(number, delivered=number != numbers[0]) for number in numbers]
    jobs = PostgresFulfilmentStore(database, ama.ledger, FulfilmentPolicy())
    armed(f"{point}=error@1")
    try:
        answers = await jobs.settle(items)
        assert all(isinstance(answer, FailpointError) for answer in answers)
    except FailpointError:
        assert await told(database) == []
    await jobs.settle(items)
    await jobs.settle(items)
    assert sorted(body["type"] for body in await told(database)) == [
        "order.completed", "order.completed", "order.failed",
    ]  # fmt: skip
    await jobs.close()
    await ama.check_books()


async def test_a_refill_is_told_to_its_partner_by_voucher_too(database: Database, tmp_path: Path) -> None:
    shop = await network(database, tmp_path)
    await listens(database, tmp_path, shop.ada.reseller_id)
    _, (pin,) = await shop.issue(1, HUNDRED)
    await shop.load(pin, "T00000001")
    await shop.load(pin, "T00000001")
    await shop.pay(100, "T00000002", mode=Mode.TEST)
    with pytest.raises(PinRefused):
        await shop.load("0000000000000000", "T00000003")
    voucher, paid = await told(database)
    assert pin not in json.dumps(voucher)
    assert (voucher["type"], voucher["data"]["client_reference"], voucher["data"]["price"]) == (
        "order.completed", "T00000001", None,
    )  # fmt: skip
    assert (paid["data"]["mode"], paid["data"]["price"], paid["data"]["kind"]) == ("test", "100.00", "refill")
    await shop.close()


async def test_every_way_that_lowers_a_balance_is_watched(database: Database, tmp_path: Path) -> None:
    """Orders are watched in a story: here refills, debits and play money that is taken out."""
    shop = await network(database, tmp_path)
    await listens(database, tmp_path, shop.ada.reseller_id)
    await alert(database, tmp_path, shop.ada.wallets[Mode.LIVE]["NGN"], Money(950_00, NGN))
    await shop.pay(100)
    assert [body["type"] for body in await told(database)] == ["order.completed", "wallet.low"]
    await shop.close()

    kofi = await customer(database, ghs_minor=10_000)
    await listens(database, tmp_path, kofi.reseller_id)
    await alert(database, tmp_path, kofi.wallets["GHS"], Money(9_000, GHS))
    corrections = Corrections(database, Ledger(database))
    for reference in ("d1", "d1", "d2"):
        await corrections.debit(
            kofi.reseller_id, Money(2_000, GHS), Mode.LIVE, reference, reason="typed twice", by_whom="Esi"
        )
    assert [body["type"] for body in await told(database)][2:] == ["wallet.low"]

    async with funding_shop(database, sandbox=True) as play:
        reference = await fund(play)
        await listens(database, tmp_path, play.caller.reseller_id)
        await alert(database, tmp_path, play.caller.wallets["NGN"], AMOUNT)
        await PlayMoney(database, play.ledger).void(reference, "going live", "Ama")
    assert [body["data"]["balance"] for body in (await told(database))[3:]] == ["0.00"]


async def test_of_two_sales_that_race_across_the_threshold_one_tells(database: Database, tmp_path: Path) -> None:
    ama = await customer(database, ghs_minor=1_000)
    await listens(database, tmp_path, ama.reseller_id)
    await alert(database, tmp_path, ama.wallets["GHS"], Money(800, GHS))
    lanes = [OrderPlacement(database, kinds=KINDS) for _ in range(2)]
    await asyncio.gather(*(lane.place_all([ama.wants()]) for lane in lanes))
    for lane in lanes:
        await lane.close()
    assert [body["type"] for body in await told(database)] == ["wallet.low"]


async def test_a_database_that_is_away_writes_neither_state_nor_event(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ama = await customer(database, ghs_minor=10_000)
    await listens(database, tmp_path, ama.reseller_id)
    (number,) = await placed(ama)

    async def lost(*_: Any) -> int:
        raise ConnectionResetError

    monkeypatch.setattr(store, "write_events", lost)
    jobs = PostgresFulfilmentStore(database, ama.ledger, FulfilmentPolicy())
    with pytest.raises(Busy):
        await jobs.settle([verdict(number, delivered=True)])
    assert await ama.value("select state from orders") == "review"
    monkeypatch.undo()
    await jobs.settle([verdict(number, delivered=True)])
    assert [body["type"] for body in await told(database)] == ["order.completed"]
    await jobs.close()
