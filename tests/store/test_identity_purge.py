"""Purged is gone: what a purge leaves in the files of PostgreSQL, in its WAL and in backups opens with no key that is left."""

import asyncio
import hashlib
import hmac
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from telvend.authorities.contract import NotOnRecord, Record, VerificationKind
from telvend.database.connections import Database
from telvend.errors import NotFound
from telvend.identity import store
from telvend.identity.custody import Custody
from telvend.identity.model import VerificationResult
from telvend.identity.vault import FILE, MasterKey, MasterKeys
from telvend.kit.secret import Secret
from telvend.upkeep.findings import Level
from telvend.upkeep.keys import check_identity_keys
from tests.conftest import Server
from tests.store.verifications import NUMBER, Obedient, VerificationShop, verification_shop, wants

NGOZI = Record(first_name="Ngoziada", last_name="Okaforlinda", photo="iVBORw0KGgo" * 400)
MONTH = timedelta(days=30)


@pytest.fixture
async def prembly() -> Obedient:
    return Obedient(record=NGOZI)


@pytest.fixture
async def shop(database: Database, tmp_path: Path, prembly: Obedient) -> AsyncIterator[VerificationShop]:
    opened = await verification_shop(database, tmp_path, {"prembly": prembly})
    yield opened
    await opened.close()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the safe with the keyed hash of its number, as a dump of that moment has it."""

    id: int
    master: str
    day: int | None
    wrapped_key: bytes
    number: bytes
    record: bytes
    number_hash: bytes


async def rows(database: Database) -> list[Row]:
    async with database.connection() as tx:
        found = await tx.fetch(
            "select s.id, s.master, s.day, s.wrapped_key, s.number, s.record, v.number_hash"
            " from identity_sealed s join verification v using (id) order by id"
        )
    return [Row(**dict(row)) for row in found]


async def put_back(shop: VerificationShop, kept: Iterable[Row]) -> None:
    """Restore rows from a dump of before the purge."""
    async with shop.database.transaction() as tx:
        for row in kept:
            await tx.execute(
                "update verification set purged_at = null, number_hash = $2 where id = $1", row.id, row.number_hash
            )
            await tx.execute(
                "insert into identity_sealed (id, master, day, wrapped_key, number, record)"
                " values ($1, $2, $3, $4, $5, $6)",
                row.id, row.master, row.day, row.wrapped_key, row.number, row.record,
            )  # fmt: skip


def derived(key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(key)


def opened_with(word: str, row: Row) -> str | None:
    """What somebody gets out of a row who has one word of the key file, and knows how everything is sealed."""
    master = MasterKeys(Path("nowhere"), Secret(word)).all[0]
    raw = master._bytes
    wrapping = {
        (raw, None),
        *((derived(raw, f"telvend identity: {name}"), None) for name in ("wrapping", "days", "wrapping of a day")),
    }
    looking = [derived(raw, f"telvend identity: {name}") for name in ("look-up", "look-up of a day")]
    for day in range(master.days.first, master.days.first + 500):
        state = master.days.state(day)
        wrapping.add((derived(state, "telvend identity: wrapping of a day"), day))
        looking.append(derived(state, "telvend identity: look-up of a day"))
    if any(hmac.digest(key, f"nin {NUMBER}".encode(), hashlib.sha256) == row.number_hash for key in looking):
        return NUMBER
    for key, day in wrapping:
        for suffix in {"", f" {day}", f" {row.day}"}:
            try:
                bound_to = f"telvend identity key {row.id} {row.master}{suffix}".encode()
                own = AESGCM(key).decrypt(row.wrapped_key[:12], row.wrapped_key[12:], bound_to)
            except InvalidTag:
                continue
            bound_to = f"telvend identity number {row.id}".encode()
            return AESGCM(own).decrypt(row.number[:12], row.number[12:], bound_to).decode()
    return None


def on_disk(server: Server, pieces: Iterable[bytes]) -> set[bytes]:
    """Those of the pieces that stand in table files or WAL of the server."""
    folder = server._cluster.data_dir / "postgres"
    found: set[bytes] = set()
    for file in (path for part in ("base", "pg_wal") for path in (folder / part).rglob("*") if path.is_file()):
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            continue  # PostgreSQL has just removed it.
        found |= {piece for piece in pieces if piece in content}
    return found


async def aged(shop: VerificationShop, checked: VerificationResult, days: int = 40) -> None:
    await shop.value(
        "update verification set created_at = created_at - make_interval(days => $2) where id = $1 returning 1",
        checked.verification.id, days,
    )  # fmt: skip


def words(shop: VerificationShop) -> list[str]:
    return (shop.data_dir / FILE).read_text().split()


async def test_what_stands_on_the_disk_after_a_purge_opens_with_no_key_that_is_left(
    shop: VerificationShop, server: Server
) -> None:
    old = await shop.check(use_real_api=True)
    await aged(shop, old)
    young = await shop.check("70000000001", use_real_api=True)
    before, (word,) = await rows(shop.database), words(shop)
    assert opened_with(word, before[0]) == NUMBER
    purged = await shop.identity.purge(MONTH)
    assert (purged.count, purged.moved, purged.still_opens) == (1, 1, False)
    await server.command("checkpoint")
    # The bytes are there all the same: nobody can promise to take them out of a disk, a replica or a backup.
    assert on_disk(server, [before[0].wrapped_key, before[0].number]) == {before[0].wrapped_key, before[0].number}
    assert len(words(shop)) == 1
    for left in words(shop):
        assert opened_with(left, before[0]) is None
        assert opened_with(left, before[1]) is None  # It was wrapped anew; the old wrapping is as dead.
    assert word not in "".join(path.read_text() for path in (shop.data_dir / "secret").iterdir())
    for process in (shop.identity, shop.another_process()):
        opened = await process.detail(shop.ama, VerificationKind.NIN, young.verification.id)
        assert (opened.number, opened.record) == (young.number, NGOZI)
        with pytest.raises(NotFound):
            await process.detail(shop.ama, VerificationKind.NIN, old.verification.id)
    await shop.check_books()


async def test_what_a_purge_left_is_found_used_again_and_purged_in_its_turn(
    shop: VerificationShop, prembly: Obedient
) -> None:
    await aged(shop, await shop.check(use_real_api=True))
    young = await shop.check("70000000001", "r", use_real_api=True)
    assert (await shop.identity.purge(MONTH)).count == 1
    again = await shop.check("70000000001", use_real_api=True)
    assert (again.verification.reused_id, again.record) == (young.verification.id, NGOZI)
    assert (await shop.check("70000000001", "r", use_real_api=True)).replayed
    assert prembly.asked == 2
    # Three purges on one day are no trouble.
    for checked in (young, again):
        before = await rows(shop.database)
        await aged(shop, checked)
        assert (await shop.identity.purge(MONTH)).count == 1
        assert [opened_with(word, before[0]) for word in words(shop)] == [None]
    assert (await shop.identity.purge(MONTH)).count == 0
    assert await shop.value("select count(*) from identity_sealed") == 0
    assert (await shop.check("70000000002", use_real_api=True)).record == NGOZI
    await shop.check_books()


async def test_a_purge_with_nothing_to_purge_leaves_the_key_as_it_is(shop: VerificationShop) -> None:
    assert (await shop.identity.purge(MONTH)).key_place is None
    assert not (shop.data_dir / FILE).exists()
    await shop.check()
    before = words(shop)
    purged = await shop.identity.purge(MONTH)
    assert (purged.count, purged.moved) == (0, 0)
    assert words(shop) == before


@pytest.mark.parametrize("analysed", [False, True])
async def test_a_number_is_looked_for_in_the_index_however_many_days_there_are(
    shop: VerificationShop, analysed: bool
) -> None:
    await shop.check(use_real_api=True)
    with psycopg.connect(shop.database.url, autocommit=True) as connection:
        connection.execute("""
            insert into verification select (json_populate_record(v, json_build_object(
                'id', v.id + n, 'position', n + 5, 'number_hash', sha256(n::text::bytea)::text))).*
            from verification v, generate_series(1, 20000) n""")
        if analysed:
            connection.execute("analyze verification")
        plan = "\n".join(row[0] for row in connection.execute(f"explain (generic_plan) {store.ON_FILE}"))
        connection.execute("delete from verification where position > 5")
    assert "verification_on_file" in plan
    assert "Seq Scan on verification" not in plan
    assert "verification_pkey" not in plan


@pytest.mark.parametrize("failpoint", ["purge.after_rows", "purge.after_days", "purge.before_keys"])
async def test_a_purge_that_was_killed_is_finished_by_the_next(
    shop: VerificationShop, database_url: str, failpoint: str
) -> None:
    old = await shop.check(use_real_api=True)
    await aged(shop, old)
    young = await shop.check("70000000001", use_real_api=True)
    before = await rows(shop.database)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "telvend", "identity", "purge", "--older-than", "30", "--data-dir", str(shop.data_dir),
        env=os.environ | {"TELVEND_FAILPOINTS": f"{failpoint}=kill", "TELVEND_DATABASE_URL": database_url},
    )  # fmt: skip
    assert await process.wait() == -signal.SIGKILL
    with pytest.raises(NotFound):
        await shop.identity.detail(shop.ama, VerificationKind.NIN, old.verification.id)
    assert (await shop.identity.detail(shop.ama, VerificationKind.NIN, young.verification.id)).record == NGOZI
    assert (await shop.identity.purge(MONTH)).count == 0
    assert [opened_with(word, before[0]) for word in words(shop)] == [None]
    assert (await shop.identity.detail(shop.ama, VerificationKind.NIN, young.verification.id)).record == NGOZI
    await shop.check_books()


async def test_a_purge_while_the_shop_sells_and_changes_its_key_loses_nothing(
    shop: VerificationShop, prembly: Obedient
) -> None:
    for at in range(8):
        await aged(shop, await shop.check(f"6{at:010}", use_real_api=True))
    processes = [shop.identity, shop.another_process({"prembly": prembly})]
    before = await rows(shop.database)

    async def buy(at: int) -> VerificationResult:
        await asyncio.sleep(at / 100)
        return await processes[at % 2].check(shop.ama, wants(f"7{at:010}", f"r{at}", use_real_api=True))

    async def purge(at: int) -> None:
        for _ in range(3):
            await processes[at].purge(MONTH)

    async def rotate() -> None:
        for _ in range(2):
            await processes[1].custody.rotate()

    *bought, _, _, _ = await asyncio.gather(*(buy(at) for at in range(30)), purge(0), purge(1), rotate())
    await processes[0].purge(MONTH)
    fresh = shop.another_process()
    for checked in bought:
        assert checked is not None
        opened = await fresh.detail(shop.ama, VerificationKind.NIN, checked.verification.id)
        assert (opened.number, opened.record) == (checked.number, NGOZI)
    assert {opened_with(word, row) for word in words(shop) for row in before} == {None}
    await shop.check_books()


async def test_rows_of_a_backup_from_before_the_purge_are_as_good_as_purged(
    shop: VerificationShop, prembly: Obedient
) -> None:
    old = await shop.check(use_real_api=True, reference="r")
    await aged(shop, old)
    young = await shop.check("70000000001", use_real_api=True)
    dump = await rows(shop.database)
    await shop.identity.purge(MONTH)
    await put_back(shop, dump[:1])
    with pytest.raises(NotFound):
        await shop.identity.detail(shop.ama, VerificationKind.NIN, old.verification.id)
    with pytest.raises(NotFound):
        await shop.check(use_real_api=True, reference="r")
    assert [one.verification.id for one in await shop.identity.history(shop.ama, VerificationKind.NIN)] == [
        young.verification.id
    ]
    assert [mask for _, mask in await shop.identity.listed("keeper")] == ["700*****001", ""]
    assert (await shop.check(use_real_api=True)).verification.reused_id is None
    assert prembly.asked == 3
    assert (await shop.identity.purge(MONTH)).count == 1
    await shop.check_books()


async def test_another_node_forgets_the_keys_by_itself(
    shop: VerificationShop, database: Database, tmp_path: Path
) -> None:
    await aged(shop, await shop.check(use_real_api=True))
    young = await shop.check("70000000001", use_real_api=True)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "secret").mkdir(parents=True)
    (elsewhere / FILE).write_bytes((shop.data_dir / FILE).read_bytes())
    (elsewhere / FILE).chmod(0o600)
    node = VerificationShop(database, shop.ledger, elsewhere, shop.ama, shop.identity).another_process()
    before = await rows(database)
    await shop.identity.purge(MONTH)
    assert (await node.detail(shop.ama, VerificationKind.NIN, young.verification.id)).record == NGOZI
    await node.forgetting_keys.look()
    (word,) = (elsewhere / FILE).read_text().split()
    assert opened_with(word, before[0]) is None
    assert (await node.detail(shop.ama, VerificationKind.NIN, young.verification.id)).record == NGOZI
    await node.close()


async def test_a_file_that_cannot_be_changed_is_told_and_forgotten_in_memory(
    shop: VerificationShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await aged(shop, await shop.check(use_real_api=True))
    before = await rows(shop.database)
    node = shop.another_process()
    await node.history(shop.ama, VerificationKind.NIN)
    await shop.identity.purge(MONTH)
    await put_back(shop, before)
    (shop.data_dir / FILE).chmod(0o644)
    await node.forgetting_keys.look()
    assert "identity_keys_not_destroyed" in "".join(capsys.readouterr())


async def test_a_key_of_the_settings_is_said_to_open_copies_until_it_is_replaced(
    database: Database, tmp_path: Path, prembly: Obedient, shop: VerificationShop
) -> None:
    given = MasterKey.new().text()
    custody = Custody(database, tmp_path, Secret(given))
    await custody.ready()
    shop.identity._checking._custody = shop.identity.custody = custody
    await aged(shop, await shop.check(use_real_api=True))
    young = await shop.check("70000000001", use_real_api=True)
    before = await rows(database)
    purged = await shop.identity.purge(MONTH)
    assert (purged.count, purged.still_opens, purged.key_place) == (1, True, "the setting identity_master_key")
    assert opened_with(given, before[0]) == NUMBER
    custody.write_moved(tmp_path / "moved")
    text = (tmp_path / "moved").read_text()
    assert opened_with(text.strip(), before[0]) is None
    replaced = Custody(database, tmp_path, Secret(text))
    await replaced.ready()
    shop.identity._checking._custody = shop.identity.custody = replaced
    assert (await shop.identity.detail(shop.ama, VerificationKind.NIN, young.verification.id)).record == NGOZI
    assert (await shop.check("70000000001", use_real_api=True)).verification.reused_id == young.verification.id
    assert not (await shop.identity.purge(MONTH)).still_opens


async def test_a_key_of_the_settings_that_a_rotation_has_retired_opens_copies_too(
    database: Database, tmp_path: Path, prembly: Obedient, shop: VerificationShop
) -> None:
    old, new = MasterKey.new().text(), MasterKey.new().text()
    custody = Custody(database, tmp_path, Secret(old))
    await custody.ready()
    custody = Custody(database, tmp_path, Secret(f"{new},{old}"))
    await custody.rotate()
    await custody.forget_days()
    assert custody.still_opens
    (finding,) = await check_identity_keys(custody)
    assert (finding.level, "moved-key" in finding.advice) == (Level.WARNING, True)
    custody.write_moved(tmp_path / "moved")
    assert (tmp_path / "moved").read_text() == f"{new}\n"
    replaced = Custody(database, tmp_path, Secret(new))
    (finding,) = await check_identity_keys(replaced)
    assert finding.level is Level.OK
    (finding,) = await check_identity_keys(Custody(database, tmp_path, Secret(old)))
    assert (finding.level, "bring it back" in finding.text) == (Level.FAILURE, True)


# A shop from before there were days -----------------------------------------------------------------------------------------


async def plain(shop: VerificationShop) -> None:
    """Make the safe as the version before made it: no days, and the master key itself in force."""
    await shop.identity.custody.ready()
    key = MasterKeys(shop.data_dir).all[0].plain
    assert key is not None
    async with shop.database.transaction() as tx:
        await tx.execute("delete from identity_master")
        await tx.execute("insert into identity_master (id) values ($1)", key.id)


async def test_a_shop_from_before_goes_on_as_it_is_until_its_first_purge(shop: VerificationShop) -> None:
    await plain(shop)
    old, young = await shop.check(use_real_api=True), await shop.check("70000000001", "r", use_real_api=True)
    assert {row.day for row in await rows(shop.database)} == {None}
    assert (await shop.check("70000000001", use_real_api=True)).verification.reused_id == young.verification.id
    await aged(shop, old)
    before, (word,) = await rows(shop.database), words(shop)
    assert opened_with(word, before[0]) == NUMBER
    node = shop.another_process()
    await node.history(shop.ama, VerificationKind.NIN)
    assert (await shop.identity.purge(MONTH)).count == 1
    assert None not in {row.day for row in await rows(shop.database)}
    assert [opened_with(left, row) for left in words(shop) for row in before] == [None] * 3
    for process in (shop.identity, node, shop.another_process()):
        assert (await process.detail(shop.ama, VerificationKind.NIN, young.verification.id)).record == NGOZI
        assert (await process.check(shop.ama, wants("70000000001", "r", use_real_api=True))).replayed
    await shop.check_books()


async def test_what_the_version_before_had_purged_is_destroyed_by_the_first_purge(shop: VerificationShop) -> None:
    await plain(shop)
    await shop.check(use_real_api=True)
    before = await rows(shop.database)
    async with shop.database.transaction() as tx:
        await tx.execute("delete from identity_sealed")
        await tx.execute("update verification set purged_at = now(), number_hash = null")
    assert (await shop.identity.purge(MONTH)).count == 0
    assert [opened_with(word, before[0]) for word in words(shop)] == [None]
    assert (await shop.check(use_real_api=True)).verification.reused_id is None


async def test_what_an_authority_writes_about_nobody_is_not_kept(shop: VerificationShop, prembly: Obedient) -> None:
    prembly.answer = NotOnRecord(f"No citizen with NIN {NUMBER}, did you mean Ngoziada?")
    await shop.check(use_real_api=True)
    assert await shop.value("select text from verification") == ""
