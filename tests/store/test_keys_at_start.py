"""Keys that are not those of this database: refused before anything is sold where they were given, told where they are missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from telvend.config import Settings
from telvend.database.connections import Database
from telvend.identity.custody import Custody
from telvend.kit.keyfile import KeyRefused, key_text, new_key
from telvend.kit.secret import Secret
from telvend.operator.vouchers.pins import PinKeys
from telvend.upkeep.keys_at_start import require_keys


@pytest.fixture
async def furnished(database: Database, tmp_path: Path) -> Database:
    """A database that was written with keys of the folder `before`."""
    await Custody(database, tmp_path / "before").ready()
    await PinKeys(database, tmp_path / "before").ready()
    return database


async def test_keys_of_the_database_and_no_keys_in_a_fresh_one_are_all_right(
    furnished: Database, tmp_path: Path
) -> None:
    await require_keys(Settings(data_dir=str(tmp_path / "before")), furnished)
    async with furnished.connection() as tx:
        await tx.execute("delete from identity_master")
        await tx.execute("delete from voucher_key")
    await require_keys(Settings(data_dir=str(tmp_path / "new")), furnished)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["identity_master_key", "voucher_key"])
async def test_a_wrong_key_of_the_settings_is_refused(furnished: Database, tmp_path: Path, name: str) -> None:
    text = key_text(new_key())
    settings = Settings(data_dir=str(tmp_path / "before"), **{name: Secret(text)})
    with pytest.raises(KeyRefused, match=f"the setting {name}; bring it back") as refused:
        await require_keys(settings, furnished)
    assert text not in str(refused.value)


@pytest.mark.parametrize("name", ["identity-master-key", "voucher-key"])
async def test_a_key_file_that_holds_no_key_is_refused(furnished: Database, tmp_path: Path, name: str) -> None:
    (tmp_path / "before" / "secret" / name).write_text("hunter2!")
    with pytest.raises(KeyRefused, match=f"{name} holds something that is not base64"):
        await require_keys(Settings(data_dir=str(tmp_path / "before")), furnished)


async def test_a_missing_key_file_is_told_and_the_rest_is_sold(
    furnished: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await require_keys(Settings(data_dir=str(tmp_path / "new")), furnished)
    assert "".join(capsys.readouterr()).count("key_missing") == 2


def test_a_program_is_run_with_the_address_in_its_environment_and_writes_for_its_owner_alone(
    database_url: str, tmp_path: Path
) -> None:
    script = (
        'tr "\\0" " " < /proc/$$/cmdline; umask; psql -Atc "select current_database()"; pg_dump --schema-only --file=d'
    )
    done = subprocess.run(
        [sys.executable, "-m", "telvend", "db", "run", "sh", "-c", script],
        env=os.environ | {"TELVEND_DATABASE_URL": database_url, "TELVEND_DATA_DIR": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    password = database_url.split(":")[2].split("@")[0]
    assert password
    assert password not in done.stdout
    assert done.stdout.split()[-2:] == ["0077", "telvend_shared"]
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o600
