"""The contract of product kinds, over every one of them: recipient, payload, receipt; a sale by its code, and what must not get lost.

`product_kind_cases.py` is the registry. Whatever a delivery carries back is worth money: it is told again under the same reference,
opened for receipts alone, and stands nowhere in the open.
"""

import asyncio
import pickle
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from telvend.audit.service import audit_books
from telvend.bootstrap import Shop, work
from telvend.catalog.billers import FIRST_ID, biller_products
from telvend.catalog.kinds import KINDS, WITH_PAYLOAD, Payload, kind_of
from telvend.config import Settings, SimulatorSettings
from telvend.database.connections import Database
from telvend.errors import InvalidInput, ReferenceReused
from telvend.kit.keyfile import new_key
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.kit.sealing import SealBroken
from telvend.orders.model import COUNTER, Order, OrderState
from telvend.orders.payloads.keys import FILE, PayloadKey
from telvend.orders.receipts import Receipt, receipt_of
from telvend.upkeep.preparation import prepare_database
from tests.contract.product_kind_cases import CASES, TOKEN, KindCase

KIND_NAMES = sorted(KINDS)
CARRYING = sorted(WITH_PAYLOAD)
EMAIL = "ama@example.com"

# What the last four digits of a recipient make of a delivery: providers/simulator/table.py and secrets.py.
AT_ONCE, ANSWER_LOST, GARBAGE, LATE, NEVER = "0000", "0006", "0008", "0021", "0022"


def test_every_kind_has_a_case() -> None:
    assert set(CASES) == set(KINDS)
    assert all(name == kind.name and kind.title for name, kind in KINDS.items())
    assert {name for name, case in CASES.items() if case.payloads} == WITH_PAYLOAD


# Recipients ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KIND_NAMES)
def test_a_recipient_is_stored_in_one_spelling(name: str) -> None:
    case, rule = CASES[name], kind_of(name).recipient
    for spelling, stored in case.recipients.items():
        assert rule.parse(spelling, case.country) == stored
        assert rule.parse(stored, case.country) == stored
        hidden = rule.masked(stored)
        assert len(hidden) == len(stored)
        assert hidden.count("*") >= 5


@pytest.mark.parametrize("name", KIND_NAMES)
def test_what_cannot_be_a_recipient_is_refused_and_not_repeated(name: str) -> None:
    case = CASES[name]
    for text in case.not_recipients:
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - its sentence is what is looked at
            kind_of(name).recipient.parse(text, case.country)
        assert not text or text not in str(refused.value)


# Payloads -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARRYING)
def test_a_payload_is_kept_in_one_form_and_in_the_order_of_its_use(name: str) -> None:
    form = kind_of(name).payload
    assert form is not None
    for said, kept in CASES[name].payloads:
        assert form.parse(said) == kept
        assert form.parse(kept) == kept
    shown = [line for item in CASES[name].payloads[0][1] for line in form.lines(item)]
    assert shown == CASES[name].lines


@pytest.mark.parametrize("name", CARRYING)
def test_what_cannot_be_a_payload_is_refused_and_not_repeated(name: str) -> None:
    form = kind_of(name).payload
    assert form is not None
    for said in CASES[name].not_payloads:
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - its sentence is what is looked at
            form.parse(said)
        secrets = {str(text) for item in said for text in item.values()}
        assert not any(text in str(refused.value) for text in secrets if len(text) > 6)


@pytest.mark.parametrize("name", CARRYING)
def test_a_payload_opens_as_it_was_sealed_for_its_order_and_its_key_alone(name: str) -> None:
    key = PayloadKey(new_key())
    for _, kept in CASES[name].payloads:
        sealed = key.seal(7, Payload(kept))
        assert key.open(7, sealed).reveal() == kept
        assert not any(text.encode() in sealed for item in kept for text in item.values() if len(text) > 3)
        with pytest.raises(SealBroken):
            key.open(8, sealed)
        with pytest.raises(SealBroken):
            PayloadKey(new_key()).open(7, sealed)


def test_a_payload_prints_as_stars() -> None:
    payload = Payload([{"digits": TOKEN}])
    assert TOKEN not in f"{payload} {payload!r}"
    with pytest.raises(TypeError):
        pickle.dumps(payload)


# Sales --------------------------------------------------------------------------------------------------------------------


