"""Backups of a shop that sells, and what a burnt one is brought back from: to the pesewa, held, and never half.

One shop sells, is backed up, sells on, and is backed up once more; every test restores that, or a copy with some damage.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.e2e.conftest import Keys
from tests.e2e.shop import TELVEND, Shop, purchase, wait_for

EMAIL = "ama@example.com"
OPENING, PRICE = 1_000_000.00, 4.50


@dataclass(frozen=True)
class Story:
    """What happened to the shop. `first` was taken after 3 sales; 2 more are in the books at `moment`; 9 at `second`."""

    shop: Shop
    place: Path
    identity: Path
    recipient: str
    voucher_key: str
    first: dict[str, Any]
    moment: datetime
    second: dict[str, Any]


def telvend(*words: str | Path, ok: bool = True, failpoints: str = "", **variables: str) -> Any:
    """A command with `--json`, by somebody who has no settings. Its output, or what it says on stderr where not `ok`."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TELVEND_")}
    done = subprocess.run(
        [TELVEND, *map(str, words), "--json"],
        env=environment | variables | ({"TELVEND_FAILPOINTS": failpoints} if failpoints else {}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stderr or done.stdout
    return json.loads(done.stdout) if done.stdout.startswith("{") else done.stderr


def sell(shop: Shop, key: str, *references: str) -> list[int]:
    with shop.client(key) as client:
        return [client.post("purchase", json=purchase(1, reference)).status_code for reference in references]


def balance(data_dir: Path) -> float:
    wallets = telvend("wallet", "show", EMAIL, "--data-dir", data_dir)["wallets"]
    return float(next(one["balance"] for one in wallets if one["mode"] == "live" and one["currency"] == "GHS"))


@pytest.fixture(scope="module")
def story(copied: Callable[[], Shop], keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("backups")
    recipient = telvend("backup", "identity", folder / "identity")["recipient"]
    shop = copied()
    place = folder / "place"
    (shop.data_dir / "telvend.toml").write_text(f'backup_to = "{place}"\nbackup_recipient = "{recipient}"\n')
    (shop.data_dir / "telvend.toml").chmod(0o600)
    shop.start()
    assert sell(shop, keys.ama, "s1", "s2", "s3") == [200] * 3
    shop.wait_until_final()
    telvend("voucher", "issue", "--amount", "5", "--currency", "GHS", "--count", "1", "--data-dir", shop.data_dir)
    first = shop.telvend("backup", "--full")
    assert sell(shop, keys.ama, "s4", "s5") == [200] * 2
    shop.wait_until_final()
    moment = datetime.now(UTC)
    time.sleep(0.3)
    assert sell(shop, keys.ama, "s6", "s7", "s8", "s9") == [200] * 4
    shop.wait_until_final()
    second = shop.telvend("backup")
    wait_for(lambda: not list((shop.data_dir / "backup" / "wal").iterdir()), 20, "the write-ahead log is archived")
    voucher_key = (shop.data_dir / "secret" / "voucher-key").read_text()
    yield Story(shop, place, folder / "identity", recipient, voucher_key, first, moment, second)
    shop.end()


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Shop]:
    """Where a test may restore to."""
    shop = Shop(tmp_path / "restored")
    yield shop
    shop.end()
    shutil.rmtree(shop.data_dir, ignore_errors=True)


def test_a_shop_comes_back_as_it_was_at_a_moment_and_sells_only_when_released(
    story: Story, keys: Keys, restored: Shop
) -> None:
    into = restored.data_dir
    at = story.moment.isoformat()
    done = telvend("restore", story.place, "--into", into, "--at", at, "--identity", story.identity)
    assert (done["backup"], done["held"], done["keys"]) == (story.first["id"], True, ["voucher-key"])
    assert datetime.fromisoformat(done["known_until"]) <= story.moment
    assert balance(into) == OPENING - 5 * PRICE
    assert (into / "secret" / "voucher-key").read_text() == story.voucher_key
    status = telvend("shop", "status", "--data-dir", into, ok=False)
    assert (status["sells"], status["reconcile"]) == (False, [])
    assert status["restores"][0]["backup"] == f"{story.first['id']} of {story.place}"
    restored.start(halted=True)
    # What is known is answered, and nothing is sold.
    assert sell(restored, keys.ama, "s5", "s6") == [409, 503]
    assert telvend("shop", "release", "--reason", "compared", "--by", "esi", "--data-dir", into)["released"]
    wait_for(restored.is_ready, 10, "it sells again")
    assert sell(restored, keys.ama, "s6") == [200]
    restored.wait_until_final()
    assert balance(into) == OPENING - 6 * PRICE
    restored.check_books()
    # Both go on by themselves: the other one has sold more.
    assert balance(story.shop.data_dir) == OPENING - 9 * PRICE


@pytest.mark.soak
def test_the_newest_backup_is_the_chain_and_all_that_was_sold(story: Story, restored: Shop) -> None:
    assert (story.first["kind"], story.second["kind"]) == ("full", "incremental")
    assert story.second["parent"] == story.first["id"]
    done = telvend("restore", story.second["backup"], "--into", restored.data_dir, "--identity", story.identity)
    assert done["backup"] == story.second["id"]
    assert balance(restored.data_dir) == OPENING - 9 * PRICE
    assert telvend("ledger", "check", "--full", "--data-dir", restored.data_dir)["ok"]
    # The settings are there too, for their owner alone.
    toml = restored.data_dir / "telvend.toml"
    assert (toml.read_text(), stat.S_IMODE(toml.stat().st_mode)) == (
        (story.shop.data_dir / "telvend.toml").read_text(), 0o600,
    )  # fmt: skip


def test_a_backup_is_verified_and_the_doctor_and_metrics_say_so(story: Story) -> None:
    shop = story.shop
    assert shop.run("doctor", "--json").stdout.count("No backup was ever restored") == 1
    found = shop.telvend("backup", "verify", str(story.place), "--identity", str(story.identity))
    assert (found["ok"], found["problems"], found["notes"]) == (True, [], [])
    assert found["orders"] == 9
    assert 0 < found["restore_seconds"] < found["seconds"]
    levels = {
        one["check"]: one["level"] for one in json.loads(shop.run("doctor", "--json").stdout)["findings"]
    }  # fmt: skip
    assert [levels[name] for name in ("backup", "backup verified", "write-ahead log", "backup of keys")] == ["ok"] * 4
    text = httpx.get(f"{shop.url}/metrics").text
    for name in ("telvend_backup_last_success_timestamp_seconds", "telvend_backup_last_verified_timestamp_seconds"):
        (value,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert time.time() - 600 < float(value) <= time.time()
    assert re.findall(r"^telvend_wal_archive_failed_total (\S+)$", text, re.MULTILINE) == ["0.0"], shop.log()[-1500:]


def test_nobody_reads_keys_or_records_without_the_identity(story: Story) -> None:
    files = [path for path in story.place.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.name == "backup.json" or path.read_bytes().startswith(b"age-encryption.org/v1\n"), path
        assert story.voucher_key.strip().encode() not in path.read_bytes()
    for folder in (path for path in [story.place, *story.place.rglob("*")] if path.is_dir()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {"keys.tar.age", "base.tar.gz.age"} <= {path.name for path in files}


def test_without_a_recipient_keys_stay_out_unless_somebody_says_so(story: Story, tmp_path: Path) -> None:
    shop = story.shop
    # The setting names a recipient; another data directory's settings do not.
    copy = tmp_path / "settings.toml"
    copy.write_text("")
    common = {"TELVEND_CONFIG": str(copy), "TELVEND_DATA_DIR": str(shop.data_dir)}
    out = telvend("backup", tmp_path / "out", **common)
    assert (out["keys"], out["keys_left_out"], out["encrypted_for"]) == ([], ["voucher-key"], [])
    assert any("LEFT OUT: voucher-key" in note for note in out["notes"])
    beside = telvend("backup", tmp_path / "beside", "--keys-beside-records", **common)
    assert (beside["keys"], beside["keys_left_out"]) == (["voucher-key"], [])
    key = story.voucher_key.strip().encode()
    assert not any(key in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert any(key in path.read_bytes() for path in (tmp_path / "beside").rglob("*") if path.is_file())
    # It is good for what it says that it holds.
    found = telvend("backup", "verify", tmp_path / "out")
    assert found["ok"]
    assert "The voucher-key is not in this backup" in found["notes"][0]


def test_moments_that_cannot_be_reached_are_refused_with_those_that_can(story: Story, restored: Shop) -> None:
    into = restored.data_dir

    def refused(*words: str) -> str:
        return str(telvend("restore", story.place, "--into", into, "--identity", story.identity, *words, ok=False))

    first = datetime.fromisoformat(story.first["ended_at"])
    before = refused("--at", "2026-01-01T00:00:00Z")
    assert f"nothing before 2026-01-01 00:00:00 UTC in {story.place}" in before
    assert f"the oldest possible moment is {first:%Y-%m-%d %H:%M:%S} UTC" in before
    assert "the newest possible moment is" in refused("--at", datetime.now(UTC).isoformat())
    assert "is in the future" in refused("--at", "2099-01-01")
    assert "is no moment" in refused("--at", "yesterday")
    assert "There is no backup 20200101T000000Z-abcdef" in refused("--backup", "20200101T000000Z-abcdef")
    assert "There is no backup in" in str(telvend("restore", story.identity.parent, "--into", into, ok=False))
    assert not into.exists()


def test_nothing_is_restored_over_anything(story: Story, tmp_path: Path) -> None:
    running = telvend(
        "restore", story.place, "--into", story.shop.data_dir, "--identity", story.identity, ok=False
    )  # fmt: skip
    assert "is using" in running
    (tmp_path / "some" / "photos").mkdir(parents=True)
    some = telvend("restore", story.place, "--into", tmp_path / "some", "--identity", story.identity, ok=False)
    assert "There is something in" in some
    assert "photos" in some
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["photos"]


# Damage ---------------------------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "the copy of the database is cut off": ("FIRST/base.tar.gz.age", cut, "is cut off"),
    "a byte of it is changed": ("FIRST/base.tar.gz.age", flip, "was changed|does not open"),
    "it is gone": ("FIRST/base.tar.gz.age", remove, "is missing"),
    "the keys are gone": ("FIRST/keys.tar.age", remove, "keys.tar.age is missing"),
    "a byte of the keys is changed": ("FIRST/keys.tar.age", flip, "was changed|does not open"),
    "the record is changed": ("FIRST/backup.json", flip, "cannot be read|was changed"),
    "a segment of the log is gone": ("wal/*/0*", remove, "is missing: nothing after it can be restored"),
    "a byte of it is damaged": ("wal/*/0*", flip, "was changed|does not open"),
}

SLOW = {"a byte of it is damaged", "the record is changed", "a byte of the keys is changed"}
"""What is read as another kind of damage is."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.soak) if kind in SLOW else kind for kind in DAMAGE]
)
def test_planted_damage_is_found(kind: str, story: Story, tmp_path: Path) -> None:
    pattern, damage, said = DAMAGE[kind]
    shutil.copytree(story.place, tmp_path / "place")
    found = sorted((tmp_path / "place").glob(pattern.replace("FIRST", story.first["id"])))
    if pattern.startswith("wal"):
        # One that the backup is continued with, and not the last.
        found = [path for path in found if path.name[:24] > start_of(tmp_path / "place", story.first["id"])][:1]
    damage(found[0])
    words = ("backup", "verify", tmp_path / "place", "--backup", story.first["id"], "--identity", story.identity)
    result = telvend(*words, ok=False)
    text = result if isinstance(result, str) else " ".join(result["problems"])
    assert re.search(said, text), text
    into = tmp_path / "into"
    if "log is gone" not in kind:
        telvend("restore", *words[2:], "--into", into, ok=False)
        assert not (into / "postgres").exists()


def start_of(place: Path, backup: str) -> str:
    return str(json.loads((place / backup / "backup.json").read_text())["start_segment"])


def test_a_chain_without_its_full_backup_and_a_wrong_identity_are_found(story: Story, tmp_path: Path) -> None:
    shutil.copytree(story.place, tmp_path / "place")
    telvend("backup", "identity", tmp_path / "other")
    wrong = telvend("backup", "verify", tmp_path / "place", "--identity", tmp_path / "other", ok=False)
    assert "does not open" in wrong["problems"][0]
    shutil.rmtree(tmp_path / "place" / story.first["id"])
    chain = telvend("backup", "verify", tmp_path / "place", "--identity", story.identity, ok=False)
    assert chain["problems"] == [f"The backup {story.second['id']} continues {story.first['id']}, which is not there."]


@pytest.mark.soak
def test_a_key_that_the_database_was_not_written_with_is_found(story: Story, tmp_path: Path) -> None:
    """Somebody has exchanged the file in the data directory: the backup of it is whole, and would load no voucher."""
    key = story.shop.data_dir / "secret" / "voucher-key"
    shop = story.shop
    try:
        key.write_text(f"{'A' * 43}=\n")
        made = shop.telvend("backup", str(tmp_path / "place"))
    finally:
        key.write_text(story.voucher_key)
    found = telvend("backup", "verify", made["backup"], "--identity", story.identity, ok=False)
    assert len(found["problems"]) == 1
    assert "voucher" in found["problems"][0]


# Killed, and away -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point", [pytest.param("backup.while_copying", marks=pytest.mark.soak), "backup.before_record"]
)
def test_a_killed_backup_leaves_nothing_that_looks_whole_and_the_next_one_clears_up(
    point: str, story: Story, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    common = {"TELVEND_DATA_DIR": str(story.shop.data_dir)}
    telvend("backup", place, ok=False, failpoints=f"{point}=kill", **common)
    listed = telvend("backup", "list", place)
    assert (listed["backups"], len(listed["unfinished"])) == ([], 1)
    assert "was never finished" in telvend("restore", place, "--into", tmp_path / "into", ok=False)
    made = telvend("backup", place, **common)
    listed = telvend("backup", "list", place)
    assert ([one["id"] for one in listed["backups"]], listed["unfinished"]) == ([made["id"]], [])
    assert {path.name for path in place.iterdir()} == {made["id"]}


@pytest.mark.soak
def test_a_killed_restore_leaves_no_shop_and_can_be_begun_again(story: Story, restored: Shop) -> None:
    into = restored.data_dir
    words = ("restore", story.first["backup"], "--into", into, "--identity", story.identity)
    telvend(*words, ok=False, failpoints="restore.before_database_is_in_place=kill")
    assert ".restoring" in {path.name for path in into.iterdir()}
    assert "There is no shop" in telvend("ledger", "check", "--data-dir", into, ok=False)
    telvend(*words)
    assert balance(into) >= OPENING - 9 * PRICE
    assert not (into / ".restoring").exists()


def test_two_backups_at_once_are_one(story: Story, tmp_path: Path) -> None:
    variables = {"TELVEND_DATA_DIR": str(story.shop.data_dir), "TELVEND_FAILPOINTS": "backup.before_record=sleep:3"}
    slow = subprocess.Popen(
        [TELVEND, "backup", tmp_path / "one", "--json"],
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: list((tmp_path / "one").glob("*/manifest*")), 20, "the first one has copied")
    second = telvend("backup", tmp_path / "two", ok=False, TELVEND_DATA_DIR=str(story.shop.data_dir))
    assert "Another backup of this shop is being taken" in second
    assert slow.wait(20) == 0


def test_older_backups_go_and_never_what_is_needed(story: Story, tmp_path: Path) -> None:
    place, common = tmp_path / "place", {"TELVEND_DATA_DIR": str(story.shop.data_dir)}
    made = [telvend("backup", place, "--full", **common)]
    made.append(telvend("backup", place, "--incremental", **common))
    made.append(telvend("backup", place, "--incremental", "--keep", "1", **common))
    assert [len(one["removed"]) for one in made] == [0, 0, 0]
    last = telvend("backup", place, "--full", "--keep", "1", **common)
    assert sorted(last["removed"]) == sorted(one["id"] for one in made)
    assert {path.name for path in place.iterdir()} == {last["id"]}


@pytest.mark.soak
def test_sales_go_on_while_the_archive_is_away_and_it_is_filled_when_it_is_back(story: Story, keys: Keys) -> None:
    shop, aside = story.shop, story.place.with_name("aside")
    story.place.rename(aside)
    story.place.write_text("a file in the way, as a disk that is not mounted leaves a folder")
    try:
        failures = int(wal_failures(shop))
        assert sell(shop, keys.ama, "away-1") == [200]
        shop.wait_until_final()
        switch_segment(shop)
        wait_for(lambda: wal_failures(shop) > failures, 20, "the archive was missed")
        waiting = json.loads(shop.run("doctor", "--json").stdout)
        assert any(one["check"] == "write-ahead log" for one in waiting["findings"])
        assert sell(shop, keys.ama, "away-2") == [200]
    finally:
        story.place.unlink()
        aside.rename(story.place)
    wait_for(lambda: not list((shop.data_dir / "backup" / "wal").iterdir()), 30, "the archive is filled")


def wal_failures(shop: Shop) -> float:
    (value,) = re.findall(
        r"^telvend_wal_archive_failed_total (\S+)$", httpx.get(f"{shop.url}/metrics").text, re.MULTILINE
    )  # fmt: skip
    return float(value)


def switch_segment(shop: Shop) -> None:
    import psycopg

    state = json.loads((shop.data_dir / "server.json").read_text())
    password = (shop.data_dir / "secret" / "postgres-password").read_text().strip()
    with psycopg.connect(state["url"], user="postgres", password=password, autocommit=True) as connection:
        connection.execute("select pg_switch_wal()")


@pytest.mark.soak
def test_a_bucket_holds_backups_as_a_folder_does(story: Story, restored: Shop) -> None:
    import boto3

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="shop")
        variables = {
            "TELVEND_BACKUP_S3_ENDPOINT": endpoint,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
        }
        data_dir = story.shop.data_dir
        made = telvend("backup", "--to", "s3://shop/t", TELVEND_DATA_DIR=str(data_dir), **variables)
        assert made["backup"] == f"s3://shop/t/{made['id']}"
        sold = balance(data_dir)
        telvend("restore", made["backup"], "--into", restored.data_dir, "--identity", story.identity, **variables)
        assert balance(restored.data_dir) == sold
    finally:
        server.stop()
