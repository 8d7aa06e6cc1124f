"""The safe of identity checks: what stands in the database, who read what, purging, changing the master key, sweeping."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from telvend.authorities.contract import NotOnRecord, Record, VerificationKind
from telvend.database.connections import Database
from telvend.errors import Busy, InvalidInput, NotFound, TooManyRequests
from telvend.funding.credits.service import Credits
from telvend.identity.custody import Custody
from telvend.identity.model import SweepSlowed, VerificationPolicy, VerificationResult, VerificationState
from telvend.identity.vault import FILE, MasterKey, VaultRefused
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.sealing import SealBroken
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from tests.store.verifications import NUMBER, Obedient, VerificationShop, new_key, verification_shop, wants

PHOTO = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
NGOZI = Record(
    first_name="Ngoziada", last_name="Okaforlinda", mobile="08039998877", address="77 Hidden Lane", photo=PHOTO
)
NOBODY = "71234560404"


@pytest.fixture
async def prembly() -> Obedient:
    return Obedient(record=NGOZI)


@pytest.fixture
async def shop(database: Database, tmp_path: Path, prembly: Obedient) -> AsyncIterator[VerificationShop]:
    opened = await verification_shop(database, tmp_path, {"prembly": prembly})
    yield opened
    await opened.close()


async def everything_in(database: Database) -> str:
    """Every row of every table as text, as a dump would show it; what is binary in hexadecimal."""
    async with database.connection() as tx:
        tables = await tx.fetch(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables"
            " where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'"
        )
        lines = [
            str(row[0])
            for (table,) in tables
            for row in await tx.fetch(f"select everything::text from {table} everything")
        ]
    return "\n".join(lines)


async def age(shop: VerificationShop, days: int) -> None:
    await shop.value("update verification set created_at = created_at - make_interval(days => $1) returning 1", days)


# What stands in the database ------------------------------------------------------------------------------------------------


async def test_no_number_name_or_picture_stands_in_the_database(shop: VerificationShop) -> None:
    await shop.check(use_real_api=True, reference="r")
    await shop.check(use_real_api=True)
    await shop.check(use_real_api=True, kind=VerificationKind.BVN)
    await shop.check(NOBODY)
    await shop.identity.history(shop.ama, VerificationKind.NIN)
    await shop.identity.listed("root")
    dump = (await everything_in(shop.database)).lower()
    assert "verified" in dump
    master = (shop.data_dir / FILE).read_text().split()[0]
    for secret in (NUMBER, NOBODY, "Ngoziada", "Okaforlinda", "08039998877", "Hidden Lane", PHOTO[:40], master):
        assert secret.lower() not in dump
        assert secret.encode().hex() not in dump
    for part in (NUMBER[:6], NUMBER[-6:]):
        assert part not in dump


async def test_a_row_that_was_changed_or_moved_does_not_open(shop: VerificationShop) -> None:
    one, two = await shop.check(use_real_api=True), await shop.check("70000000001", use_real_api=True)
    first, second = one.verification.id, two.verification.id
    for change in (
        "update identity_sealed set record = (select record from identity_sealed where id = $2) where id = $1 returning 1",
        "update identity_sealed set wrapped_key = (select wrapped_key from identity_sealed where id = $2) where id = $1"
        " returning 1",
        "update identity_sealed set number = set_byte(number, 14, get_byte(number, 14) # 1) where id = $1 and $2 > 0"
        " returning 1",
    ):
        async with shop.database.connection() as tx:
            kept = await tx.fetchrow("select * from identity_sealed where id = $1", first)
            assert await tx.fetchval(change, first, second) == 1
        with pytest.raises(SealBroken):
            await shop.identity.detail(shop.ama, VerificationKind.NIN, first)
        async with shop.database.connection() as tx:
            await tx.execute(
                "update identity_sealed set wrapped_key = $2, number = $3, record = $4 where id = $1",
                first, kept["wrapped_key"], kept["number"], kept["record"],
            )  # fmt: skip
    assert (await shop.identity.detail(shop.ama, VerificationKind.NIN, first)).record == NGOZI


async def test_who_read_what_is_on_record(shop: VerificationShop) -> None:
    checked = await shop.check(use_real_api=True, reference="r")
    number = checked.verification.id
    await shop.check(use_real_api=True, reference="r")
    reused = await shop.check(use_real_api=True)
    await shop.identity.history(shop.ama, VerificationKind.NIN)
    await shop.identity.detail(shop.ama, VerificationKind.NIN, number)
    ((_, first), (_, second)) = await shop.identity.listed("keeper")
    assert first == second == "701*****789"
    seen = await shop.identity.accesses(number)
    assert [access.action for access in seen] == [
        "list, masked", "detail", "history", "check, from file", "repeat", "check"
    ]  # fmt: skip
    assert [access.reader for access in seen] == ["keeper", *[str(shop.ama.key_id)] * 5]
    assert [access.reader_kind for access in seen] == ["command line", *["key"] * 5]
    assert set(seen[2].verification_ids) == {number, reused.verification.id}
    assert len(await shop.identity.accesses(limit=2)) == 2
    assert len(await shop.identity.accesses(reused.verification.id)) == 3


# Purging --------------------------------------------------------------------------------------------------------------------


async def test_a_purge_destroys_what_is_known_and_leaves_the_sale(shop: VerificationShop, prembly: Obedient) -> None:
    old, missing = await shop.check(use_real_api=True, reference="r"), await shop.check(NOBODY)
    await age(shop, 40)
    young = await shop.check("70000000001")
    assert (await shop.identity.purge(timedelta(days=30))).count == 2
    assert (await shop.identity.purge(timedelta(days=30))).count == 0
    number = old.verification.id
    with pytest.raises(NotFound):
        await shop.identity.detail(shop.ama, VerificationKind.NIN, number)
    with pytest.raises(NotFound):
        await shop.check(use_real_api=True, reference="r")
    assert [item.verification.id for item in await shop.identity.history(shop.ama, VerificationKind.NIN)] == [
        young.verification.id
    ]
    assert await shop.value("select count(*) from identity_sealed") == 1
    assert await shop.value("select count(*) from verification where number_hash is null") == 2
    async with shop.database.connection() as tx:
        sale = (await shop.identity.by_ids(tx, [number]))[number]
    assert (sale.state, sale.price, sale.expires_at) == (
        VerificationState.VERIFIED,
        old.verification.price,
        old.verification.expires_at,
    )
    assert sale.purged_at is not None
    masks = {item.id: mask for item, mask in await shop.identity.listed("keeper")}
    assert masks == {number: "", missing.verification.id: "", young.verification.id: "700*****001"}
    assert await shop.balance() == 480_000
    # Nothing is left to use again.
    await shop.check(use_real_api=True)
    assert prembly.asked == 2
    await shop.check_books()


async def test_a_purge_of_everything_at_once_is_refused(shop: VerificationShop) -> None:
    with pytest.raises(InvalidInput):
        await shop.identity.purge(timedelta(hours=23))


# The master key -------------------------------------------------------------------------------------------------------------


async def test_a_lost_master_key_is_said_and_never_replaced(
    shop: VerificationShop, database: Database, tmp_path: Path
) -> None:
    await shop.check()
    elsewhere = Custody(database, tmp_path / "elsewhere")
    with pytest.raises(VaultRefused, match="bring it back"):
        await elsewhere.ready()
    assert not (tmp_path / "elsewhere" / FILE).exists()
    lost = VerificationShop(database, shop.ledger, tmp_path / "elsewhere", shop.ama, shop.identity).another_process()
    with pytest.raises(Busy):
        await lost.check(shop.ama, wants())
    with pytest.raises(Busy):
        await lost.history(shop.ama, VerificationKind.NIN)
    assert await shop.balance() == 490_000


async def test_processes_that_start_together_agree_on_one_master_key(database: Database, tmp_path: Path) -> None:
    await asyncio.gather(*(Custody(database, tmp_path).ready() for _ in range(8)))
    async with database.connection() as tx:
        assert await tx.fetchval("select count(*) from identity_master") == 1
    assert len((tmp_path / FILE).read_text().split()) == 1


async def test_a_new_master_key_wraps_everything_again_and_the_old_one_is_forgotten(
    shop: VerificationShop, prembly: Obedient
) -> None:
    old_text = (shop.data_dir / FILE).read_text() if (shop.data_dir / FILE).exists() else ""
    checked = await shop.check(use_real_api=True, reference="r")
    await shop.check(NOBODY, "n")
    before = (shop.data_dir / FILE).read_text()
    neighbour = shop.another_process({"prembly": prembly})
    await neighbour.detail(shop.ama, VerificationKind.NIN, checked.verification.id)
    assert await shop.identity.custody.rotate() == 2
    after = (shop.data_dir / FILE).read_text()
    assert old_text == ""
    assert len(after.split()) == 1
    assert after != before
    # Also in a process that knew only the old one: opening, finding by number, repeats, and what is new.
    for identity in (neighbour, shop.identity, shop.another_process({"prembly": prembly})):
        assert (await identity.detail(shop.ama, VerificationKind.NIN, checked.verification.id)).record == NGOZI
        assert (await identity.check(shop.ama, wants(use_real_api=True, reference="r"))).replayed
        assert (await identity.check(shop.ama, wants(NOBODY, "n"))).replayed
        assert (await identity.check(shop.ama, wants(use_real_api=True))).verification.reused_id is not None
    assert prembly.asked == 1
    assert await shop.value("select count(*) from identity_master where retired_at is not null") == 1
    await shop.check_books()


async def test_a_neighbour_that_knows_only_the_old_master_key_recognises_a_repeat(shop: VerificationShop) -> None:
    await shop.check(reference="r")
    neighbour = shop.another_process()
    await neighbour.check(shop.ama, wants(reference="r"))
    await shop.identity.custody.rotate()
    assert (await neighbour.check(shop.ama, wants(reference="r"))).replayed


async def test_the_master_key_changes_while_the_shop_sells(shop: VerificationShop, prembly: Obedient) -> None:
    processes = [shop.identity, shop.another_process({"prembly": prembly})]

    async def buy(at: int) -> VerificationResult:
        return await processes[at % 2].check(shop.ama, wants(f"7{at:010}", f"r{at}", use_real_api=True))

    async def change(at: int) -> None:
        for _ in range(3):
            await processes[at].custody.rotate()

    *bought, _, _ = await asyncio.gather(*(buy(at) for at in range(30)), change(0), change(1))
    await processes[0].custody.rotate()
    assert len((shop.data_dir / FILE).read_text().split()) == 1
    assert await shop.value("select count(distinct master) from identity_sealed") == 1
    fresh = shop.another_process()
    for checked in bought:
        assert checked is not None
        opened = await fresh.detail(shop.ama, VerificationKind.NIN, checked.verification.id)
        assert (opened.number, opened.record) == (checked.number, NGOZI)
    await shop.check_books()


async def test_a_change_that_was_interrupted_goes_on(shop: VerificationShop, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = await shop.check()
    custody = shop.identity.custody
    before = (shop.data_dir / FILE).read_text().split()

    async def die() -> int:
        raise Busy

    with monkeypatch.context() as patch:
        patch.setattr(custody, "_wrap_again", die)
        with pytest.raises(Busy):
            await custody.rotate()
    both = (shop.data_dir / FILE).read_text().split()
    assert both[1:] == before
    assert (await shop.identity.detail(shop.ama, VerificationKind.NIN, checked.verification.id)).number == Secret(
        NUMBER
    )
    await shop.check("70000000001")
    assert await shop.another_process().custody.rotate() == 1
    assert (shop.data_dir / FILE).read_text().split() == both[:1]
    assert (await shop.identity.detail(shop.ama, VerificationKind.NIN, checked.verification.id)).number == Secret(
        NUMBER
    )


async def test_master_keys_of_the_settings_are_changed_by_putting_one_before(
    database: Database, tmp_path: Path
) -> None:
    one, two = MasterKey.new(), MasterKey.new()
    await Custody(database, tmp_path, Secret(one.text())).ready()
    with pytest.raises(VaultRefused, match="Put a new key before"):
        await Custody(database, tmp_path, Secret(one.text())).rotate()
    with pytest.raises(VaultRefused, match="bring it back"):
        await Custody(database, tmp_path, Secret(two.text())).ready()
    await Custody(database, tmp_path, Secret(f"{two.text()},{one.text()}")).rotate()
    await Custody(database, tmp_path, Secret(two.text())).ready()
    assert not (tmp_path / FILE).exists()


# Sweeping -------------------------------------------------------------------------------------------------------------------

_POLICY = VerificationPolicy(unknown_per_hour=3, numbers_per_hour=6, first_delay_s=0.3)


async def test_a_reseller_that_asks_for_unknown_numbers_is_slowed_down_more_and_more(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = await verification_shop(database, tmp_path, policy=_POLICY)
    for at in range(4):
        await shop.check(f"712345{at}0404")
    await shop.check()  # Let through, and from now on it waits.
    delays = []
    for _ in range(3):
        with pytest.raises(SweepSlowed) as slowed:
            await shop.check()
        assert isinstance(slowed.value, TooManyRequests)
        assert (slowed.value.retry_after_s, slowed.value.limit) == (2 if len(delays) == 2 else 1, 3)
        waiting = await shop.value("select extract(epoch from not_before - now()) from identity_pace")
        delays.append(round(float(waiting) / 0.3))
        await asyncio.sleep(float(waiting) + 0.01)
        await shop.check()
    assert delays == [1, 2, 4]
    (sweep,) = await shop.identity.sweeps()
    assert (sweep.key_id, sweep.reseller_id, sweep.mode, sweep.delays, sweep.unknown) == (
        shop.ama.key_id, shop.ama.reseller_id, Mode.LIVE, 4, 4
    )  # fmt: skip
    shown = "".join(capsys.readouterr())
    assert shown.count("identity_sweep") == 1
    # Another key of the same account has no allowance of its own; its test wallet does.
    email = await shop.value("select email from reseller where id = $1", shop.ama.reseller_id)
    with pytest.raises(SweepSlowed):
        await shop.identity.check(await new_key(database, email), wants())
    await Credits(database, Ledger(database)).add(shop.ama.reseller_id, Money(100_000, NGN), Mode.TEST, "play")
    await shop.identity.check(await new_key(database, email, Mode.TEST), wants())
    # An hour later the reseller is as good as any other; that it swept stays on record.
    await shop.value("update verification set created_at = created_at - interval '1 hour' returning 1")
    await shop.check()
    assert await shop.value("select strikes from identity_pace") == 0
    assert len(await shop.identity.sweeps()) == 1
    await shop.check_books()
    await shop.close()


async def test_a_reseller_that_asks_for_very_many_numbers_is_slowed_down_too(
    database: Database, tmp_path: Path
) -> None:
    shop = await verification_shop(database, tmp_path, policy=_POLICY)
    first = await shop.check("70000000000", "r")
    for at in range(1, 8):
        await shop.check(f"7000000000{at}")
    balance = await shop.balance()
    with pytest.raises(SweepSlowed):
        await shop.check()
    again = await shop.check("70000000000", "r")
    assert (again.replayed, again.record) == (True, first.record)
    assert await shop.balance() == balance
    await shop.close()


async def test_the_same_number_many_times_is_no_sweep(database: Database, tmp_path: Path) -> None:
    shop = await verification_shop(database, tmp_path, policy=_POLICY)
    for _ in range(12):
        await shop.check()
    assert await shop.identity.sweeps() == []
    await shop.close()


async def test_a_burst_of_two_keys_at_two_processes_gets_no_further_than_one_after_the_other(
    database: Database, tmp_path: Path, prembly: Obedient
) -> None:
    """What is being asked at this moment may turn out to be unknown, all of it."""
    shop = await verification_shop(database, tmp_path, {"prembly": prembly}, policy=_POLICY)
    email = await shop.value("select email from reseller where id = $1", shop.ama.reseller_id)
    keys = [shop.ama, await new_key(database, email)]
    processes = [shop.identity, shop.another_process({"prembly": prembly}, _POLICY)]
    prembly.answer = NotOnRecord("nobody")
    prembly.may_answer.clear()
    burst = [
        asyncio.create_task(processes[at % 2].check(keys[at // 2 % 2], wants(f"712345000{at:02}", use_real_api=True)))
        for at in range(40)
    ]
    _, waiting = await asyncio.wait(burst, timeout=2)
    assert len(waiting) == prembly.asked == _POLICY.unknown_per_hour + 1
    prembly.may_answer.set()
    answers = await asyncio.gather(*burst, return_exceptions=True)
    assert Counter(type(answer) for answer in answers) == {VerificationResult: 4, SweepSlowed: 36}
    assert await shop.identity.sweeps() == []  # Nobody has waited for a delay yet.
    # Now that they were all unknown, one is let through, whoever asks, and the next has to wait.
    more = await asyncio.gather(
        *(processes[at % 2].check(keys[at // 2 % 2], wants(f"713345000{at:02}")) for at in range(12)),
        return_exceptions=True,
    )
    assert Counter(type(answer) for answer in more) == {VerificationResult: 1, SweepSlowed: 11}
    await shop.check_books()
    await shop.close()


async def test_a_burst_of_different_numbers_does_not_pass_the_limit_either(database: Database, tmp_path: Path) -> None:
    shop = await verification_shop(
        database, tmp_path, policy=VerificationPolicy(unknown_per_hour=100, numbers_per_hour=6)
    )
    other = shop.another_process(policy=VerificationPolicy(unknown_per_hour=100, numbers_per_hour=6))
    answers = await asyncio.gather(
        *((shop.identity, other)[at % 2].check(shop.ama, wants(f"700000000{at:02}")) for at in range(30)),
        return_exceptions=True,
    )
    # Seven, and the one that is let through as the first of a sweep.
    assert Counter(type(answer) for answer in answers) == {VerificationResult: 8, SweepSlowed: 22}
    await shop.close()