@dataclass
class Counter:
    """A shop that delivers in this process, and a reseller with play money."""

    shop: Shop
    settings: Settings

    async def place(self, name: str, ending: str, reference: str, *, within_s: float = 20.0) -> Order:
        """Sell the product of a kind's case; answered when it is final, or was `within_s` later."""
        case = CASES[name]
        services = self.shop.services
        caller = await services.resellers.caller_without_key(EMAIL, COUNTER, Mode.TEST)
        placement = await self.shop.counter.place(
            caller, code=case.product, recipient=case.recipient + ending, amount=case.amount, client_reference=reference
        )
        return await services.orders.settled(placement.order, within_s)

    async def receipt(self, order: Order) -> Receipt:
        receipt = await receipt_of(lambda: self.shop.payloads, order, "a test")
        assert receipt is not None
        return receipt

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        async with self.shop.database.connection() as tx:
            return list(await tx.fetch(statement, *values))

    async def deliveries(self, order: Order) -> int:
        """How often the simulator has delivered an order, by its own book."""
        return sum(line.deliveries for line in await self.shop.book.page(reference=order.reference))

    async def make_due(self, order: Order) -> None:
        """Let the time pass until the provider is asked for the payload again."""
        await self.fetch(
            "update simulator.book set first_at = first_at - interval '10 s', last_at = last_at - interval '10 s'"
        )
        await self.fetch("update order_payload set due_at = now() where id = $1", order.id)

    async def everything_stored(self) -> str:
        """All rows of all tables as text, but for the sealed column."""
        tables = await self.fetch(
            "select table_schema || '.' || table_name as name from information_schema.tables"
            " where table_schema in ('public', 'simulator')"
        )
        texts = [str([dict(row) for row in await self.fetch(f"select * from {table['name']}")]) for table in tables]
        return "\n".join(texts)


@pytest.fixture
async def counter(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counter]:
    monkeypatch.setattr(
        "telvend.bootstrap.shop.PAYLOADS_EVERY_S", 3600.0
    )  # The tests say when providers are asked for payloads.
    database = await Database.open(database_url, pool_size=1)
    await prepare_database(database, lambda _: None)
    await database.close()
    settings = Settings(data_dir=str(tmp_path), simulators={"simulator": SimulatorSettings(timeout_s=0.3)})
    async with work(settings, database_url) as shop:
        reseller = await shop.services.resellers.add(EMAIL, "Ama", "0241234567")
        for currency in (GHS, NGN):
            await shop.services.credits.add(reseller.id, Money(10_000_00, currency), Mode.TEST, "opening")
        await shop.watch.look()
        yield Counter(shop, settings)
        report = await audit_books(shop.database)
        assert report.ok, report.findings


def secrets_in(receipt: Receipt) -> list[str]:
    """The texts of a receipt's payload that would be worth something to somebody else."""
    assert receipt.payload is not None
    return [text for item in receipt.payload.reveal() for text in item.values() if len(text) > 7]


@pytest.mark.parametrize("name", KIND_NAMES)
async def test_a_product_is_sold_by_its_code_and_a_repeat_shows_the_same_receipt(counter: Counter, name: str) -> None:
    order = await counter.place(name, AT_ONCE, "till 1")
    assert (order.state, order.kind, order.dialect, order.client_reference) == (
        OrderState.DELIVERED,
        name,
        COUNTER,
        "till 1",
    )
    receipt = await counter.receipt(order)
    assert receipt.complete
    again = await counter.place(name, AT_ONCE, "till 1")
    assert again.id == order.id
    assert await counter.receipt(again) == receipt
    assert await counter.deliveries(order) == 1
    data, lines = receipt.data(), dict(receipt.lines())
    assert data["reference"] == lines["number"] == order.reference
    assert lines[kind_of(name).recipient.label] == data["recipient"] == order.subscriber
    assert data["paid"] == Decimal(order.price.minor) / 100
    with pytest.raises(ReferenceReused):
        await counter.place(name, ANSWER_LOST, "till 1")
    if name not in WITH_PAYLOAD:
        assert await counter.fetch("select from order_payload") == []


