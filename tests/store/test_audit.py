"""Audits that take up from a checkpoint: what is planted in old and in new rows is found, and little is read for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from telvend.audit import invariants as parts
from telvend.audit.checkpoint import FILE, Checkpoint, CheckpointKeeper
from telvend.audit.incremental import verify_since
from telvend.audit.model import SEAL_RULE
from telvend.audit.service import INVARIANTS, Audit, findings_of
from telvend.corrections.service import Corrections
from telvend.database.connections import Database
from telvend.database.invariants import Scope
from telvend.funding.play_money.voiding import PlayMoney
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.ledger.service import Ledger
from telvend.operator.subscribers.balances.model import BucketKind
from telvend.orders.placement import OrderPlacement
from tests.conftest import Server
from tests.store import (
    test_approvals,
    test_claims,
    test_counter,
    test_ledger,
    test_play_money,
    test_provisional,
    test_refills,
)
from tests.store.damage import damaged_books
from tests.store.fundings import funding_shop, paid
from tests.store.purchases import customer
from tests.store.refills import network
from tests.store.subscribers import AMA, LIVE, data, rooms
from tests.store.test_cli import Shop
from tests.store.test_provisioning import sold
from tests.store.verifications import verification_shop

# What is planted ----------------------------------------------------------------------------------------------------------

Facts = Mapping[str, Any]


async def _sales(database: Database, data_dir: Path) -> Facts:
    return await test_ledger.furnished(database)


async def _corrections(database: Database, data_dir: Path) -> Facts:
    facts = await test_ledger.furnished(database)
    corrections = Corrections(database, Ledger(database))
    await corrections.refund(facts["delivered"], reason="typed twice", by_whom="Esi")
    async with database.connection() as tx:
        reseller = await tx.fetchval("select reseller_id from wallet where account_id = $1", facts["wallet"])
    await corrections.debit(reseller, Money(100, GHS), Mode.LIVE, "d", reason="typed twice", by_whom="Esi")
    return facts


async def _approvals(database: Database, data_dir: Path) -> Facts:
    await test_approvals.confirmed_acts(database, data_dir)
    return {}


async def _play_money(database: Database, data_dir: Path) -> Facts:
    async with funding_shop(database, sandbox=True) as made:
        reference = await test_play_money.fund(made)
        await Corrections(database, made.ledger).debit(
            made.caller.reseller_id, Money(10_000, NGN), Mode.LIVE, "d", reason="spent", by_whom="Esi"
        )
        await PlayMoney(database, made.ledger).void(reference, "going live", "Ama")
    return {}


async def _provisional(database: Database, data_dir: Path) -> Facts:
    await test_provisional.furnished(database)
    return {}


async def _fundings(database: Database, data_dir: Path) -> Facts:
    async with funding_shop(database) as made:
        funding = await made.start()
        made.gateway.words[funding.reference] = paid(funding)
        await made.fundings.check(funding.reference)
        return {"funding": funding.id}


async def _claims(database: Database, data_dir: Path) -> Facts:
    async with funding_shop(database) as made:
        await test_claims.credited_claims(made)
    return {}


async def _refills(database: Database, data_dir: Path) -> Facts:
    net = await network(database, data_dir)
    _, (pin,) = await net.issue()
    await net.load(pin)
    await net.pay(100)
    await net.close()
    return {}


async def _checks(database: Database, data_dir: Path) -> Facts:
    made = await verification_shop(database, data_dir)
    await made.check()
    await made.close()
    return {}


async def _usage(database: Database, data_dir: Path) -> Facts:
    async with rooms(database, 1) as (room,):
        await room.subscribers.add(AMA, tariff_plan="PulsePlus", currency=GHS)
        await room.provisioning.deliver(sold("r1", data(1024)))
        await room.usage.consume(LIVE, AMA, BucketKind.DATA, 7, "c")
        await room.usage.reserve(LIVE, AMA, BucketKind.DATA, 5, "captured", 60)
        await room.usage.capture(LIVE, AMA, "captured", 3)
        await room.usage.reserve(LIVE, AMA, BucketKind.DATA, 2, "held", 60)
    return {}


OTHERS = {
    "a bucket holds more than was posted": "update bucket set balance = balance + 1 where balance > 0",
    "a bucket counts a posting too many": "update bucket set postings = postings + 1",
    "a posting is gone": "delete from bucket_posting where number = 2",
    "a posting says another balance": "update bucket_posting set balance_after = balance_after + 1 where number = 1",
    "a bucket is gone": "delete from bucket",
    "more is reserved than reservations keep": "update bucket set reserved = reserved + 1 where reserved > 0",
    "a reservation is gone": "delete from reservation where state = 'held'",
    "an empty bucket is open": "update bucket set open = not open",
    "a subscriber is gone": "delete from subscriber",
    "all subscribers are gone": "truncate subscriber cascade",
    "a bucket is somebody else's": "update bucket set subscriber_id = 77",
    "a delivery is gone": "delete from network_delivery",
    "a delivery gave more than it says": "update network_delivery set parts = parts + 1",
    "a delivery gave twice": "insert into bucket_posting (bucket_id, number, kind, change, balance_after, cause)"
    " select bucket_id, 77, kind, change, balance_after, cause from bucket_posting where kind = 'grant' limit 1",
    "a consumption is gone": "delete from consumption",
    "a consumption says more": "update consumption set amount = amount + 1",
    "a reservation captured more than was taken": "update reservation set captured = captured + 1 where state = 'captured'",
    "a part of a reservation is gone": "delete from reservation_part",
}
CHECKS = {
    "a check's price was changed": "update verification set price_minor = price_minor + 1,"
    " balance_after_minor = balance_after_minor - 1",
    "a check costs more than the ledger says": "update verification set cost_minor = cost_minor + 1",
    "a check stands elsewhere": "update verification set position = 77",
    "a check failed and was paid": "update verification set state = 'not_on_record', expires_at = null,"
    " balance_after_minor = balance_before_minor",
    "a record is gone": "delete from identity_sealed",
    "a check is gone": "delete from verification",
    "a check's hold is gone": "delete from transfer where kind = 1",
}
FUNDINGS = {
    "a funding says another amount": "update funding set amount_minor = amount_minor + 1,"
    " balance_after_minor = balance_after_minor + 1",
    "a completed funding is failed": "update funding set state = 'failed', completed_at = null,"
    " balance_after_minor = balance_before_minor",
    "a funding is gone": "delete from funding",
    "a completed funding is listed as failed": "insert into wallet_failed select wallet_id, position, true from funding",
}


@dataclass(frozen=True, slots=True)
class Family:
    """A shop of one kind, and what is planted in it."""

    furnish: Callable[[Database, Path], Awaitable[Facts]]
    damages: Mapping[str, str]


FAMILIES = {
    "sales": Family(_sales, {name: statement for name, (statement, _) in test_ledger.DAMAGES.items()}),
    "corrections": Family(_corrections, {**test_counter.DAMAGES,
        "a refunded order was not delivered": "update orders set state = 'review', due_at = null",
        "an order is refunded twice": "alter table order_refund drop constraint order_refund_order_id_key;"
        " insert into order_refund select id + 1000, our_reference, order_id, wallet_id, amount_minor, position, reason, by_whom"
        " from order_refund"}),
    "approvals": Family(_approvals, test_approvals.DAMAGES),
    "play_money": Family(_play_money, {**test_play_money.DAMAGES,
        "a transfer of a void belongs to nothing": "update transfer set cause = 77 where kind = 7"}),
    "provisional": Family(_provisional, test_provisional.DAMAGES),
    "fundings": Family(_fundings, FUNDINGS),
    "claims": Family(_claims, test_claims.DAMAGES),
    "refills": Family(_refills, test_refills.DAMAGES),
    "checks": Family(_checks, CHECKS),
    "usage": Family(_usage, OTHERS),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What audits say of one damage: the rules that a full one finds broken, and the doubts of those from a checkpoint."""

    damage: str
    rules: frozenset[str]
    old: str | None
    new: str | None


