"""Two people for large amounts, by commands: what waits, who confirms it, what is written of both; races and kill -9."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from telvend.approvals.gate import SecondPerson
from telvend.approvals.invariants import INVARIANTS
from telvend.approvals.model import ActKind, Confirmed, Limits, Proposal, WaitsForSecondPerson
from telvend.approvals.service import Approvals
from telvend.audit.service import findings_of
from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.errors import TelvendError
from telvend.fulfilment.model import FulfilmentPolicy
from telvend.fulfilment.postgres import PostgresFulfilmentStore
from telvend.fulfilment.review import Review
from telvend.funding.credits.service import Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger.service import Ledger
from telvend.orders.model import Order
from tests.conftest import Server
from tests.store.damage import damaged_books
from tests.store.purchases import customer
from tests.store.test_cli import EMAIL, Shop, sheet
from tests.store.test_counter import books_hold, delivered

LIMIT = "TELVEND_SECOND_PERSON_ABOVE"
ESI = ("--by", "Esi")
KOFI = ("--by", "Kofi")
WAITING = 3


@pytest.fixture(autouse=True)
def nowhere(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv(LIMIT, '{ GHS = "500.00" }')


@pytest.fixture
def shop(database_url: str) -> Shop:
    made = Shop(database_url)
    made.add_reseller()
    return made


def credit(amount: str, reference: str, *more: str) -> tuple[str, ...]:
    return ("wallet", "credit", EMAIL, amount, "GHS", "--reference", reference, *more)


def debit(amount: str, reference: str, *more: str) -> tuple[str, ...]:
    return ("wallet", "debit", EMAIL, amount, "GHS", "--reference", reference, "--reason", "mistyped", *more)


def balance(shop: Shop, mode: str = "live") -> Any:
    found = shop.data("wallet", "show", EMAIL)["wallets"]
    return next((w["balance"] for w in found if (w["currency"], w["mode"]) == ("GHS", mode)), None)


def in_review(shop: Shop, *references: str) -> tuple[str, list[Order]]:
    """Orders of 4.50 that were sent to a provider, and wait for a person."""
    email, orders = shop.sell(*references)
    for order in orders:
        shop.execute(
            "insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
            f" values ({order.id}, 1, 'simulator', '{order.reference}-1', 'unknown', 390, now())"
        )
        shop.execute(f"update orders set state = 'review', due_at = null, attempts = 1 where id = {order.id}")
    return email, orders


# What waits -------------------------------------------------------------------------------------------------------------


def test_a_credit_above_the_limit_moves_nothing_and_says_so(shop: Shop) -> None:
    assert shop.data(*credit("500", "cash-1"))["balance"] == 500
    assert shop.refused(*credit("0.01", "cash-2")).startswith("by: is needed: what is above GHS 500.00 in 24 hours")
    assert shop.data("approval", "list")["approvals"] == []
    waits = shop.data(*credit("600", "cash-2", *ESI), code=WAITING)
    assert "balance" not in waits
    assert waits["state"] == "waiting_for_second_person"
    assert {name: waits["approval"][name] for name in ("kind", "state", "email", "amount", "proposed_by", "ended_by")} == {
        "kind": "credit", "state": "waiting", "email": EMAIL, "amount": 600, "proposed_by": "Esi", "ended_by": None,
    }  # fmt: skip
    said = shop.run(*credit("600.00", "cash-2"), code=WAITING)
    number = str(waits["approval"]["id"])
    assert said.stdout.startswith(f"Nothing has moved yet: GHS 600.00 of {EMAIL} waits for a second person")
    assert f"telvend approval confirm {number} --by WHO" in said.stdout
    assert said.stderr == ""
    assert balance(shop) == 500
    assert "already used" in shop.refused(*credit("601", "cash-2", *ESI))
    assert "already used" in shop.refused(*credit("1", "cash-2", *ESI))
    assert [one["id"] for one in shop.data("approval", "list", "--email", EMAIL)["approvals"]] == [int(number)]
    books_hold(shop)


def test_another_person_confirms_and_both_names_are_kept(shop: Shop) -> None:
    number = str(shop.data(*credit("600", "cash", *ESI), code=WAITING)["approval"]["id"])
    for same in ("Esi", " eSI ", "Ｅsi"):
        assert "another person than Esi" in shop.refused("approval", "confirm", number, "--by", same)
    assert shop.refused("approval", "confirm", number, "--by", " ").startswith("by: ")
    assert shop.run("approval", "confirm", number, code=2).stdout == ""
    done = shop.data("approval", "confirm", number, *KOFI)
    assert (done["balance"], done["again"], done["approval"]["state"], done["approval"]["ended_by"]) == (
        600, False, "confirmed", "Kofi",
    )  # fmt: skip
    again = shop.data("approval", "confirm", number, "--by", "Yaw")
    assert (again["balance"], again["again"], again["approval"]["ended_by"]) == (600, True, "Kofi")
    assert "was confirmed before" in shop.run("approval", "confirm", number, *KOFI).stdout
    assert shop.data(*credit("600", "cash"))["balance"] == 600
    (line,) = shop.data("wallet", "statement", EMAIL, "GHS")["statement"]
    assert (line["what"], line["about"], line["by"], line["confirmed_by"]) == ("money in", "cash", "Esi", "Kofi")
    assert "cash (by Esi, confirmed by Kofi)" in shop.run("wallet", "statement", EMAIL, "GHS").stdout
    assert sheet(shop.run("wallet", "statement", EMAIL, "GHS", "--csv").stdout)[0]["confirmed_by"] == "Kofi"
    assert shop.refused("approval", "confirm", "4711", *KOFI) == "Proposal not found."
    books_hold(shop)


def test_a_debit_keeps_who_wanted_it_why_and_who_confirmed_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "")
    shop.run(*credit("900", "cash"))
    monkeypatch.setenv(LIMIT, "500")
    assert shop.refused(*debit("501", "back")).startswith("by: is needed"), "the user of the machine is no name"
    assert shop.refused(*debit("501", "back", "--by", "")).startswith("by: is needed")
    assert "Insufficient" in shop.refused(*debit("901", "back", *ESI))
    number = str(shop.data(*debit("501", "back", *ESI), code=WAITING)["approval"]["id"])
    assert shop.data("approval", "confirm", number, *KOFI)["balance"] == 399
    line = shop.data("wallet", "statement", EMAIL, "GHS")["statement"][0]
    assert (line["what"], line["about"], line["reason"], line["by"], line["confirmed_by"]) == (
        "taken back", "back", "mistyped", "Esi", "Kofi",
    )  # fmt: skip
    assert "back: mistyped (by Esi, confirmed by Kofi)" in shop.run("wallet", "statement", EMAIL, "GHS").stdout
    books_hold(shop)


def test_without_the_setting_and_with_play_money_everything_is_as_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.data(*credit("90000", "cash", "--mode", "test"))["balance"] == 90_000
    ngn = ("wallet", "credit", EMAIL, "90000", "NGN", "--reference", "r")
    assert shop.data(*ngn)["balance"] == 90_000, "a currency that the table does not name"
    monkeypatch.delenv(LIMIT)
    assert shop.data(*credit("90000", "cash"))["balance"] == 90_000
    assert shop.data(*debit("80000", "cash"))["balance"] == 10_000
    assert "Nothing waits" in shop.run("approval", "list").stdout
    monkeypatch.setenv(LIMIT, "0")
    assert shop.data(*credit("0.01", "all", *ESI), code=WAITING)["state"] == "waiting_for_second_person"
    books_hold(shop)


def test_one_amount_in_parts_waits_too_on_each_wallet_by_itself_for_a_day(shop: Shop) -> None:
    shop.run(*credit("300", "part-1"))
    shop.run(*credit("200", "part-2", *KOFI))
    assert shop.data(*credit("300", "part-1"))["balance"] == 500, "the same again is no other credit"
    assert shop.data(*credit("0.01", "part-3", *ESI), code=WAITING)["approval"]["amount"] == Decimal("0.01")
    shop.run("user", "add", "yaw@example.com", "--name", "Yaw", "--phone", "0241234568")
    shop.run("wallet", "credit", "yaw@example.com", "500", "GHS", "--reference", "part-3")
    assert shop.data(*debit("500", "back"))["balance"] == 0
    shop.execute("alter table lone_act disable trigger user; update lone_act set done_at = done_at - interval '24 h'")
    shop.execute("alter table lone_act enable trigger user")
    assert shop.data(*credit("500", "part-4"))["balance"] == 500
    books_hold(shop)


def test_a_limit_that_cannot_be_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "{ GHS = 5.001 }")
    assert shop.refused("user", "list") == f"{LIMIT}: GHS 5.001 must have at most 2 decimals in GHS."
    monkeypatch.setenv(LIMIT, '{ GHS = "500.00", NGN = 20000 }')
    (line,) = [one for one in shop.data("settings")["settings"] if one["name"] == "second_person_above"]
    assert line["value"] == '{ GHS = "500.00", NGN = "20000" }'


def test_a_list_pages_and_knows_states(shop: Shop) -> None:
    numbers = [shop.data(*credit("600", f"cash-{n}", *ESI), code=WAITING)["approval"]["id"] for n in range(4)]
    shop.run("approval", "reject", str(numbers[0]), "--reason", "not ours", *KOFI)
    shop.run("approval", "reject", str(numbers[1]), "--reason", "typed twice", *ESI)
    first = shop.data("approval", "list", "--all", "--limit", "3")
    assert ([one["id"] for one in first["approvals"]], first["next"], first["more"]) == (numbers[:0:-1], numbers[1], 1)
    rest = shop.data("approval", "list", "--all", "--before", str(first["next"]))["approvals"]
    assert [(one["id"], one["state"], one["end_reason"], one["ended_by"]) for one in rest] == [
        (numbers[0], "rejected", "not ours", "Kofi")
    ]
    assert [one["id"] for one in shop.data("approval", "list", "--state", "withdrawn")["approvals"]] == [numbers[1]]
    assert [one["id"] for one in shop.data("approval", "list")["approvals"]] == numbers[:1:-1]
    printed = shop.run("approval", "list", "--limit", "1").stdout
    assert "cash-3" in printed
    assert f"1 more: --before {numbers[3]}" in printed
    assert shop.refused("approval", "list", "--email", "nobody@example.com") == "Reseller not found."
    assert f"Proposal {numbers[3]}" in shop.run("approval", "show", str(numbers[3])).stdout


# How it ends otherwise ----------------------------------------------------------------------------------------------------


def test_what_was_rejected_is_not_confirmed_any_more_nor_what_was_confirmed_rejected(shop: Shop) -> None:
    number = str(shop.data(*credit("600", "cash", *ESI), code=WAITING)["approval"]["id"])
    reject = ("approval", "reject", number, "--reason")
    assert shop.refused(*reject, " ", *KOFI).startswith("reason: ")
    assert shop.data(*reject, "not ours", *KOFI)["state"] == "rejected"
    assert shop.data(*reject, "again", *ESI)["end_reason"] == "not ours"
    assert "was rejected by Kofi: not ours" in shop.refused("approval", "confirm", number, "--by", "Yaw")
    second = str(shop.data(*credit("700", "cash", *ESI), code=WAITING)["approval"]["id"])
    assert second != number
    shop.run("approval", "confirm", second, *KOFI)
    assert "was confirmed by Kofi" in shop.refused("approval", "reject", second, "--reason", "late", *ESI)
    assert balance(shop) == 700
    books_hold(shop)


def test_what_nobody_confirms_in_time_expires_and_may_be_proposed_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELVEND_SECOND_PERSON_DAYS", "2")
    waits = shop.data(*credit("600", "cash", *ESI), code=WAITING)["approval"]
    assert waits["expires_at"][:10] > waits["proposed_at"][:10]
    shop.execute("alter table proposal disable trigger user; update proposal set proposed_at = now() - interval '3 days',"
                 " expires_at = now() - interval '1 ms'; alter table proposal enable trigger user")  # fmt: skip
    # As they were: an audit takes up from no checkpoint where these do not fire always.
    shop.execute("alter table proposal enable always trigger proposal_removal, enable always trigger proposal_emptied")
    assert "has expired" in shop.refused("approval", "confirm", str(waits["id"]), *KOFI)
    assert "has expired" in shop.refused("approval", "reject", str(waits["id"]), "--reason", "late", *KOFI)
    assert shop.data("approval", "list")["approvals"] == []
    assert [one["state"] for one in shop.data("approval", "list", "--all")["approvals"]] == ["expired"]
    again = shop.data(*credit("650", "cash", *ESI), code=WAITING)["approval"]
    assert again["id"] != waits["id"]
    assert balance(shop) == 0


def test_a_setting_that_was_raised_leaves_what_waits_as_it_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    number = str(shop.data(*credit("600", "cash", *ESI), code=WAITING)["approval"]["id"])
    other = str(shop.data(*credit("700", "more", *ESI), code=WAITING)["approval"]["id"])
    monkeypatch.setenv(LIMIT, "")
    assert shop.data(*credit("600", "cash"), code=WAITING)["approval"]["id"] == int(number)
    assert "another person than Esi" in shop.refused("approval", "confirm", number, *ESI)
    assert shop.data("approval", "confirm", number, *KOFI)["balance"] == 600
    shop.run("approval", "reject", other, "--reason", "alone again", *ESI)
    assert shop.data(*credit("700", "more"))["balance"] == 1300
    books_hold(shop)


def test_a_credit_that_was_made_meanwhile_is_not_confirmed(shop: Shop) -> None:
    """As a program of the version before makes it, which asks nobody."""
    number = str(shop.data(*credit("600", "cash", *ESI), code=WAITING)["approval"]["id"])

    async def bypass(database: Database) -> None:
        waiting = Credits(database, Ledger(database), _Blind())
        async with database.connection() as tx:
            reseller = await tx.fetchval("select reseller_id from wallet where currency = 'GHS' and mode = 'live'")
        await waiting.add(reseller, Money(600_00, GHS), Mode.LIVE, "cash")

    shop.work(bypass)
    assert "was credited under cash meanwhile" in shop.refused("approval", "confirm", number, *KOFI)
    assert balance(shop) == 600
    books_hold(shop)


class _Blind(SecondPerson):
    """A gate that is not there."""

    async def admit(self, *_: Any, **__: Any) -> None:
        return None


# Orders -------------------------------------------------------------------------------------------------------------------


def test_an_order_is_decided_and_refunded_by_two(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "4")
    _, (order, other) = in_review(shop, "mine-1", "mine-2")
    resolve = ("order", "resolve", "mine-1", "--delivered", "--note", "seen it")
    assert shop.refused(*resolve).startswith("by: is needed: what is above GHS 4.00 waits")
    assert shop.refused("order", "confirm", "mine-1", *KOFI) == "Nothing about this order waits for a second person."
    waits = shop.data(*resolve, *ESI, code=WAITING)
    assert (waits["state"], waits["approval"]["kind"]) == ("waiting_for_second_person", "delivered")
    assert f"telvend order confirm {order.reference} --by WHO" in shop.run(*resolve, *ESI, code=WAITING).stdout
    opposite = ("order", "resolve", order.reference, "--failed", "--note", "not there", *KOFI)
    assert "as Esi has proposed" in shop.refused(*opposite)
    shown = shop.data("order", "show", order.reference)
    assert (shown["state"], [one["state"] for one in shown["approvals"]]) == ("review", ["waiting"])
    assert f"order confirm {order.reference}" in shop.run("order", "show", order.reference).stdout
    assert "another person" in shop.refused("order", "confirm", "mine-1", *ESI)
    done = shop.data("order", "confirm", "mine-1", *KOFI)
    assert (done["state"], done["again"], done["approval"]["ended_by"]) == ("delivered", False, "Kofi")
    again = shop.run("order", "confirm", str(order.id), *KOFI).stdout
    assert again.startswith(
        f"The decision as delivered of {order.reference}, GHS 4.50, proposed by Esi, was confirmed before"
    )
    assert shop.data("order", "confirm", str(order.id), *KOFI)["again"]
    shown = shop.data("order", "show", order.reference)
    assert shown["notes"][-1]["text"] == "Decided by hand, delivered by Esi, confirmed by Kofi: seen it"
    assert shop.data(*resolve)["state"] == "delivered", "the same decision again changes nothing"

    refund = ("order", "refund", order.reference, "--reason", "wrong number", *KOFI)
    assert shop.data(*refund, code=WAITING)["approval"]["kind"] == "refund"
    assert shop.data("order", "show", order.reference)["refund"] is None
    assert shop.data("order", "confirm", order.reference, *ESI)["balance"] == Decimal("95.50")
    shown = shop.data("order", "show", order.reference)
    assert (shown["refund"]["by"], shown["refund"]["confirmed_by"]) == ("Kofi", "Esi")
    assert shop.data(*refund)["again"]

    failed = ("order", "resolve", other.reference, "--failed", "--note", "not there", *ESI)
    shop.run(*failed, code=WAITING)
    assert shop.data("order", "confirm", other.reference, *KOFI)["state"] == "failed"
    shop.execute(f"update orders set created_at = created_at where id = {other.id}")
    books_hold(shop)


def test_a_provisional_credit_is_given_by_two_and_follows_its_order(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step by step, the wallet's balance after each: 100.00 less what is held."""
    monkeypatch.setenv(LIMIT, "4")
    email, (order, late) = in_review(shop, "mine-1", "mine-2")

    def available() -> Any:
        return shop.data("wallet", "statement", email, "GHS")["statement"][0]["balance"]

    lend = ("order", "credit", order.reference, "--reason", "customer waits", *ESI)
    waits = shop.data(*lend, code=WAITING)
    assert (waits["state"], waits["approval"]["kind"]) == ("waiting_for_second_person", "provisional_credit")
    number = str(waits["approval"]["id"])
    assert (available(), shop.data("order", "credits")["credits"]) == (91, [])
    assert shop.data(*lend, code=WAITING)["approval"] == waits["approval"], "the same again is the same proposal"
    assert "another person" in shop.refused("order", "confirm", order.reference, "--by", "esi")
    decide = ("order", "resolve", order.reference, "--failed", "--note", "not there", *KOFI)
    shop.run(*decide, code=WAITING)
    said = shop.refused("order", "confirm", order.reference, "--by", "Yaw")
    assert f"Several proposals about this order wait: {number} (provisional credit)" in said
    assert available() == 91
    done = shop.run("approval", "confirm", number, *KOFI).stdout
    assert "Done: provisional credit of GHS 4.50, proposed by Esi, confirmed by Kofi." in done
    assert available() == Decimal("95.50")
    (given,) = shop.data("order", "credits")["credits"]
    assert (given["by"], given["state"], given["reason"]) == ("Esi", "open", "customer waits")
    assert shop.data("approval", "confirm", number, *KOFI)["again"]
    assert shop.data("order", "show", order.reference)["provisional_credit"]["state"] == "open"
    assert shop.data(*lend)["again"], "what was given needs nobody"
    assert f"{order.reference} is failed." in shop.run("order", "confirm", order.reference, *ESI).stdout
    assert available() == Decimal("95.50"), "the hold came back, and the credit went"

    shop.run("order", "credit", late.reference, "--reason", "x", *ESI, code=WAITING)
    shop.run("order", "resolve", late.reference, "--delivered", "--note", "seen", *ESI, code=WAITING)
    shop.run("approval", "confirm", str(int(number) + 3), *KOFI)
    assert "is delivered" in shop.refused("order", "confirm", late.reference, *KOFI)
    assert available() == Decimal("95.50")
    books_hold(shop)


