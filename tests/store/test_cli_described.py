"""`telvend provider` with `connector = "http"`: a description is checked, looked at and used, alone and from the settings."""

import json
from pathlib import Path

import pytest

from telvend.providers.described.examples import NAMES, example
from tests.store.test_cli import Shop
from tests.unit.providers.described.test_reader import GOOD

PHONE = "08031234567"


@pytest.fixture
def folder(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory, where the settings file is."""
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    monkeypatch.setenv("TELVEND_DATA_DIR", str(made))
    return made


@pytest.fixture
def shop(database_url: str, folder: Path) -> Shop:
    return Shop(database_url)


def test_a_file_is_checked_before_there_are_settings(shop: Shop, folder: Path) -> None:
    file = folder / "acme.toml"
    file.write_text(GOOD)
    found = shop.data("provider", "check", str(file))
    assert (found["ok"], found["provider"], found["connector"], found["float"]) == (True, "acme", "http", None)
    assert [note["where"] for note in found["warnings"]] == ["credentials and float"]
    assert found["products"]["deliverable"] == 0
    text = found["products"]["undeliverable"][0]["text"]
    assert "telvend product offer" in text


def test_every_mistake_of_a_file_is_named_with_its_line(shop: Shop, folder: Path) -> None:
    file = folder / "acme.toml"
    file.write_text(
        GOOD.replace("max_length = 40", "max_length = 4").replace("401 =", "500 =").replace("\nurl =", "\nulr =", 1)
    )
    result = shop.run("provider", "check", str(file), code=1)
    for part in (
        "wrong    acme.toml:11 reference.max_length: leaves 4 characters",
        "wrong    acme.toml:17 purchase.data.ulr: is no key here; did you mean url?",
        "wrong    acme.toml:39 answer.http.500: is a 5xx",
        "acme (http) could not sell.",
    ):
        assert part in result.stdout
    assert (
        "is a 5xx"
        in shop.run("provider", "try", str(file), "--product", "NG-MTN-AIRTIME", "--phone", PHONE, code=1).stderr
    )


def test_a_request_is_shown_from_a_file_alone(shop: Shop, folder: Path) -> None:
    file = folder / "wazodata.toml"
    file.write_text(example("wazodata"))
    told = ("provider", "try", str(file), "--product", "NG-MTN-AIRTIME", "--phone", PHONE, "--amount", "200")
    request = shop.data(*told, "--dry-run")["request"]
    assert (request["method"], request["url"]) == ("POST", "https://api.wazodata.example/v1/airtime")
    assert request["headers"]["authorization"] == "Bearer ********"
    body = json.loads(request["body"])
    assert (body["network"], body["amount"], body["phone"]) == ("mtn-ng", "200.00", PHONE)
    assert "Only a provider of the settings can deliver" in shop.run(*told, "--yes", code=1).stderr


def test_what_the_settings_lack_is_named(shop: Shop, folder: Path) -> None:
    (folder / "acme.toml").write_text(GOOD)
    (folder / "telvend.toml").write_text(
        'own_network = false\n[providers.acme]\nconnector = "http"\nfile = "acme.toml"\nclient_id = "hunter2"\n'
    )
    result = shop.run("provider", "check", "acme", code=1)
    assert "wrong    api_key: is missing: acme.toml sends {api_key}" in result.stdout
    assert "wrong    client_id: is not used by acme.toml" in result.stdout
    assert "hunter2" not in result.output


def test_examples_are_listed_and_printed_as_they_are(shop: Shop) -> None:
    assert [one["name"] for one in shop.data("provider", "example")["examples"]] == list(NAMES)
    for name in NAMES:
        assert name in shop.run("provider", "example").stdout
        assert shop.run("provider", "example", name).stdout == example(name)
        assert shop.data("provider", "example", name) == {"name": name, "text": example(name)}
    assert "There is no example acme; there are easyaccess" in shop.run("provider", "example", "acme", code=1).stderr
