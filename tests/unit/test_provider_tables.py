"""Tables of providers: where each key comes from, and what is said of one that cannot be."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend import provider_tables
from telvend.config import Loaded, ProviderSettings, SettingsRefused, load
from telvend.kit.secret import Secret
from telvend.provider_tables import FILE_SUFFIX, SECRET_KEYS

VT = '[providers.vt]\nconnector = "vtpass"\n'
HIDDEN = "hunter2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir(mode=0o700)
    return made


def read(folder: Path, text: str = "", **environment: str) -> Loaded:
    (folder / "telvend.toml").write_text(text)
    return load({"data_dir": str(folder)}, {f"TELVEND_PROVIDERS{name}": value for name, value in environment.items()})


def refusal(folder: Path, text: str = "", **environment: str) -> str:
    with pytest.raises(SettingsRefused) as refused:
        read(folder, text, **environment)
    said = str(refused.value)
    assert HIDDEN not in said
    assert "\n" not in said
    return said


def test_a_table_of_the_file_is_a_provider_and_what_it_leaves_out_has_its_default(folder: Path) -> None:
    loaded = read(
        folder,
        VT + 'api_key = "k1"\nsecret_key = "k2"\npriority = 5\nlive = false\nnetworks = ["NG/MTN"]\nrate_per_s = 2\n'
        '[providers.my-net]\nconnector = "netpluse"\n',
    )
    assert loaded.settings.providers == {
        "vt": ProviderSettings(
            connector="vtpass", api_key=Secret("k1"), secret_key=Secret("k2"), priority=5, live=False,
            networks=("NG/MTN",), rate_per_s=2.0,
        ),
        "my-net": ProviderSettings(connector="netpluse"),
    }  # fmt: skip
    assert loaded.origins["providers"] == "file"
    assert loaded.origins["providers.vt.api_key"] == "file"


def test_no_tables_are_no_providers(folder: Path) -> None:
    loaded = read(folder, "port = 8001")
    assert loaded.settings.providers == {}
    assert loaded.origins["providers"] == "default"


def test_a_variable_gives_one_key_and_wins_over_the_file(folder: Path) -> None:
    loaded = read(
        folder, VT + 'api_key = "of the file"\ntimeout_s = 10.5\n', __VT__API_KEY="k1", __VT__LIVE="false",
        __VT__NETWORKS="NG/mtn, NG/glo", __VT__CONCURRENCY="7",
    )  # fmt: skip
    assert loaded.settings.providers["vt"] == ProviderSettings(
        connector="vtpass",
        api_key=Secret("k1"),
        live=False,
        networks=("NG/mtn", "NG/glo"),
        concurrency=7,
        timeout_s=10.5,
    )
    assert loaded.origins["providers"] == "file and environment"
    assert loaded.origins["providers.vt.api_key"] == "environment"
    assert loaded.origins["providers.vt.timeout_s"] == "file"


def test_variables_alone_make_a_provider(folder: Path) -> None:
    loaded = read(folder, __MY_NET__CONNECTOR="netpluse", __my_net__api_key="k1")
    assert loaded.settings.providers == {"my_net": ProviderSettings(connector="netpluse", api_key=Secret("k1"))}
    assert loaded.origins["providers"] == "environment"


def test_hyphens_of_a_name_are_underscores_in_its_variables(folder: Path) -> None:
    loaded = read(folder, '[providers.my-net]\nconnector = "netpluse"\n', __MY_NET__API_KEY="k1")
    assert loaded.settings.providers == {"my-net": ProviderSettings(connector="netpluse", api_key=Secret("k1"))}


def test_whole_tables_in_the_environment_take_the_place_of_the_files(folder: Path) -> None:
    text = VT + 'api_key = "k1"\n[providers.np]\nconnector = "netpluse"\npriority = 3\n'
    one = read(folder, text, __VT='{ connector = "http", file = "a.toml", priority = 2 }', __VT__PRIORITY="1")
    assert one.settings.providers == {
        "vt": ProviderSettings(connector="http", file=str(folder / "a.toml"), priority=1),
        "np": ProviderSettings(connector="netpluse", priority=3),
    }
    every = read(folder, text, **{"": '{ x = { connector = "dtone" } }'}, __X__API_KEY="k3")
    assert every.settings.providers == {"x": ProviderSettings(connector="dtone", api_key=Secret("k3"))}


def test_an_empty_variable_says_nothing(folder: Path) -> None:
    assert read(folder, VT, __VT__API_KEY="", __VT="", **{"": ""}).settings.providers["vt"].api_key is None


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_every_secret_can_stand_in_a_file_beside_the_settings_file(folder: Path, key: str) -> None:
    (folder / "keys").mkdir(mode=0o700)
    (folder / "keys" / "vt").write_text("k1 k2\r\n")
    loaded = read(folder, VT + f'{key}_file = "keys/vt"\n')
    assert getattr(loaded.settings.providers["vt"], key) == Secret("k1 k2")
    assert loaded.origins[f"providers.vt.{key}"] == "file"
    again = read(folder, VT, **{f"__VT__{key.upper()}_FILE": str(folder / "keys" / "vt")})
    assert again.settings.providers == loaded.settings.providers
    assert "k1" not in repr(loaded)


def test_the_file_is_looked_for_where_the_named_settings_file_is(folder: Path, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    etc.mkdir(mode=0o700)
    (etc / "shop.toml").write_text(VT + 'api_key_file = "vt.key"\nfile = "up/x.toml"\n')
    (etc / "vt.key").write_text("k1")
    found = load({"data_dir": str(folder)}, {"TELVEND_CONFIG": str(etc / "shop.toml")}).settings.providers["vt"]
    assert (found.api_key, found.file) == (Secret("k1"), str(etc / "up/x.toml"))


def test_a_key_and_its_file_exclude_each_other_but_the_environment_wins(folder: Path) -> None:
    (folder / "vt.key").write_text("k1")
    said = refusal(folder, VT + f'api_key = "{HIDDEN}"\napi_key_file = "vt.key"\n')
    assert "providers.vt.api_key (file): api_key and api_key_file are both given" in said
    both = {"__VT__API_KEY": HIDDEN, "__VT__API_KEY_FILE": "vt.key"}
    assert "both given" in refusal(folder, VT, **both)
    assert read(folder, VT + 'api_key_file = "vt.key"\n', __VT__API_KEY="k2").settings.providers[
        "vt"
    ].api_key == Secret("k2")
    other = read(folder, VT + 'api_key = "k2"\n', __VT__API_KEY_FILE="vt.key")
    assert other.settings.providers["vt"].api_key == Secret("k1")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "is not a file"), (b"", "is empty"), (b"\n", "is empty"), (b"hunter2\x00", "printable"),
     (b"hunter2\nhunter2", "printable"), ("hunter2\u00fc".encode(), "printable"), (b" hunter2", "printable"),
     (b"h" * 70000, "printable")],
)  # fmt: skip
def test_a_file_that_holds_no_secret_is_named_and_not_repeated(folder: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (folder / "vt.key").write_bytes(content)
    said = refusal(folder, VT + 'api_key_file = "vt.key"\n')
    assert said.startswith("providers.vt.api_key_file (file) names ")
    assert words in said


def test_a_pipe_or_a_folder_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for name in ("pipe", "."):
        assert "is not a file" in refusal(folder, VT + f'api_key_file = "{name}"\n')


def test_a_file_that_others_may_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    (folder / "vt.key").write_text(HIDDEN)
    (folder / "vt.key").chmod(0o644)
    said = refusal(folder, VT + 'api_key_file = "vt.key"\n')
    assert said.startswith("providers.vt.api_key_file (file) cannot be used: ")
    assert f"chmod go= {folder}/vt.key" in said
    (folder / "vt.key").chmod(0o600)
    read(folder, VT + 'api_key_file = "vt.key"\n')


def test_a_settings_file_with_a_providers_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    (folder / "telvend.toml").touch(mode=0o644)
    (folder / "telvend.toml").chmod(0o644)
    read(folder, VT)
    said = refusal(folder, VT + f'client_secret = "{HIDDEN}"\n')
    assert said.startswith("The settings file")
    assert "chmod go= " in said
    (folder / "telvend.toml").chmod(0o600)
    read(folder, VT + f'client_secret = "{HIDDEN}"\n')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("providers = 3", "providers (file) must be tables"),
        ("[providers]\nvt = 3", "providers.vt must be a table"),
        ("[providers.vt]", "providers.vt: the key `connector` is missing"),
        ('[providers.vt]\nconnector = " "', "providers.vt.connector (file) is empty"),
        ("[providers.vt]\nconnector = 3", "providers.vt.connector (file) must be a text in quotes"),
        (VT + 'api_kee = "hunter2"', "providers.vt.api_kee (file) is not a key of a provider; did you mean api_key?"),
        (VT + 'zzz = "hunter2"', "providers.vt.zzz (file) is not a key of a provider; there are connector, "),
        (VT + "[providers.vt.more]", "providers.vt.more (file) is not a key"),
        (VT + "api_key = 3", "providers.vt.api_key (file) must be a text in quotes"),
        (VT + 'api_key = ""', "providers.vt.api_key (file) is empty"),
        (VT + 'api_key = "hunter2\\n"', "providers.vt.api_key (file) must be printable ASCII"),
        (VT + 'api_key = "hunter2\\r\\nX: 1"', "providers.vt.api_key (file) must be printable ASCII"),
        (VT + 'base_url = "vtpass.com"', "providers.vt.base_url (file) must be an address"),
        (VT + 'base_url = "ftp://vtpass.com"', "providers.vt.base_url (file) must be an address"),
        (VT + 'base_url = "https://a b"', "providers.vt.base_url (file) must be an address"),
        (VT + 'base_url = "https://[hunter2"', "providers.vt.base_url (file) must be an address"),
        (VT + 'base_url = "https://me:hunter2@vtpass.com"', "providers.vt.base_url (file) must not hold a user"),
        (VT + 'token_url = "https://vtpass.com/?key=hunter2"', "providers.vt.token_url (file) must not hold ?"),
        (VT + 'priority = "1"', "providers.vt.priority (file) is '1': Expected `int`"),
        (VT + "live = 1", "providers.vt.live (file) is 1: Expected `bool`"),
        (VT + "test = true", "providers.vt: test = true needs live = false, else test keys would buy for real"),
        (VT + "concurrency = 0", "providers.vt.concurrency (file) is 0: "),
        (VT + "timeout_s = nan", "providers.vt.timeout_s (file) is nan: "),
        (VT + "rate_per_s = 0", "providers.vt.rate_per_s (file) is 0: "),
        (VT + 'networks = "NG/MTN"', "providers.vt.networks (file) must be a list"),
        (VT + 'networks = ["MTN"]', "providers.vt.networks (file) has 'MTN'; a network is its country and its code"),
        (VT + 'networks = ["ng/mtn"]', "providers.vt.networks (file) has 'ng/mtn'"),
        ('[providers.VT]\nconnector = "x"', "providers.VT.connector: a provider's name begins with a small letter"),
        ('[providers.simulator]\nconnector = "x"', "providers.simulator: there is a simulator simulator"),
        ('[providers.own_network]\nconnector = "x"', "providers.own_network: this is the name of the shop's own network"),
        ('[providers.a-b]\nconnector = "x"\n[providers.a_b]\nconnector = "x"', "a-b has the same name but for hyphens"),
    ],
)  # fmt: skip
def test_what_cannot_be_names_its_table_and_key(folder: Path, text: str, said: str) -> None:
    assert said in refusal(folder, text)


@pytest.mark.parametrize("name", ["", "1a", "a__b", "a-", "_a", "a.b", "a b", "é", "a" * 33, "a\\n"])
def test_a_name_that_fits_no_ledger_account_and_no_variable_is_refused(folder: Path, name: str) -> None:
    assert "a provider's name begins with" in refusal(folder, f'[providers."{name}"]\nconnector = "x"\n')


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"__VT__API_KEE": HIDDEN}, "TELVEND_PROVIDERS__VT__API_KEE is not a key of a provider; did you mean api_key?"),
        ({"__VTT__API_KEY": HIDDEN}, "providers.vtt: the key `connector` is missing"),
        ({"__VT__API__KEY": HIDDEN}, "TELVEND_PROVIDERS__VT__API__KEY names no key of a provider"),
        ({"__": HIDDEN}, "TELVEND_PROVIDERS__ names no key of a provider"),
        ({"__VT__": HIDDEN}, "TELVEND_PROVIDERS__VT__ names no key of a provider"),
        ({"__VT__API_KEY": "k1", "__vt__API_KEY": "k2"}, "say the same thing twice"),
        ({"__VT__API_KEY": f"{HIDDEN}\n"}, "TELVEND_PROVIDERS__VT__API_KEY must be printable ASCII"),
        ({"__VT__PRIORITY": "first"}, "TELVEND_PROVIDERS__VT__PRIORITY is 'first': Expected `int`"),
        ({"__VT__LIVE": "perhaps"}, "TELVEND_PROVIDERS__VT__LIVE is 'perhaps': Expected `bool`"),
        ({"__VT__NETWORKS": "[1"}, "TELVEND_PROVIDERS__VT__NETWORKS must be a list"),
        ({"__VT": f"api_key = {HIDDEN}"}, "TELVEND_PROVIDERS__VT: must be a table"),
        ({"__VT": '{ connector = "x", api_key = 3 }'}, "TELVEND_PROVIDERS__VT: api_key must be a text"),
        ({"": f"{{ vt = {{ api_key = {HIDDEN} }} }}"}, "TELVEND_PROVIDERS must be tables in TOML's inline form"),
        ({"": "3"}, "TELVEND_PROVIDERS must be tables"),
        ({"": "{ vt = 3 }"}, "TELVEND_PROVIDERS: vt must be a table"),
    ],
)
def test_what_cannot_be_names_its_variable(folder: Path, environment: dict[str, str], said: str) -> None:
    assert said in refusal(folder, VT, **environment)


def test_every_problem_of_every_table_is_named_at_once(folder: Path) -> None:
    said = refusal(folder, VT + 'api_key = ""\npriority = "x"\n[providers.np]\nlive = 3\n')
    for part in (
        "providers.vt.api_key",
        "providers.vt.priority",
        "providers.np.live",
        "providers.np: the key `connector`",
    ):
        assert part in said


def test_only_the_form_without_secrets_is_shown() -> None:
    settings = ProviderSettings(
        connector="vtpass", api_key=Secret(HIDDEN), client_id=Secret(HIDDEN), networks=("NG/mtn",)
    )
    assert provider_tables.shown(settings) == {
        "connector": "vtpass", "api_key": "********", "client_id": "********", "networks": "NG/mtn",
    }  # fmt: skip
    assert HIDDEN not in repr(settings)


def test_every_key_has_a_sentence() -> None:
    texts = provider_tables.described()
    assert texts.keys() == set(ProviderSettings.__struct_fields__)
    assert all(texts.values())


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*ProviderSettings.__struct_fields__, *(key + FILE_SUFFIX for key in SECRET_KEYS)]) | st.text()


@given(
    st.dictionaries(st.text(max_size=6), st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=3) | VALUES,
    st.dictionaries(
        st.sampled_from(["", "__VT", "__VT__API_KEY", "__A__FILE", "__X__NETWORKS"]), st.text(), max_size=3
    ),
)
def test_anything_at_all_is_a_table_or_a_problem(in_file: Any, environment: dict[str, str]) -> None:
    variables = {provider_tables.VARIABLE + name: value for name, value in environment.items()}
    found = provider_tables.read_tables(in_file, variables, Path("/nowhere"))
    assert all(isinstance(table, ProviderSettings) for table in found.tables.values())
    assert all(isinstance(problem, str) for problem in found.problems)