def test_an_order_that_became_final_meanwhile_is_refused_with_its_state(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (order,) = in_review(shop, "mine-1")
    monkeypatch.setenv(LIMIT, "4")
    shop.run("order", "resolve", order.reference, "--failed", "--note", "not there", *ESI, code=WAITING)
    shop.execute(f"update orders set state = 'delivering', due_at = now() where id = {order.id}")
    assert "with a provider" not in shop.refused("order", "confirm", order.reference, *ESI), "the name first"
    assert "is delivering meanwhile; nothing has moved" in shop.refused("order", "confirm", order.reference, *KOFI)
    shop.execute(f"update orders set state = 'review', due_at = null where id = {order.id}")
    assert shop.data("order", "confirm", order.reference, *KOFI)["state"] == "failed"
    books_hold(shop)


def test_a_name_is_kept_with_a_decision_and_a_credit_that_need_no_second_person(shop: Shop) -> None:
    _, (order,) = in_review(shop, "mine-1")
    shop.run("order", "resolve", order.reference, "--failed", "--note", "not there", *ESI)
    assert (
        shop.data("order", "show", order.reference)["notes"][-1]["text"] == "Decided by hand, failed by Esi: not there"
    )
    shop.run(*credit("5", "cash", *ESI))
    line = shop.data("wallet", "statement", EMAIL, "GHS")["statement"][0]
    assert (line["by"], line["confirmed_by"]) == ("Esi", "")


# Two at once, and in the middle ---------------------------------------------------------------------------------------------


def approvals_of(database: Database, second_person: SecondPerson) -> tuple[Credits, Corrections, Approvals]:
    ledger = Ledger(database)
    giving, corrections = Credits(database, ledger, second_person), Corrections(database, ledger, second_person)
    performs: Mapping[ActKind, Any] = {
        ActKind.CREDIT: lambda: giving.perform,
        ActKind.DEBIT: lambda: corrections.perform_debit,
    }
    return giving, corrections, Approvals(database, performs)


async def proposed(act: Any) -> Proposal:
    with pytest.raises(WaitsForSecondPerson) as waits:
        await act
    return waits.value.proposal


async def test_confirmations_at_once_do_it_once(database: Database) -> None:
    ama = await customer(database, ghs_minor=1000)
    giving, corrections, approvals = approvals_of(database, SecondPerson(Limits({"GHS": 100})))
    into = await proposed(giving.add(ama.reseller_id, Money(300, GHS), Mode.LIVE, "r", by_whom="Esi"))
    out = await proposed(corrections.debit(ama.reseller_id, Money(200, GHS), Mode.LIVE, "r", reason="x", by_whom="Esi"))
    done: list[Confirmed] = await asyncio.gather(
        *(approvals.confirm(one.id, f"Kofi {n}") for n in range(6) for one in (into, out))
    )
    assert sorted(one.again for one in done) == [False] * 2 + [True] * 10
    assert await ama.balance() == 1100
    assert {one.proposal.ended_by for one in done if one.proposal.id == into.id} == {
        (await approvals.find(into.id)).ended_by
    }
    await ama.check_books()


async def test_proposals_at_once_are_one_and_a_rejection_beside_a_confirmation_is_one_end(database: Database) -> None:
    ama = await customer(database, ghs_minor=1000)
    giving, _, approvals = approvals_of(database, SecondPerson(Limits({"GHS": 100})))
    waiting = await asyncio.gather(
        *(proposed(giving.add(ama.reseller_id, Money(300, GHS), Mode.LIVE, "r", by_whom=f"Esi {n}")) for n in range(6))
    )
    (number,) = {one.id for one in waiting}
    ends = await asyncio.gather(
        approvals.confirm(number, "Kofi"), approvals.reject(number, "Yaw", "no"), return_exceptions=True
    )
    confirmed, rejected = (not isinstance(end, Exception) for end in ends)
    assert confirmed is not rejected
    assert all(isinstance(end, TelvendError) for end in ends if isinstance(end, Exception))
    assert await ama.balance() == (1300 if confirmed else 1000)
    await ama.check_books()


async def test_parts_at_once_are_counted_together(database: Database) -> None:
    ama = await customer(database, ghs_minor=0, ngn_minor=1)
    giving, _, _ = approvals_of(database, SecondPerson(Limits({"GHS": 500})))
    done = await asyncio.gather(
        *(giving.add(ama.reseller_id, Money(100, GHS), Mode.LIVE, f"r{n}", by_whom="Esi") for n in range(9)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, WaitsForSecondPerson) for one in done) == 4
    assert await ama.balance() == 500
    await ama.check_books()


async def test_decisions_at_once_settle_an_order_once(shop: Shop, database: Database) -> None:
    ledger = Ledger(database)
    gate = SecondPerson(Limits({"GHS": 100}))
    _, (order,) = await asyncio.to_thread(in_review, shop, "mine-1")
    jobs = [PostgresFulfilmentStore(database, ledger, FulfilmentPolicy(), second_person=gate) for _ in range(3)]
    reviews = [Review(one) for one in jobs]
    try:
        waiting = await asyncio.gather(
            *(proposed(review.resolve(order.reference, delivered=False, text="x", by_whom="Esi")) for review in reviews)
        )
        (number,) = {one.id for one in waiting}
        confirmations = [
            Approvals(database, {ActKind.FAILED: lambda review=review: review.perform}).confirm(number, name)
            for review, name in zip(reviews, ("Kofi", "Yaw", "Abena"), strict=True)
        ]
        done = await asyncio.gather(*confirmations)
    finally:
        for one in jobs:
            await one.close()
    assert sorted(one.again for one in done) == [False, True, True]
    await asyncio.to_thread(books_hold, shop)


CONFIRMS = {
    "approval.before_deed": False,
    "correction.before_commit": False,
    "correction.after_commit": True,
    "approval.after_deed": True,
}


@pytest.mark.parametrize("point", CONFIRMS)
@pytest.mark.parametrize("kind", ["refund", "decision", pytest.param("provisional", marks=pytest.mark.soak)])
def test_a_confirmation_that_is_killed_has_done_all_or_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, point: str, kind: str
) -> None:
    if kind == "refund":
        _, (order,) = delivered(shop, "mine-1")
        act = ("order", "refund", order.reference, "--reason", "x")
    elif kind == "provisional":
        _, (order,) = in_review(shop, "mine-1")
        act = ("order", "credit", order.reference, "--reason", "x")
        point = point.replace("correction", "provisional")
    else:
        _, (order,) = in_review(shop, "mine-1")
        act = ("order", "resolve", order.reference, "--failed", "--note", "x")
        point = point.replace("correction", "settle")
    monkeypatch.setenv(LIMIT, "4")
    shop.run(*act, *ESI, code=WAITING)
    confirm = ("order", "confirm", order.reference, *KOFI)
    shop.killed(point, *confirm)
    done = CONFIRMS[point.replace("settle", "correction").replace("provisional", "correction")]
    shown = shop.data("order", "show", order.reference)
    assert shown["approvals"][0]["state"] == ("confirmed" if done else "waiting")
    moved = shown["refund"] is not None or shown["provisional_credit"] is not None or shown["state"] == "failed"
    assert moved is done
    books_hold(shop)
    # A log of this process may come first.
    first = json.loads(shop.run(*confirm, "--json").stdout.splitlines()[-1])
    assert (first["again"], shop.data(*confirm)["balance"]) == (done, 100)
    books_hold(shop)


