"""Backups of a database that is not ours: a dump, what its server has to do, and an embedded shop made of it."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from telvend.cli import app
from tests.store.test_cli import Shop


@pytest.fixture
def shop(database_url: str, data_dir: Path) -> Shop:
    return Shop(database_url)


def test_a_server_of_ones_own_is_dumped_and_restores_to_an_embedded_shop(
    shop: Shop, data_dir: Path, tmp_path: Path
) -> None:
    email, _ = shop.sell("r-1", "r-2")
    shop.run("voucher", "issue", "--amount", "5", "--currency", "GHS", "--count", "1")
    place = tmp_path / "place"
    made = shop.data("backup", str(place), "--keys-beside-records")
    assert (made["kind"], made["keys"]) == ("dump", ["voucher-key"])
    assert "Point-in-time recovery is the server's own" in " ".join(made["notes"])
    assert "archives nothing" in " ".join(made["notes"])
    assert {path.name for path in (place / made["id"]).iterdir()} == {
        "backup.json", "dump.gz", "keys.tar", "settings.tar",
    }  # fmt: skip
    verified = CliRunner().invoke(app, ["backup", "verify", str(place), "--json"])
    assert verified.exit_code == 0, verified.stderr
    assert json.loads(verified.stdout)["orders"] == 2
    into = tmp_path / "restored"
    restored = CliRunner().invoke(app, ["restore", made["backup"], "--into", str(into), "--json"])
    assert restored.exit_code == 0, restored.stderr
    found = CliRunner().invoke(app, ["wallet", "show", email, "--data-dir", str(into), "--json"])
    assert json.loads(found.stdout, parse_float=Decimal) == shop.data("wallet", "show", email)
    assert CliRunner().invoke(app, ["shop", "status", "--data-dir", str(into)]).exit_code == 1
    # A dump is of one moment.
    at = CliRunner().invoke(app, ["restore", str(place), "--into", str(tmp_path / "x"), "--at", made["ended_at"]])
    assert "the newest possible moment is" in at.stderr


def test_what_was_not_said_is_asked_for_and_what_contradicts_itself_is_refused(shop: Shop, tmp_path: Path) -> None:
    assert "Where are the backups kept?" in shop.refused("backup")
    assert "Name the place once" in shop.refused("backup", str(tmp_path), "--to", "s3://x/y")
    assert "exclude each other" in shop.refused("backup", str(tmp_path), "--full", "--incremental")
    assert "begins with age1" in shop.refused("backup", str(tmp_path), "--recipient", "me")
    assert "is not a folder" in shop.refused("backup", "list", str(tmp_path / "nothing"))
    assert shop.data("backup", "list", str(tmp_path))["backups"] == []
    assert "There is no backup in" in shop.refused("backup", "verify", str(tmp_path))