@pytest.fixture(scope="module")
async def planted(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """Each damage, seen by all audits. Old rows were there at the checkpoint, new ones have come since."""
    seen = []
    for name, family in FAMILIES.items():
        data_dir = tmp_path_factory.mktemp(name)
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(server.database(f"audit_{name}"))
            database = await Database.open(url, pool_size=3)
            stack.push_async_callback(database.close)
            empty = await checkpoint_of(database, data_dir)
            facts = await family.furnish(database, data_dir)
            async with database.snapshot(scratch=True) as tx:
                outcome = await verify_since(tx, empty, INVARIANTS)
                assert outcome.doubt is None, (name, outcome.doubt)
            furnished = await checkpoint_of(database, data_dir)
            for damage, statement in family.damages.items():
                seen.append(await _plant(database, damage, statement.format_map(facts), furnished, empty))
    return seen


async def checkpoint_of(database: Database, data_dir: Path) -> Checkpoint:
    """The checkpoint after an audit that found nothing."""
    report = await Audit(database, data_dir).run()
    assert report.ok, report.findings
    async with database.snapshot() as tx:
        found = await CheckpointKeeper(data_dir).read(tx)
    assert isinstance(found, Checkpoint)
    return found


async def _plant(database: Database, damage: str, statement: str, furnished: Checkpoint, empty: Checkpoint) -> Seen:
    async with damaged_books(database, statement) as tx:
        rules = frozenset(finding.rule for finding in await findings_of(tx, INVARIANTS))
        doubts = []
        for checkpoint in (furnished, empty):
            savepoint = tx.transaction()
            await savepoint.start()
            doubts.append((await verify_since(tx, checkpoint, INVARIANTS)).doubt)
            await savepoint.rollback()
    return Seen(damage, rules, *doubts)


@pytest.mark.parametrize("rule", [invariant.rule for invariant in INVARIANTS])
async def test_what_breaks_an_invariant_is_found_in_old_and_new_rows(planted: list[Seen], rule: str) -> None:
    breaking = [seen for seen in planted if rule in seen.rules]
    assert breaking
    assert [seen.damage for seen in breaking if seen.old is None] == []
    assert [seen.damage for seen in breaking if seen.new is None] == []


async def test_every_damage_is_one_to_both_kinds_of_audit(planted: list[Seen]) -> None:
    assert [seen for seen in planted if not seen.rules or seen.old is None or seen.new is None] == []


def test_every_invariant_has_a_part_of_each_of_its_tables() -> None:
    """One that has none runs over everything each time, which is right and grows with the shop."""
    uncovered = {one.rule: parts.tables_of(one.sql) for one in INVARIANTS if not parts.covers(one.scope, one.sql)}
    assert uncovered == {}
    watched = {one.name for one in parts.WATCHED} | parts.SEEN_WHOLE | {"sale"}
    assert set().union(*(parts.tables_of(one.sql) for one in INVARIANTS)) <= watched
    assert {one.scope for one in INVARIANTS} == set(Scope) - {Scope.EVERYTHING}


# The checkpoint -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def audit(database: Database, tmp_path: Path) -> Audit:
    """An audit that has seen four orders and a credit, and nothing wrong."""
    await test_ledger.furnished(database)
    made = Audit(database, tmp_path)
    report = await made.run()
    assert (report.ok, report.since, report.why) == (True, None, "there is no checkpoint yet")
    return made


async def execute(database: Database, *statements: str) -> None:
    """As a superuser may."""
    async with database.transaction() as tx:
        for statement in statements:
            await tx.execute(statement)


async def test_an_audit_takes_up_where_the_last_one_stopped(audit: Audit, database: Database) -> None:
    first = await audit.run()
    await (await customer(database, ghs_minor=500)).check_books()
    second = await audit.run()
    assert first.since is not None
    assert second.since is not None
    assert second.since > first.since == first.everything_at == second.everything_at
    assert (first.ok, second.ok, first.why, second.why) == (True, True, "", "")
    assert (second.transfers, second.orders, second.rules) == (first.transfers + 1, first.orders, first.rules)
    full = await audit.run(full=True)
    assert (full.since, full.why, full.transfers) == (None, "it was asked for", second.transfers)
    assert full.everything_at is not None
    assert full.everything_at > second.since


async def test_what_is_found_is_found_again_until_it_is_right(audit: Audit, database: Database) -> None:
    await execute(database, "update wallet set balance_minor = balance_minor + 1")
    for why in ("what has changed since the checkpoint breaks: wallet balances", "there is no checkpoint yet"):
        report = await audit.run()
        assert {finding.rule for finding in report.findings} == {test_ledger.BALANCE}
        assert report.why.startswith(why)
    await execute(database, "update wallet set balance_minor = balance_minor - 1")
    assert (await audit.run()).ok
    assert (await audit.run()).since is not None


@pytest.mark.parametrize(
    "change",
    [
        "update audit_checkpoint set body = replace(body, 'everything', 'Everything')",
        "update audit_checkpoint set seal = decode('00', 'hex')",
    ],
)
async def test_a_broken_seal_is_a_finding_and_everything_is_recomputed(
    audit: Audit, database: Database, change: str
) -> None:
    await execute(database, change)
    report = await audit.run()
    assert [finding.rule for finding in report.findings] == [SEAL_RULE]
    assert (report.since, report.rules[-1]) == (None, SEAL_RULE)
    again = await audit.run()
    assert again.ok
    assert again.since is not None


async def test_an_older_checkpoint_that_is_put_back_is_not_taken_up(audit: Audit, database: Database) -> None:
    await execute(database, "create table put_back as select * from audit_checkpoint")
    await audit.run()
    await execute(
        database,
        "update audit_checkpoint set (body, seal) = (select body, seal from put_back)",
        "drop table put_back",
    )
    report = await audit.run()
    assert (report.ok, report.since) == (True, None)
    assert "was restored" in report.why


async def test_after_a_restore_everything_is_recomputed(server: Server, tmp_path: Path) -> None:
    """A copy of the whole database, checkpoint included, under another name."""
    async with server.database("audit_source") as url:
        source = await Database.open(url, pool_size=2)
        try:
            await test_ledger.furnished(source)
            assert [(await Audit(source, tmp_path).run()).why for _ in range(2)] == ["there is no checkpoint yet", ""]
        finally:
            await source.close()
        await server.command("create database audit_restored template audit_source")
        restored = await Database.open(server.url("audit_restored"), pool_size=2)
        try:
            again = Audit(restored, tmp_path)
            report = await again.run()
            assert (report.ok, report.since) == (True, None)
            assert "was restored" in report.why
            assert (await again.run()).since is not None
        finally:
            await restored.close()
            await server.command("drop database audit_restored with (force)")


async def test_without_the_right_key_there_is_no_checkpoint(audit: Audit, database: Database, tmp_path: Path) -> None:
    elsewhere = Audit(database, tmp_path / "elsewhere")
    assert (await elsewhere.run()).why == "there is no checkpoint yet"
    assert (await elsewhere.run()).since is not None
    assert (await audit.run()).since is not None
    (tmp_path / FILE).write_text("nonsense")
    for _ in range(2):
        report = await audit.run()
        assert (report.ok, report.since) == (True, None)
        assert "no key" in report.why


async def test_a_trigger_that_does_not_fire_always_leaves_no_checkpoint(audit: Audit, database: Database) -> None:
    await execute(database, "alter table orders disable trigger orders_removal")
    await execute(database, "alter table orders enable trigger orders_removal")
    assert "was restored, or its triggers" in (await audit.run()).why
    assert (await audit.run()).why == "the trigger orders_removal does not fire always"
    await execute(database, "alter table orders enable always trigger orders_removal")
    assert "was restored, or its triggers" in (await audit.run()).why
    assert (await audit.run()).why == ""


async def test_triggers_that_were_off_meanwhile_are_noticed(audit: Audit, database: Database) -> None:
    await execute(
        database,
        "alter table orders disable trigger all",
        "delete from attempt",
        "delete from orders where state = 'failed'",
        "alter table orders enable trigger all",
    )
    report = await audit.run()
    assert not report.ok
    assert "triggers were changed" in report.why
    await execute(
        database, "alter table orders enable always trigger orders_removal, enable always trigger orders_emptied"
    )


async def test_notes_of_removed_rows_cannot_be_taken_away(audit: Audit, database: Database) -> None:
    # Emptying the database for this test has left some.
    await execute(database, "set local session_replication_role = replica", "delete from audit_removal")
    assert (await audit.run()).ok
    await execute(
        database,
        "set local session_replication_role = replica",
        "delete from orders where state = 'failed'",
        "delete from audit_removal where removed_at = now()",
    )
    report = await audit.run()
    assert not report.ok
    assert report.why == "notes of removed rows are missing"


async def test_freezing_and_rewriting_tables_leaves_the_checkpoint_good(audit: Audit, database: Database) -> None:
    async with database.connection() as tx:
        await tx.execute("vacuum (freeze, analyze)", timeout=60)
        await tx.execute("vacuum full transfer", timeout=60)
        await tx.execute("cluster orders using orders_pkey", timeout=60)
    report = await audit.run()
    assert (report.ok, report.why) == (True, "")


# Tables that are too large to be read each time ------------------------------------------------------------------------------


async def test_large_tables_are_read_in_rounds(database: Database, tmp_path: Path) -> None:
    """Of orders on six pages one is read each time: a change of an old row is found within a round, a new sale at once."""
    ama = await customer(database, ghs_minor=450 * 200)
    placement = OrderPlacement(database)
    try:
        await placement.place_all([ama.wants() for _ in range(100)])
        taken = await checkpoint_of(database, tmp_path)
        pages = taken.laps["orders"].pages
        assert pages > 2
        await placement.place_all([ama.wants() for _ in range(10)])
    finally:
        await placement.close()
    async with database.connection() as tx:
        transaction = tx.transaction(isolation="repeatable_read")
        await transaction.start()
        await tx.execute("update orders set state = 'failed', due_at = null where id = (select max(id) from orders)")
        assert await _doubts(tx, taken, pages=1, rounds=1)
        await transaction.rollback()

        transaction = tx.transaction(isolation="repeatable_read")
        await transaction.start()
        assert await _doubts(tx, taken, pages=1, rounds=2 * pages) == []
        await tx.execute("update orders set price_minor = price_minor + 1 where id = (select min(id) from orders)")
        assert await _doubts(tx, taken, pages=1, rounds=pages + 1)
        await transaction.rollback()


async def _doubts(tx: Any, taken: Checkpoint, *, pages: int, rounds: int) -> list[str]:
    """What so many audits after each other doubt, of which each reads so many pages of a table."""
    doubts = []
    for _ in range(rounds):
        savepoint = tx.transaction()
        await savepoint.start()
        outcome = await verify_since(tx, taken, INVARIANTS, pages=pages)
        await savepoint.rollback()
        if outcome.doubt is not None:
            doubts.append(outcome.doubt)
        else:
            taken = msgspec.structs.replace(taken, below=outcome.below, laps=outcome.laps)
    return doubts


# While the shop sells -------------------------------------------------------------------------------------------------------


async def test_audits_from_checkpoints_hold_while_the_shop_sells(database: Database, tmp_path: Path) -> None:
    ama = await customer(database, ghs_minor=450 * 400)
    placement, done, reports = OrderPlacement(database), asyncio.Event(), []

    async def sell() -> None:
        try:
            for _ in range(40):
                await placement.place_all([ama.wants() for _ in range(10)])
        finally:
            done.set()
            await placement.close()

    async def look() -> None:
        one = Audit(database, tmp_path)
        while not done.is_set():
            reports.append(await one.run())
        reports.append(await one.run())

    await asyncio.gather(look(), sell())
    assert [report.findings for report in reports if report.findings] == []
    assert [report.why for report in reports[1:] if report.why] == []
    assert reports[-1].orders == 400


async def test_a_transaction_that_was_open_at_the_checkpoint_is_seen_later(audit: Audit, database: Database) -> None:
    async with database.connection() as tx:
        transaction = tx.transaction()
        await transaction.start()
        await tx.execute("insert into attempt (order_id, number, provider, reference, state, cost_minor, started_at)"
                         " select id, 2, 'simulator', 'x', 'unknown', 1, now() from orders where state = 'accepted'")  # fmt: skip
        assert (await audit.run()).since is not None
        await transaction.commit()
    report = await audit.run()
    assert {finding.rule for finding in report.findings} == {test_ledger.ATTEMPTS}


async def test_what_telvend_removes_itself_is_no_reason_to_recompute(audit: Audit, database: Database) -> None:
    async with database.transaction() as tx:
        row = await tx.fetchrow("select wallet_id, position from wallet_failed")
        await tx.execute("delete from wallet_failed")
        await tx.execute("insert into wallet_failed values ($1, $2, false)", *row)
    report = await audit.run()
    assert (report.ok, report.why) == (True, "")


# The commands -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
async def test_an_audit_says_which_invariant_it_is_at(audit: Audit, full: bool) -> None:
    told: list[tuple[int, int, str, int]] = []
    report = await audit.run(full=full, progress=lambda *words: told.append(words))
    assert (report.since is None) is full
    assert [(at, of, transfers) for at, of, _, transfers in told] == [
        (at, len(report.rules), report.transfers) for at in range(1, len(report.rules) + 1)
    ]
    assert sorted(rule for _, _, rule, _ in told) == sorted(report.rules)


def test_audit_is_ledger_check_and_says_what_was_seen_again(data_dir: Path, database_url: str) -> None:
    shop = Shop(database_url)
    shop.sell("mine-1")
    check, again, full = shop.data("ledger", "check"), shop.data("audit"), shop.data("audit", "--full")
    assert check == {key: again[key] for key in check}
    assert (again["full"], again["why_full"]) == (False, "")
    assert again["since"] == again["last_full_at"]
    assert (full["full"], full["since"], full["why_full"]) == (True, None, "it was asked for")
    shop.execute("update wallet set balance_minor = balance_minor + 1")
    assert shop.data("audit", code=1)["findings"] == shop.data("ledger", "check", code=1)["findings"] != []
    assert [path.name for path in (data_dir / "book").iterdir() if path.is_file()] == ["audit-key"]
