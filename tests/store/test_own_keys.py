"""What resellers do with their keys by themselves: made once, limits of their own, revoked by their owner, last used."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from telvend.bootstrap import APIS
from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotAuthenticated, NotFound
from telvend.funding.credits.service import MOST_PLAY_MONEY, Credits
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger.service import Ledger
from telvend.resellers.model import Reseller
from telvend.resellers.service import MOST_KEYS, OWN_PURCHASE_LIMIT, OWN_READ_LIMIT, Resellers
from tests.clocks import FakeClock


def resellers_of(database: Database, clock: FakeClock | None = None) -> Resellers:
    return Resellers(database, Ledger(database), APIS, clock)


@pytest.fixture
async def ama(database: Database) -> Reseller:
    return await resellers_of(database).add("ama@example.com", "Ama", "0241234567")


@pytest.fixture
async def kofi(database: Database) -> Reseller:
    return await resellers_of(database).add("kofi@example.com", "Kofi", "0241234568")


async def test_a_wish_makes_one_key_however_often_and_from_how_many_processes_it_comes(
    database: Database, ama: Reseller
) -> None:
    answers = await asyncio.gather(
        *(
            resellers_of(database).add_own_key(ama.id, "netpluse", Mode.TEST, once="a form")
            for _ in range(4)
        )
    )  # fmt: skip
    assert sum(answer is not None for answer in answers) == 1
    assert len(await resellers_of(database).own_keys(ama.id)) == 1
    assert await resellers_of(database).add_own_key(ama.id, "netpluse", Mode.TEST, once="a form") is None


async def test_the_same_wish_of_two_resellers_makes_two_keys(database: Database, ama: Reseller, kofi: Reseller) -> None:
    resellers = resellers_of(database)
    first = await resellers.add_own_key(ama.id, "madapi", Mode.LIVE, once="x")
    second = await resellers.add_own_key(kofi.id, "madapi", Mode.LIVE, once="x")
    assert first is not None
    assert second is not None
    assert first.secret is not None
    caller = await resellers.authenticate("madapi", first.text.reveal())
    assert caller.reseller_id == ama.id
    assert first.text.reveal() not in repr(first)


async def test_a_reseller_gives_its_keys_ten_times_the_usual_limits_and_no_more(
    database: Database, ama: Reseller
) -> None:
    resellers = resellers_of(database)
    with pytest.raises(InvalidInput) as refused:
        await resellers.add_own_key(ama.id, "netpluse", Mode.LIVE, OWN_READ_LIMIT + 1, once="x")
    assert refused.value.field == "read_limit"
    made = await resellers.add_own_key(ama.id, "netpluse", Mode.LIVE, OWN_READ_LIMIT, OWN_PURCHASE_LIMIT, once="x")
    assert made is not None
    key = made.key
    with pytest.raises(InvalidInput) as refused:
        await resellers.change_limits(key.id, read_limit=60, purchase_limit=OWN_PURCHASE_LIMIT + 1, owner=ama.id)
    assert refused.value.field == "purchase_limit"
    # The operator gives more, and its owner may come back to that.
    await resellers.change_limits(key.id, read_limit=5000, purchase_limit=5000)
    changed = await resellers.change_limits(key.id, read_limit=5000, purchase_limit=40, owner=ama.id)
    assert (changed.read_limit, changed.purchase_limit) == (5000, 40)
    caller = await resellers.authenticate("netpluse", made.text.reveal())
    assert (caller.read_limit, caller.purchase_limit) == (5000, 40)


async def test_limits_of_a_revoked_key_stay_as_they_are(database: Database, ama: Reseller) -> None:
    resellers = resellers_of(database)
    made = await resellers.add_own_key(ama.id, "netpluse", Mode.LIVE, once="x")
    assert made is not None
    await resellers.revoke_key(made.key.id, owner=ama.id)
    with pytest.raises(InvalidInput, match="revoked"):
        await resellers.change_limits(made.key.id, read_limit=1, purchase_limit=1, owner=ama.id)


async def test_a_reseller_has_a_bounded_number_of_working_keys_also_when_many_are_made_at_once(
    database: Database, ama: Reseller
) -> None:
    resellers = resellers_of(database)
    for number in range(MOST_KEYS - 1):
        await resellers.add_own_key(ama.id, "netpluse", Mode.TEST, once=str(number))
    answers = await asyncio.gather(
        *(resellers.add_own_key(ama.id, "netpluse", Mode.TEST, once=f"more {number}") for number in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, InvalidInput) for answer in answers) == 2
    keys = await resellers.own_keys(ama.id)
    assert len(keys) == MOST_KEYS
    await resellers.revoke_key(keys[0].id, owner=ama.id)
    assert await resellers.add_own_key(ama.id, "netpluse", Mode.TEST, once="again") is not None


async def test_somebody_elses_key_is_not_found(database: Database, ama: Reseller, kofi: Reseller) -> None:
    resellers = resellers_of(database)
    made = await resellers.add_own_key(ama.id, "netpluse", Mode.TEST, once="x")
    assert made is not None
    for key_id in (made.key.id, str(made.key.id), uuid4(), "nonsense"):
        with pytest.raises(NotFound):
            await resellers.revoke_key(key_id, owner=kofi.id)
        with pytest.raises(NotFound):
            await resellers.change_limits(key_id, read_limit=1, purchase_limit=1, owner=kofi.id)
        with pytest.raises(NotFound):
            await resellers.caller_of_own_key(kofi.id, key_id)
        with pytest.raises(NotFound):
            await resellers.own_key(kofi.id, key_id)
    assert (await resellers.caller_of_own_key(ama.id, made.key.id)).mode is Mode.TEST
    assert (await resellers.own_keys(ama.id))[0].revoked_at is None
    await resellers.revoke_key(made.key.id, owner=ama.id)
    with pytest.raises(NotFound):
        await resellers.caller_of_own_key(ama.id, made.key.id)


async def test_the_last_use_is_written_once_for_many_requests_and_never_goes_back(
    database: Database, ama: Reseller
) -> None:
    clock = FakeClock()
    here, there = resellers_of(database, clock), resellers_of(database, clock)
    made = await here.add_own_key(ama.id, "netpluse", Mode.LIVE, once="x")
    assert made is not None
    for node in (here, there):
        node.refreshed(clock.monotonic())
        for _ in range(3):
            await node.authenticate("netpluse", made.text.reveal())
            assert node.cached("netpluse", made.text.reveal()) is not None
    assert (await here.own_keys(ama.id))[0].used_at is None
    await here.write_uses()
    first = (await here.own_keys(ama.id))[0].used_at
    assert first is not None
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=30)
    # The other process writes later of a use that was earlier.
    clock.pass_time(120)
    await there.write_uses()
    assert (await here.own_keys(ama.id))[0].used_at == first
    await here.write_uses()
    assert (await here.own_keys(ama.id))[0].used_at == first


async def test_what_no_key_has_asked_for_is_no_use_of_one(database: Database, ama: Reseller) -> None:
    resellers = resellers_of(database)
    made = await resellers.add_own_key(ama.id, "netpluse", Mode.LIVE, once="x")
    assert made is not None
    with pytest.raises(NotAuthenticated):
        await resellers.authenticate("madapi", made.text.reveal())
    await resellers.revoke_key(made.key.id)
    with pytest.raises(NotAuthenticated):
        await resellers.authenticate("netpluse", made.text.reveal())
    await resellers.write_uses()
    assert (await resellers.own_key(ama.id, made.key.id)).used_at is None


async def test_play_money_fills_a_test_wallet_up_once_for_each_wish_and_never_a_live_one(
    database: Database, ama: Reseller
) -> None:
    crediting = Credits(database, Ledger(database))
    for _ in range(2):
        assert await crediting.add_play_money(ama.id, Money(500_00, GHS), "a form") == Money(500_00, GHS)
    with pytest.raises(InvalidInput, match="hold more"):
        await crediting.add_play_money(ama.id, Money(MOST_PLAY_MONEY * 100, GHS), "another form")
    async with database.connection() as tx:
        rows = await tx.fetch("select mode, sum(balance_minor)::bigint as minor from wallet group by mode")
    assert {row["mode"]: row["minor"] for row in rows} == {"live": 0, "test": 500_00}


async def test_play_money_is_bounded_when_several_ask_at_once(database: Database, ama: Reseller) -> None:
    crediting = Credits(database, Ledger(database))
    half = Money(MOST_PLAY_MONEY * 100 // 2, GHS)
    answers = await asyncio.gather(
        *(crediting.add_play_money(ama.id, half, f"form {number}") for number in range(4)), return_exceptions=True
    )
    assert sum(isinstance(answer, InvalidInput) for answer in answers) == 2