@pytest.mark.parametrize("name", CARRYING)
async def test_secrets_stand_nowhere_in_the_open_and_each_reading_is_noted(
    counter: Counter, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    order = await counter.place(name, AT_ONCE, "till 2")
    receipt = await counter.receipt(order)
    await counter.receipt(order)
    assert [reader for _, reader in await counter.shop.payloads.readings(order.id)] == ["a test", "a test"]
    stored = await counter.everything_stored()
    assert order.reference in stored
    written = "".join(capsys.readouterr())
    for secret in secrets_in(receipt):
        assert secret not in stored
        assert secret not in written
    assert not any(secret in repr(receipt) for secret in secrets_in(receipt))


@pytest.mark.parametrize("ending", [ANSWER_LOST, GARBAGE])
@pytest.mark.parametrize("name", CARRYING)
async def test_a_lost_answer_is_asked_for_and_brings_the_same_secret(counter: Counter, name: str, ending: str) -> None:
    order = await counter.place(name, ending, "till 3")
    assert (order.state, await counter.deliveries(order)) == (OrderState.DELIVERED, 1)
    told = await counter.receipt(order)
    (attempt,) = (await counter.shop.services.order_records.history(order.reference)).attempts
    assert attempt.asked == 1
    # What the far side says by now, of the same reference.
    await counter.fetch("update order_payload set key_id = null, sealed = null, due_at = now() where id = $1", order.id)
    await counter.shop.payload_worker.work_off()
    assert (await counter.receipt(order)).data() == told.data()


@pytest.mark.parametrize("name", CARRYING)
async def test_success_without_a_payload_is_paid_for_asked_about_and_never_vended_again(
    counter: Counter, name: str
) -> None:
    order = await counter.place(name, LATE, "till 4")
    assert order.state is OrderState.DELIVERED
    receipt = await counter.receipt(order)
    assert not receipt.complete
    assert receipt.data()["complete"] is False
    assert await counter.fetch("select from order_payload_reading") == []
    (row,) = await counter.fetch("select extract(epoch from due_at - created_at) as due_s from order_payload")
    assert 50 < row["due_s"] < 70
    await counter.make_due(order)
    await counter.shop.payload_worker.work_off()
    receipt = await counter.receipt(order)
    assert receipt.complete
    assert await counter.deliveries(order) == 1
    assert (await counter.shop.services.order_records.history(order.reference)).order == order


@pytest.mark.parametrize("name", CARRYING)
async def test_a_payload_that_never_comes_is_asked_for_less_and_less_often(counter: Counter, name: str) -> None:
    order = await counter.place(name, NEVER, "till 5")
    waited = []
    for _ in range(10):
        await counter.make_due(order)
        await counter.shop.payload_worker.work_off()
        (row,) = await counter.fetch("select extract(epoch from due_at - updated_at)::int as s from order_payload")
        waited.append(row["s"])
    assert waited == [120, 300, 900, 3600, 10800, 21600, 43200, 43200, 43200, 43200]
    receipt = await counter.receipt(order)
    assert (receipt.complete, receipt.asked, receipt.order.state) == (False, 10, OrderState.DELIVERED)


@pytest.mark.parametrize("name", CARRYING)
async def test_a_delivery_without_a_key_is_settled_and_its_payload_asked_for_when_there_is_one(
    counter: Counter, name: str
) -> None:
    file = Path(counter.settings.data_dir) / FILE
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text("no key")
    file.chmod(0o600)
    order = await counter.place(name, AT_ONCE, "till 6")
    assert order.state is OrderState.DELIVERED
    assert not (await counter.receipt(order)).complete
    file.unlink()
    await counter.make_due(order)
    await counter.shop.payload_worker.work_off()
    assert (await counter.receipt(order)).complete


@pytest.mark.parametrize("name", CARRYING)
async def test_what_a_version_before_has_delivered_is_asked_for_when_it_is_read(counter: Counter, name: str) -> None:
    order = await counter.place(name, AT_ONCE, "till 7")
    told = await counter.receipt(order)
    await counter.fetch("delete from order_payload_reading")
    await counter.fetch("delete from order_payload")
    assert not (await counter.receipt(order)).complete
    await counter.shop.payload_worker.work_off()
    assert (await counter.receipt(order)).data() == told.data()


@pytest.mark.parametrize("name", CARRYING)
async def test_what_a_person_calls_delivered_is_asked_for_too(counter: Counter, name: str) -> None:
    # The simulator delivers, times out and answers no question: a person decides.
    order = await counter.place(name, "0016", "till 8", within_s=0)
    async with asyncio.timeout(20):
        while (await counter.shop.services.order_records.named(order.reference)).state is not OrderState.WAITING:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await counter.shop.review.resolve(order.reference, delivered=True, text="the vendor's portal says so")
    receipt = await counter.receipt(await counter.shop.services.order_records.named(order.reference))
    assert (receipt.complete, receipt.order.state) == (False, OrderState.DELIVERED)
    assert await counter.deliveries(order) == 1


async def test_products_of_billers_are_sold_in_test_mode_alone_and_in_no_list(counter: Counter) -> None:
    services = counter.shop.services
    listed = await services.catalogue.list_products()
    snapshot = services.catalogue.snapshot
    assert biller_products().keys().isdisjoint(product.code for product in listed)
    assert {network.code for country in ("GH", "NG") for network in snapshot.networks(country)}.isdisjoint(
        product.biller for product in biller_products().values()
    )
    caller = await services.resellers.caller_without_key(EMAIL, COUNTER, Mode.LIVE)
    for product in biller_products().values():
        assert product.id >= FIRST_ID
        assert product.kind in KINDS
        with pytest.raises(InvalidInput, match="mode"):
            await counter.shop.counter.place(
                caller, code=product.code, recipient="0", amount=None, client_reference=product.code
            )
    assert await counter.fetch("select from orders") == []


def test_a_case_is_sold_by_amount_exactly_where_its_product_has_no_price() -> None:
    for name, case in CASES.items():
        product = biller_products().get(case.product)
        if product is not None:
            assert product.kind == name
            assert (product.price is None) == (case.amount is not None)


def cases_with_amounts() -> list[KindCase]:
    return [case for case in CASES.values() if case.amount is not None]


@pytest.mark.parametrize("amount", [None, "0", "1.005", "-5", "x", "100000000"])
async def test_an_amount_that_cannot_be_is_refused(counter: Counter, amount: str | None) -> None:
    services = counter.shop.services
    caller = await services.resellers.caller_without_key(EMAIL, COUNTER, Mode.TEST)
    for case in cases_with_amounts():
        with pytest.raises(InvalidInput, match="amount"):
            await counter.shop.counter.place(
                caller, code=case.product, recipient=case.recipient + AT_ONCE, amount=amount, client_reference="r"
            )
