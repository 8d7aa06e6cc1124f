"""Settings: the later source wins, and whatever cannot be is refused in one sentence that says where it stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.config import PREFIX, SECRETS, Settings, SettingsRefused, SimulatorSettings, described, load
from telvend.kit.secret import Secret

URL = "postgresql://shop:hunter2@db/shop"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "telvend.toml").write_text(text)


def sentence(overrides: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(SettingsRefused) as refused:
        load(overrides, environment or {})
    text = str(refused.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_each_source_wins_over_the_ones_before(folder: Path) -> None:
    write(folder, 'port = 1001\nworkers = 2\nlog_level = "debug"\nhost = "::1"')
    environment = {"TELVEND_PORT": "1002", "TELVEND_WORKERS": "3", "TELVEND_DATA_DIR": str(folder)}
    loaded = load({"port": 1003, "host": None}, environment)
    assert (loaded.settings.port, loaded.settings.workers, loaded.settings.log_level) == (1003, 3, "debug")
    assert loaded.settings.host == "::1"  # An option that was not given takes nothing away.
    assert [loaded.origins[name] for name in ("port", "workers", "log_level", "pool_size")] == [
        "command line", "environment", "file", "default",
    ]  # fmt: skip
    assert loaded.file == str(folder / "telvend.toml")


def test_nothing_configured_is_a_working_shop_in_the_users_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    loaded = load({}, {})
    assert loaded.settings.data_dir == str(folder / "telvend")
    assert loaded.settings.database_url is None
    assert loaded.file is None
    assert set(loaded.origins.values()) == {"default"}


def test_an_empty_variable_is_as_good_as_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    empty = {PREFIX + name.upper(): "" for name in described()} | {"TELVEND_CONFIG": ""}
    assert load({}, empty).settings == load({}, {}).settings


def test_a_data_directory_below_home_is_found_with_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # systemd hands `~` over as it stands.
    monkeypatch.setenv("HOME", str(folder))
    write(folder, "port = 1001")
    loaded = load({}, {"TELVEND_DATA_DIR": "~"})
    assert loaded.settings.data_dir == str(folder)
    assert loaded.settings.port == 1001


def test_a_relative_data_directory_becomes_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert load({"data_dir": "shop"}, {}).settings.data_dir == str(folder / "shop")


def test_the_named_file_is_read_instead_of_the_one_in_the_data_directory(folder: Path) -> None:
    write(folder, "port = 1001")
    other = folder / "other.toml"
    other.write_text("workers = 4")
    loaded = load({"data_dir": str(folder)}, {"TELVEND_CONFIG": str(other)})
    assert (loaded.settings.port, loaded.settings.workers) == (8000, 4)


def test_a_named_file_that_is_not_there_is_refused(folder: Path) -> None:
    assert "TELVEND_CONFIG" in sentence({}, {"TELVEND_CONFIG": str(folder / "nothing.toml")})
    assert "TELVEND_CONFIG" in sentence({}, {"TELVEND_CONFIG": str(folder)})


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port = 1\nport = 2", b"\x00"])
def test_a_file_that_is_no_toml_is_refused_by_its_name(folder: Path, content: bytes) -> None:
    (folder / "telvend.toml").write_bytes(content)
    assert str(folder / "telvend.toml") in sentence({"data_dir": str(folder)})


def test_a_misspelt_setting_is_refused_and_not_passed_over(folder: Path) -> None:
    write(folder, "wrokers = 4")
    text = sentence({"data_dir": str(folder)})
    assert "'wrokers'" in text
    assert "telvend settings" in text
    write(folder, "[simulators.mine]\nsteerd = false")
    assert "simulators (file)" in sentence({"data_dir": str(folder)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "0"), ("port", "65536"), ("port", "http"), ("port", "80.5"), ("workers", "0"), ("workers", "65"),
        ("log_level", "loud"), ("log_format", "JSON "), ("drain_s", "-1"), ("drain_s", "301"), ("drain_s", "nan"),
        ("fulfilment", "perhaps"), ("pool_size", "0"), ("lane_waiting", "0"), ("simulators", "{"), ("simulators", "3"),
        ("simulators", "{ a = { timeout_s = 0 } }"), ("simulators", "{ a = { priority = 'x' } }"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    variable = PREFIX + name.upper()
    assert sentence({}, {variable: value}).startswith(f"{variable} is ")


def test_a_file_is_read_strictly_and_names_itself(folder: Path) -> None:
    for text in ('port = "8001"', "port = true", "workers = 1.0", "fulfilment = 1"):
        write(folder, text)
        assert "(file)" in sentence({"data_dir": str(folder)})


def test_switches_of_the_environment_are_words_or_digits() -> None:
    for word, expected in (("true", True), ("1", True), ("false", False), ("0", False), ("False", False)):
        assert load({}, {"TELVEND_FULFILMENT": word}).settings.fulfilment is expected


def test_simulators_are_named_in_the_file_or_inline_in_the_environment(folder: Path) -> None:
    write(folder, "[simulators.cheap]\npriority = 5\n[simulators.slow]\ntimeout_s = 9.5\nsteered = false\n")
    assert load({"data_dir": str(folder)}, {}).settings.simulators == {
        "cheap": SimulatorSettings(priority=5),
        "slow": SimulatorSettings(timeout_s=9.5, steered=False),
    }
    inline = load({}, {"TELVEND_SIMULATORS": "{ one = { priority = 1 } }"})
    assert inline.settings.simulators == {"one": SimulatorSettings(priority=1)}


def test_a_fresh_shop_delivers_live_orders_to_its_own_network_and_plays_with_a_simulator() -> None:
    fresh = load({}, {}).settings
    assert (fresh.own_network, fresh.own_network_creates_subscribers) == (True, True)
    assert fresh.simulators == {"simulator": SimulatorSettings(live=False, steered=True)}


def test_no_secret_is_seen_in_the_settings_or_in_a_refusal(folder: Path) -> None:
    redis = URL.replace("postgresql:", "redis:")
    write(folder, f'redis_url = "{redis}"')
    loaded = load({"data_dir": str(folder)}, {"TELVEND_DATABASE_URL": URL})
    assert "hunter2" not in repr(loaded)
    assert loaded.settings.database_url == Secret(URL)
    assert loaded.settings.redis_url == Secret(redis)
    assert "hunter2" not in sentence({}, {"TELVEND_DATABASE_URL": redis})
    assert "hunter2" not in sentence({}, {"TELVEND_DATABASE_URL": URL, "TELVEND_PORT": "x"})


def test_every_secret_is_of_the_type_that_prints_stars() -> None:
    hidden = {name for name, kind in Settings.__annotations__.items() if "Secret" in str(kind)}
    assert hidden == SECRETS.keys()


def test_every_setting_has_a_sentence() -> None:
    texts = described()
    assert texts.keys() == set(Settings.__struct_fields__)
    assert all(texts.values())


@given(st.sampled_from(sorted(set(described()) - {"data_dir"})), st.text(st.characters(exclude_characters="\x00")))
def test_any_text_in_a_variable_is_a_value_or_one_sentence(name: str, text: str) -> None:
    try:
        load({}, {PREFIX + name.upper(): text})
    except SettingsRefused as refused:
        found = str(refused)
    else:
        return
    assert found.startswith(PREFIX + name.upper())


@pytest.mark.parametrize(
    ("environment", "proxies"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("127.0.0.1, 10.0.0.0/8,2001:DB8::/32,", ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")),
        ('["127.0.0.1", "::1"]', ("127.0.0.1", "::1")),
        ("[]", ()),
    ],
)
def test_trusted_proxies_in_the_environment_are_separated_by_commas_or_a_list(
    folder: Path, environment: str, proxies: tuple[str, ...]
) -> None:
    given = {"TELVEND_TRUSTED_PROXIES": environment, "TELVEND_DATA_DIR": str(folder)}
    assert load({}, given).settings.trusted_proxies == proxies


def test_trusted_proxies_in_the_file_are_a_list_and_none_by_default(folder: Path) -> None:
    assert load({"data_dir": str(folder)}, {}).settings.trusted_proxies == ()
    write(folder, 'trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]')
    assert load({"data_dir": str(folder)}, {}).settings.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("environment", "words"),
    [("10.0.0.0/40", "'10.0.0.0/40' is not an IP address or network"), ("proxy.internal", "'proxy.internal' is not"),
     ("10.0.0.1/8", "the network is 10.0.0.0/8"), ("0.0.0.0/0", "every address"), ("*", "'*' is not"),
     ("[1]", "Expected `str`"), ("[", "TELVEND_TRUSTED_PROXIES"), ("127.0.0.1 10.0.0.1", "is not")],
)  # fmt: skip
def test_a_wrong_entry_of_trusted_proxies_is_named(environment: str, words: str) -> None:
    text = sentence({}, {"TELVEND_TRUSTED_PROXIES": environment})
    assert "TELVEND_TRUSTED_PROXIES" in text
    assert words in text


def test_trusted_proxies_in_the_file_must_be_a_list(folder: Path) -> None:
    write(folder, 'trusted_proxies = "127.0.0.1"')
    assert "trusted_proxies (file)" in sentence({"data_dir": str(folder)})