@pytest.mark.parametrize(("point", "done"), [("approval.before_deed", False), ("approval.after_deed", True)])
def test_a_confirmed_credit_that_is_killed_is_made_once(shop: Shop, point: str, done: bool) -> None:
    shop.killed("approval.proposed", *credit("600", "cash", *ESI))
    (waits,) = shop.data("approval", "list")["approvals"]
    assert shop.data(*credit("600", "cash", *ESI), code=WAITING)["approval"]["id"] == waits["id"]
    confirm = ("approval", "confirm", str(waits["id"]), *KOFI)
    shop.killed(point, *confirm)
    assert balance(shop) == (600 if done else 0)
    assert (shop.data(*confirm)["again"], balance(shop)) == (done, 600)
    books_hold(shop)


# Whether the books hold -----------------------------------------------------------------------------------------------------

DAMAGES = {
    "a proposal is gone": "delete from proposal",
    "a proposal says another amount": "update proposal set amount_minor = amount_minor + 1",
    "a proposal is of another wallet": "update proposal set wallet_id = wallet_id + 1",
    "a proposal was confirmed by the same person": "update proposal_end e set who = p.who from proposal p where p.id = e.proposal_id",
    "a proposal was confirmed after it had expired": "update proposal set expires_at = proposed_at - interval '1 h',"
    " proposed_at = proposed_at - interval '2 h'",
    "a confirmed credit is gone": "delete from wallet_credit where by_whom <> ''",
    "a confirmed credit has another reference": "update wallet_credit set reference = reference || 'x' where by_whom <> ''",
    "a confirmed debit is gone": "delete from wallet_debit",
    "a confirmed refund is gone": "delete from order_refund",
    "a confirmed decision is undone": "update orders set state = 'review' where state = 'failed'",
    "a deed has two proposals": "alter table proposal_end drop constraint proposal_end_cause_key;"
    " update proposal_end set cause = (select min(cause) from proposal_end)",
}


