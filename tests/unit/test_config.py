"""Settings: the later source wins, and whatever cannot be is refused in one sentence that says where it stands."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
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


# What must not be sent, and what others must not read or write -----------------------------------------------------------------

IN_HEADERS = (
    "paystack_secret_key", "paystack_test_secret_key", "prembly_api_key", "prembly_app_id", "dojah_secret_key",
    "dojah_app_id",
)  # fmt: skip


@pytest.mark.parametrize("name", IN_HEADERS)
@pytest.mark.parametrize(
    "wrong", ["hunter2\n", "hunter2\r\nX-Evil: 1", "hunter2 ", "hünter2", "hunter2\x07", "h" * 1001]
)
def test_what_cannot_be_a_header_is_refused_at_start_and_not_repeated(folder: Path, name: str, wrong: str) -> None:
    value = SECRETS.get(name, ("",))[0] + wrong
    text = sentence({}, {f"{PREFIX}{name.upper()}": value, "TELVEND_DATA_DIR": str(folder)})
    assert text == f"{PREFIX}{name.upper()} must be printable ASCII without blanks and line ends."
    (folder / "telvend.toml").write_text(f"{name} = {msgspec.json.encode(value).decode()}")
    assert sentence({"data_dir": str(folder)}).startswith(f"{name} (file) must be printable ASCII")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_that_is_empty_or_blank_is_refused(folder: Path, name: str) -> None:
    for blank in ("", " "):
        (folder / "telvend.toml").write_text(f'{name} = "{blank}"')
        text = sentence({"data_dir": str(folder)})
        assert text.startswith(f"{name} (file) ")
        assert SECRETS[name][0] or text == f"{name} (file) is empty."


@pytest.mark.parametrize("name", ["database_url", "redis_url"])
def test_an_address_with_a_line_end_is_refused(name: str) -> None:
    value = f"{SECRETS[name][0]}hunter2@db/x\n"
    assert sentence({}, {f"{PREFIX}{name.upper()}": value}) == (
        f"{PREFIX}{name.upper()} must not hold blanks, line ends or control characters."
    )


@pytest.mark.parametrize("name", ["identity_master_key", "voucher_key"])
def test_what_is_no_key_is_refused_when_settings_are_read(name: str) -> None:
    good, variable = "A" * 43 + "=", f"{PREFIX}{name.upper()}"
    assert load({}, {variable: f"{good}, {good}\n"}).settings != Settings()
    for wrong, why in (("hunter2!", "is not base64"), ("aHVudGVyMg==", "is 7 bytes in base64 instead of 32")):
        text = sentence({}, {variable: f"{good},{wrong}"})
        assert text == f"{variable} holds something that {why}: no key."
    moved = f"0123456789abcdef.331.{good}"
    if name == "identity_master_key":
        load({}, {variable: moved})
    else:
        assert "is not base64" in sentence({}, {variable: moved})


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702, 0o720])
def test_a_data_directory_that_others_may_write_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "my shop"
    folder.mkdir()
    folder.chmod(mode)
    text = sentence({"data_dir": str(folder)})
    assert text == f"The data directory {folder} may be written by other users; run: chmod go-w '{folder}'."
    folder.chmod(mode & ~0o022)
    assert load({"data_dir": str(folder)}, {}).settings.data_dir == str(folder)


def test_a_data_directory_in_a_folder_that_everybody_writes_is_all_right(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "tmp" / "shop").mkdir(mode=0o755)
    load({"data_dir": str(tmp_path / "tmp" / "shop")}, {})


def test_a_data_directory_of_somebody_else_is_refused_unless_root_works_for_him(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = folder.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 4711)
    if owner != 0:  # What belongs to root, everybody trusts.
        assert "belongs to another user" in sentence({"data_dir": str(folder)})
    else:
        load({"data_dir": str(folder)}, {})
        os.chown(folder, 4712, -1)
        assert "belongs to another user (number 4712)" in sentence({"data_dir": str(folder)})
    monkeypatch.setattr("os.geteuid", lambda: 0)
    load({"data_dir": str(folder)}, {})


def test_a_folder_of_keys_that_others_may_enter_is_refused(folder: Path) -> None:
    (folder / "secret").mkdir(mode=0o755)
    assert "chmod go= " in sentence({"data_dir": str(folder)})
    (folder / "secret").chmod(0o700)
    load({"data_dir": str(folder)}, {})


def test_a_settings_file_with_a_secret_in_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir(mode=0o755)
    write(folder, "port = 1001")
    (folder / "telvend.toml").chmod(0o644)
    load({"data_dir": str(folder)}, {})
    write(folder, 'dojah_secret_key = "hunter2"')
    text = sentence({"data_dir": str(folder)})
    assert text.startswith("The settings file")
    assert "chmod go= " in text
    (folder / "telvend.toml").chmod(0o600)
    load({"data_dir": str(folder)}, {})
    (folder / "telvend.toml").chmod(0o644)
    folder.chmod(0o700)  # Nobody else comes this far.
    load({"data_dir": str(folder)}, {})
    write(folder, "port = 1001")
    (folder / "telvend.toml").chmod(0o666)
    assert "may be written by other users" in sentence({"data_dir": str(folder)})


def test_prefixes_of_numbers_are_a_table_of_the_file_or_toml_in_the_environment(folder: Path) -> None:
    write(folder, '[number_prefixes]\nNG = ["0918"]\nGH = ["0250", "0255"]\n')
    found = load({"data_dir": str(folder)}, {})
    assert found.settings.number_prefixes == {"NG": ("0918",), "GH": ("0250", "0255")}
    for text in ('{NG = ["0918"]}', ' NG = ["0918"] ', 'NG = [\n"0918",\n]'):
        loaded = load({"data_dir": str(folder)}, {"TELVEND_NUMBER_PREFIXES": text})
        assert (loaded.settings.number_prefixes, loaded.origins["number_prefixes"]) == (
            {"NG": ("0918",)},
            "environment",
        )


@pytest.mark.parametrize(
    "text",
    ["0918", "{", "NG = 0918", 'NG = "0918"', "NG = [918]", 'NG = ["918"]', 'NX = ["0918"]', 'NG = ["09"]', "[]"],
)
def test_prefixes_that_cannot_be_are_one_sentence(text: str) -> None:
    assert "TELVEND_NUMBER_PREFIXES" in sentence({}, {"TELVEND_NUMBER_PREFIXES": text})


def test_prefixes_of_the_file_that_cannot_be_are_one_sentence(folder: Path) -> None:
    write(folder, '[number_prefixes]\nNG = ["918"]\n')
    assert sentence({"data_dir": str(folder)}) == (
        "number_prefixes (file): 918 of NG does not begin with 0, as people write numbers there."
    )


def test_prefixes_go_through_the_pipe_to_a_worker() -> None:
    settings = Settings(number_prefixes={"NG": ("0918",)})
    sent = msgspec.json.encode(msgspec.to_builtins(settings, enc_hook=Secret.reveal))
    received = msgspec.convert(msgspec.json.decode(sent), Settings, dec_hook=lambda _, text: Secret(text))
    assert received.number_prefixes == settings.number_prefixes


LIMIT = "second_person_above"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("500", "500"),
        ("500.50", "500.50"),
        ('"500.00"', "500.00"),
        ('{ GHS = "500.00", NGN = 20000, UGX = "7" }', {"GHS": "500.00", "NGN": "20000", "UGX": "7"}),
        ("{ GHS = 0.10 }", {"GHS": "0.10"}),
        ('""', ""),
        ("{}", {}),
    ],
)
def test_limits_are_an_amount_or_a_table_of_the_file(folder: Path, text: str, found: Any) -> None:
    write(folder, f"{LIMIT} = {text}\n")
    settings = load({"data_dir": str(folder)}, {}).settings
    assert settings.second_person_above == found
    sent = msgspec.json.encode(msgspec.to_builtins(settings, enc_hook=Secret.reveal))
    assert msgspec.convert(msgspec.json.decode(sent), Settings, dec_hook=lambda _, text: Secret(text)) == settings


def test_limits_come_from_the_environment_too() -> None:
    for text in ('{ GHS = "500.00" }', 'GHS = "500.00"', " GHS = 500.00 "):
        assert load({}, {"TELVEND_SECOND_PERSON_ABOVE": text}).settings.second_person_above == {"GHS": "500.00"}
    assert load({}, {"TELVEND_SECOND_PERSON_ABOVE": " 500 "}).settings.second_person_above == "500"
    assert load({}, {"TELVEND_SECOND_PERSON_ABOVE": "{}"}).settings.second_person_above == {}
    assert load({}, {}).settings.second_person_above == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("EUR = 5", "'EUR' is not one of GHS"),
        ("GHS = 5.001", "GHS 5.001 must have at most 2 decimals in GHS."),
        ("UGX = 5.5", "UGX 5.5 must have at most 0 decimals in UGX."),
        ("five", "five must be an amount such as 45.50"),
        ("-5", "such as 45.50"),
        ("{", "TELVEND_SECOND_PERSON_ABOVE is"),
        ("GHS = ", "TELVEND_SECOND_PERSON_ABOVE is"),
        ("{GHS}", "TELVEND_SECOND_PERSON_ABOVE is"),
    ],
)
def test_limits_that_cannot_be_are_one_sentence(text: str, problem: str) -> None:
    found = sentence({}, {"TELVEND_SECOND_PERSON_ABOVE": text})
    assert found.startswith("TELVEND_SECOND_PERSON_ABOVE")
    assert problem in found
