"""What the doctor says of files that somebody else may read or write."""

from pathlib import Path

import pytest

from telvend.kit.permissions import folder_refusal
from telvend.upkeep.findings import Level
from telvend.upkeep.permissions import check_permissions


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for made in (folder, folder / "secret", folder / "run"):
        made.mkdir(mode=0o700)
    (folder / "secret" / "voucher-key").touch(mode=0o600)
    (folder / "telvend.toml").touch(mode=0o600)
    return folder


def test_a_shop_of_its_owner_alone_is_well(shop: Path) -> None:
    (finding,) = check_permissions(shop, shop / "telvend.toml")
    assert (finding.level, finding.advice) == (Level.OK, "")


@pytest.mark.parametrize(
    ("name", "mode", "level"),
    [
        (".", 0o777, Level.FAILURE),
        (".", 0o755, Level.WARNING),
        ("secret", 0o755, Level.FAILURE),
        ("secret/voucher-key", 0o644, Level.FAILURE),
        ("run", 0o770, Level.FAILURE),
    ],
)
def test_what_others_may_do_is_found_with_the_command_that_mends_it(
    shop: Path, name: str, mode: int, level: Level
) -> None:
    (shop / name).chmod(mode)
    (finding,) = check_permissions(shop, shop / "telvend.toml")
    assert finding.level is level
    assert finding.advice.startswith("Run: chmod go")
    assert str(shop / name) in finding.text


def test_nothing_is_said_of_a_data_directory_that_does_not_exist(tmp_path: Path) -> None:
    assert check_permissions(tmp_path / "nowhere") == []


def test_a_settings_file_of_its_own_is_looked_at_without_a_data_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "telvend.toml"
    file.touch(mode=0o600)
    (finding,) = check_permissions(tmp_path / "nowhere", file)
    assert finding.level is Level.OK
    file.chmod(0o644)
    (finding,) = check_permissions(tmp_path / "nowhere", file)
    assert finding.level is Level.WARNING


def test_what_is_no_folder_gets_no_advice_on_its_permissions(tmp_path: Path) -> None:
    assert folder_refusal(Path("/dev/null"), "The data directory") is None