async def confirmed_acts(database: Database, data_dir: Path) -> None:
    """One of each kind, proposed by Esi and confirmed by Kofi."""
    ama = await customer(database, ghs_minor=10_000)
    shop = Shop(database.url)
    await asyncio.to_thread(_confirm_each, shop, ama.reseller_id, data_dir)


def _confirm_each(shop: Shop, reseller_id: Any, data_dir: Path) -> None:
    (email,) = (user["email"] for user in shop.data("user", "list")["users"] if user["id"] == str(reseller_id))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELVEND_DATA_DIR", str(data_dir))
        patch.delenv(LIMIT, raising=False)
        _, (order,) = delivered(shop, "damaged-1")
        _, (open_order,) = in_review(shop, "damaged-2")
        patch.setenv(LIMIT, "1")
        wallet = ("wallet", "credit", email, "9", "GHS", "--reference", "cash", *ESI)
        shop.run(*wallet, code=WAITING)
        shop.run("wallet", "debit", email, "8", "GHS", "--reference", "cash", "--reason", "x", *ESI, code=WAITING)
        shop.run("order", "refund", order.reference, "--reason", "x", *ESI, code=WAITING)
        shop.run("order", "resolve", open_order.reference, "--failed", "--note", "x", *ESI, code=WAITING)
        for proposal in shop.data("approval", "list")["approvals"]:
            shop.run("approval", "confirm", str(proposal["id"]), *KOFI)
        # One that waits, of which the rule says nothing.
        shop.run(*wallet[:-3], "other", *ESI, code=WAITING)


@pytest.fixture(scope="module")
async def damaged_url(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with server.database("damaged_approvals") as url:
        database = await Database.open(url, pool_size=2)
        await confirmed_acts(database, tmp_path_factory.mktemp("damaged"))
        await database.close()
        yield url


@pytest.mark.parametrize("damage", [None, *DAMAGES])
async def test_the_audit_finds(damaged_url: str, damage: str | None) -> None:
    database = await Database.open(damaged_url, pool_size=1)
    try:
        async with damaged_books(database, *([] if damage is None else [DAMAGES[damage]])) as tx:
            assert bool(await findings_of(tx, INVARIANTS)) is (damage is not None)
    finally:
        await database.close()


def test_proposals_and_their_ends_are_never_changed(damaged_url: str) -> None:
    shop = Shop(damaged_url)
    for statement in (
        "update proposal set amount_minor = 1", "delete from proposal_end", "truncate lone_act", "delete from lone_act",
    ):  # fmt: skip
        with pytest.raises(Exception, match="never changed or removed"):
            shop.execute(statement)
