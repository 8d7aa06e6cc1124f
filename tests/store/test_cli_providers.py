"""`telvend provider check|try|trials` and what a provider of the settings is to the shop, against a real database."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from telvend.authorities import personas
from telvend.bootstrap import AUTHORITIES, open_shop, work
from telvend.config import OWN_NETWORK, ProviderSettings, Settings, SettingsRefused, SimulatorSettings, load
from telvend.database.connections import Database
from telvend.fulfilment.routing import Assignment, RoutingRequest
from telvend.kit.mode import Mode
from telvend.kit.secret import Secret
from telvend.orders.model import COUNTER, Order, OrderState
from telvend.providers.over_http import ProviderOverHttp
from telvend.upkeep.preparation import prepare_database
from tests import upstream_double as double
from tests.store.test_cli import EMAIL, Shop

KEY = "hunter2"
TABLE = f'own_network = false\n[providers.vt]\nconnector = "double"\napi_key = "{KEY}"\n'
AIRTIME, PHONE = "NG-MTN-AIRTIME", "08031234567"


@pytest.fixture
def folder(nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory, where the settings file is."""
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    monkeypatch.setenv("TELVEND_DATA_DIR", str(made))
    double.install(monkeypatch)
    return made


@pytest.fixture
def shop(database_url: str, folder: Path) -> Shop:
    (folder / "telvend.toml").write_text(TABLE)
    return Shop(database_url)


@pytest.fixture
def bundle(shop: Shop) -> str:
    """The code of a bundle of MTN Nigeria."""
    first, *_ = shop.data("product", "list", "--country", "NG", "--network", "mtn")["products"]
    return str(first["code"])


def texts(found: list[dict[str, str]]) -> list[str]:
    return [f"{one['where']}: {one['text']}" for one in found]


# Check ----------------------------------------------------------------------------------------------------------------


def test_a_complete_provider_could_sell_and_what_lacks_a_code_is_named(shop: Shop, bundle: str) -> None:
    found = shop.data("provider", "check", "vt")
    assert (found["ok"], found["connector"], found["float"], found["currency"]) == (True, "double", 1000, "NGN")
    assert found["problems"] == found["warnings"] == []
    # Two networks have airtime, and no bundle has a code.
    assert found["products"]["deliverable"] == 2
    lacking = found["products"]["undeliverable"]
    assert {"product": bundle, "text": "the code of this product is not known"} in lacking
    shop.run("product", "offer", bundle, "vt", "--code", "mtn-1gb")
    shop.run("product", "offer", AIRTIME, "vt")
    again = shop.data("provider", "check", "vt")["products"]
    assert (again["deliverable"], again["not_offered"], len(again["undeliverable"])) == (2, 1, len(lacking) - 1)
    assert [request.url.path for request in double.requests] == ["/balance"] * 2  # Nothing was bought.
    assert "vt (double) could sell." in shop.run("provider", "check", "vt").stdout


def test_two_products_of_one_code_are_named(shop: Shop, bundle: str) -> None:
    second = shop.data("product", "list", "--country", "NG", "--network", "mtn")["products"][1]["code"]
    shop.run("product", "offer", bundle, "vt", "--code", "mtn-1gb")
    assert shop.data("provider", "check", "vt")["warnings"] == []
    shop.run("product", "offer", second, "vt", "--code", "mtn-1gb")
    said = texts(shop.data("provider", "check", "vt")["warnings"])
    assert said == [f"products: {second} is 'mtn-1gb' to it, and so is {bundle}; is that meant?"]


def test_a_credential_that_the_float_does_not_need_is_looked_at(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_: object) -> str:
        return "the secret key is not accepted: HTTP 401"

    monkeypatch.setattr(ProviderOverHttp, "refused_credentials", refused)
    found = shop.data("provider", "check", "vt", code=1)
    assert texts(found["problems"]) == ["credentials: are not accepted: the secret key is not accepted: HTTP 401"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(401), "credentials: are not accepted: HTTP 401"),
        (httpx.Response(500), "float: cannot be read: HTTP 500"),
        (httpx.ConnectError("nobody"), "float: cannot be read: no answer: ConnectError"),
        (httpx.Response(200, json={"kobo": 0}), "float: is NGN 0.00: nothing can be bought with it"),
    ],
)
def test_a_provider_that_could_not_sell_ends_with_exit_code_1(
    shop: Shop, answer: httpx.Response | Exception, said: str
) -> None:
    double.answers["GET /balance"] = answer
    found = shop.data("provider", "check", "vt", code=1)
    assert found["ok"] is False
    assert texts(found["problems"]) == [said]


def test_every_mistake_of_the_connector_is_named_and_no_secret(shop: Shop, folder: Path) -> None:
    (folder / "telvend.toml").write_text(f'[providers.vt]\nconnector = "double"\nclient_id = "{KEY}"\n')
    result = shop.run("provider", "check", "vt", code=1)
    assert KEY not in result.output
    for part in (
        "wrong    api_key: is missing: the key of the account", "wrong    client_id: is not used",
        "wrong    live: a real provider and one that pretends do not stand side by side; set own_network = false",
    ):  # fmt: skip
        assert part in result.stdout
    (folder / "telvend.toml").write_text('[providers.vt]\nconnector = "doubel"\n')
    assert "connector: there is no 'doubel'; there are " in shop.run("provider", "check", "vt", code=1).stdout


def test_what_does_not_keep_it_from_selling_is_a_note(shop: Shop, folder: Path) -> None:
    (folder / "telvend.toml").write_text(
        TABLE + 'live = false\nbase_url = "http://double.example"\nlow_float = "2000"\nnetworks = ["NG/MTN"]\n'
    )
    found = shop.data("provider", "check", "vt")
    assert texts(found["warnings"]) == [
        "live: is false: it is out of use for live orders",
        "base_url: is http: credentials and numbers travel in the open",
        "float: NGN 1,000.00 is below low_float, NGN 2,000.00",
    ]
    assert found["products"]["deliverable"] == 1  # The airtime of one network.
    (folder / "telvend.toml").write_text(TABLE + 'low_float = "much"\n')
    assert "low_float: is no amount of NGN" in shop.run("provider", "check", "vt", code=1).stdout


def test_a_network_that_the_vendor_does_not_serve_is_named_with_those_that_it_does(shop: Shop, folder: Path) -> None:
    (folder / "telvend.toml").write_text(TABLE + 'networks = ["NG/MTN", "GH/MTN"]\n')
    said = shop.data("provider", "check", "vt", code=1)["problems"]
    assert texts(said) == ["networks: has GH/MTN, which double does not serve; it serves NG/glo, NG/mtn"]


def test_a_check_without_a_shop_looks_at_everything_but_products(folder: Path) -> None:
    (folder / "telvend.toml").write_text(TABLE)
    found = Shop("postgresql://127.0.0.1:1/nothing").data("provider", "check", "vt")
    assert (found["ok"], found["products"]) == (True, None)
    assert texts(found["warnings"])[0].startswith("products: were not looked at: ")


def test_neither_a_provider_nor_a_file_is_refused(shop: Shop, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shop.refused("provider", "check", "tv").startswith("The settings have no provider tv (there are: vt)")
    assert shop.refused("provider", "check", "upstreams/x.toml") == "upstreams/x.toml is not a file."
    (folder / "wazodata.toml").write_text("")
    monkeypatch.delitem(double.connectors.CONNECTORS, "http", raising=False)
    found = shop.data("provider", "check", str(folder / "wazodata.toml"), code=1)
    assert (found["provider"], found["connector"], found["live"]) == ("wazodata", "http", False)
    # A description that a provider of the settings uses is looked at with that provider's settings.
    (folder / "telvend.toml").write_text(TABLE + 'file = "wazodata.toml"\n')
    assert shop.data("provider", "check", str(folder / "wazodata.toml"))["provider"] == "vt"


# Try ------------------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_request_with_its_secrets_starred_and_sends_nothing(shop: Shop, bundle: str) -> None:
    shop.run("product", "offer", bundle, "vt", "--code", "mtn-1gb")
    found = shop.data("provider", "try", "vt", "--product", bundle, "--phone", PHONE, "--dry-run")
    request = found["request"]
    assert (request["method"], request["url"]) == ("POST", "https://double.example/purchases")
    assert request["headers"]["api-key"] == "********"
    assert '"mtn-1gb"' in request["body"]
    assert '"+2348031234567"' in request["body"]
    told = shop.run("provider", "try", "vt", "--product", bundle, "--phone", PHONE, "--dry-run").stdout
    assert "POST https://double.example/purchases" in told
    assert KEY not in told
    assert double.requests == []
    assert shop.data("provider", "trials") == {"trials": [], "next": None}


def test_what_the_provider_would_not_be_asked_for_is_said_with_exit_code_1(shop: Shop, bundle: str) -> None:
    for more in ((), ("--dry-run",)):
        found = shop.data("provider", "try", "vt", "--product", bundle, "--phone", PHONE, *more, code=1)
        assert (found["request"], found["reason"]) == (None, "not_sold")
    assert double.requests == []


def test_one_delivery_is_sent_once_and_kept_with_what_it_cost(shop: Shop) -> None:
    shop.run("product", "offer", AIRTIME, "vt", "96%", "--code", "mtn")
    double.answers["POST /purchases"] = httpx.Response(200, json={"status": "done", "kobo": 9_600})
    arguments = ("provider", "try", "vt", "--product", AIRTIME, "--phone", PHONE, "--amount", "100")
    assert "takes about NGN 96.00 of your float. With --yes it is sent" in shop.refused(*arguments)
    assert double.requests == []
    found = shop.data(*arguments, "--yes")
    assert (found["state"], found["provider_reference"]) == ("delivered", "theirs-1")
    assert (found["face_value"], found["cost"], found["charged"], found["currency"]) == (100, 96, 96, "NGN")
    (request,) = double.requests
    assert request.headers["api-key"] == KEY
    assert found["reference"].encode() in request.content
    assert shop.data("provider", "trials", "vt")["trials"] == [found]
    assert shop.data("provider", "trials", "other")["trials"] == []
    # A settled one is shown, and nobody is asked.
    assert shop.data("provider", "trials", "--reference", found["reference"]) == found
    assert len(double.requests) == 1


def test_an_open_outcome_is_asked_about_until_it_is_known(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def at_once(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            double.answers["GET /purchases"] = httpx.Response(200, json={"status": "done"})

    double.answers["POST /purchases"] = httpx.ReadTimeout("nothing")
    double.answers["GET /purchases"] = httpx.Response(200, json={"status": "pending"})
    monkeypatch.setattr("telvend.cli.providers.asyncio.sleep", at_once)
    found = shop.data("provider", "try", "vt", "--product", AIRTIME, "--phone", PHONE, "--yes")
    assert (found["state"], found["asked"]) == ("delivered", 3)
    assert [request.method for request in double.requests] == ["POST", "GET", "GET", "GET"]


def test_an_outcome_that_stays_open_is_not_lost(shop: Shop) -> None:
    double.answers["POST /purchases"] = httpx.Response(502)
    arguments = ("--product", AIRTIME, "--phone", PHONE, "--yes", "--wait", "0")
    result = shop.run("provider", "try", "vt", *arguments, code=1)
    (kept,) = shop.data("provider", "trials")["trials"]
    assert kept["state"] == "unknown"
    assert f"telvend provider trials --reference {kept['reference']}" in result.stdout
    # Nobody there knows it: that counts once it cannot be on its way any more.
    asked = shop.data("provider", "trials", "--reference", kept["reference"])
    assert asked["state"] == "unknown"
    assert "may still be on its way" in asked["text"]
    shop.execute("update provider_trial set started_at = now() - interval '2 minutes'")
    assert shop.data("provider", "trials", "--reference", kept["reference"])["state"] == "not_sent"
    double.answers["GET /purchases"] = httpx.Response(200, json={"status": "done"})
    assert shop.data("provider", "trials", "--reference", kept["reference"])["state"] == "not_sent"


def test_a_trial_whose_process_was_killed_is_asked_about_and_never_sent_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> Any:
        raise SystemExit(137)

    double.answers["GET /purchases"] = httpx.Response(200, json={"status": "done", "kobo": 4_875})
    with monkeypatch.context() as patched:
        patched.setattr(double.Double, "deliver", killed)
        shop.run("provider", "try", "vt", "--product", AIRTIME, "--phone", PHONE, "--yes", code=137)
    (kept,) = shop.data("provider", "trials")["trials"]
    assert kept["state"] == "started"
    found = shop.data("provider", "trials", "--reference", kept["reference"])
    assert (found["state"], found["charged"]) == ("delivered", Decimal("48.75"))
    assert [request.method for request in double.requests] == ["GET"]


def test_two_at_once_are_two_trials_under_references_of_their_own(shop: Shop) -> None:
    double.answers["POST /purchases"] = httpx.Response(200, json={"status": "done"})
    for _ in range(2):
        shop.run("provider", "try", "vt", "--product", AIRTIME, "--phone", PHONE, "--yes")
    first, second = (trial["reference"] for trial in shop.data("provider", "trials")["trials"])
    assert first != second
    page = shop.data("provider", "trials", "--limit", "1")
    assert [trial["reference"] for trial in page["trials"]] == [first]
    assert page["next"] == page["trials"][0]["id"]


def test_what_cannot_be_tried_is_refused_and_nothing_is_sent(shop: Shop, bundle: str, folder: Path) -> None:
    def refused(*arguments: str) -> str:
        return shop.refused("provider", "try", *arguments, "--yes")

    assert refused("vt", "--product", "NOTHING", "--phone", PHONE) == "Product not found."
    assert refused("vt", "--product", AIRTIME, "--phone", "12").startswith("phone: ")
    assert refused("vt", "--product", AIRTIME, "--phone", PHONE, "--amount", "1").startswith("amount: must be from")
    assert refused("vt", "--product", AIRTIME, "--phone", PHONE, "--amount", "x").startswith("amount: ")
    assert refused("vt", "--product", bundle, "--phone", PHONE, "--amount", "1").startswith("amount: is for airtime")
    assert "is nothing that vt is asked for: NG/airtel" in refused(
        "vt", "--product", "NG-AIRTEL-AIRTIME", "--phone", PHONE
    )
    (folder / "telvend.toml").write_text('own_network = false\n[providers.vt]\nconnector = "double"\n')
    assert refused("vt", "--product", AIRTIME, "--phone", PHONE) == (
        "the provider vt cannot be used: api_key: is missing: the key of the account."
    )
    assert double.requests == []
    assert shop.refused("provider", "trials", "--reference", "TRY-1") == "Trial not found."


def test_a_trial_of_a_provider_that_has_gone_cannot_be_asked_about(shop: Shop, folder: Path) -> None:
    double.answers["POST /purchases"] = httpx.Response(502)
    shop.run("provider", "try", "vt", "--product", AIRTIME, "--phone", PHONE, "--yes", "--wait", "0", code=1)
    (kept,) = shop.data("provider", "trials")["trials"]
    (folder / "telvend.toml").write_text("")
    assert "which is not in the settings" in shop.refused("provider", "trials", "--reference", kept["reference"])


# Offers and settings --------------------------------------------------------------------------------------------------


def test_an_offer_with_a_code_is_told_and_a_provider_that_is_not_there_is_pointed_out(shop: Shop, bundle: str) -> None:
    found = shop.data("product", "offer", bundle, "vt", "--code", "mtn-1gb")
    assert found == {
        "code": bundle, "provider": "vt", "cost": None, "sold": True, "provider_code": "mtn-1gb",
        "cost_of_catalogue": True,
    }  # fmt: skip
    share = shop.data("product", "offer", AIRTIME, "vt", "96.5%", "--code", "mtn")
    assert (share["cost_percent"], share["provider_code"], share["cost"]) == (Decimal("96.5"), "mtn", None)
    told = shop.run("product", "offer", AIRTIME, "tv", "96%")
    assert told.stderr == "telvend: the settings have no provider tv yet; there are vt, simulator.\n"
    assert told.stdout == f"tv takes 96 % of the amount for {AIRTIME}.\n"
    assert "97.5%" in shop.refused("product", "offer", AIRTIME, "vt", "97.5")


def test_settings_show_a_providers_table_with_stars(shop: Shop, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELVEND_PROVIDERS__VT__SECRET_KEY", KEY)
    told = shop.run("settings").stdout
    assert KEY not in told
    rows = {row["name"]: row for row in shop.data("settings")["settings"]}
    assert (rows["providers"]["value"], rows["providers"]["origin"]) == ("vt", "file and environment")
    assert (rows["providers.vt.api_key"]["value"], rows["providers.vt.api_key"]["origin"]) == ("********", "file")
    assert rows["providers.vt.secret_key"]["origin"] == "environment"
    assert rows["providers.vt.secret_key"]["variable"] == "TELVEND_PROVIDERS__VT__SECRET_KEY"
    assert rows["providers.vt.connector"]["value"] == "double"
    assert "providers.vt.timeout_s" not in rows


# The shop -------------------------------------------------------------------------------------------------------------


def connected_to(folder: Path, **more: Any) -> Settings:
    return Settings(data_dir=str(folder), **({"own_network": False} | more))


def table(**more: Any) -> ProviderSettings:
    return ProviderSettings(**({"connector": "double", "api_key": Secret(KEY)} | more))


@pytest.fixture
async def prepared(database_url: str) -> str:
    database = await Database.open(database_url, pool_size=1)
    await prepare_database(database, lambda _: None)
    await database.close()
    return database_url


async def test_a_provider_of_the_settings_takes_live_orders_by_its_priority_and_is_real(
    prepared: str, folder: Path
) -> None:
    providers = {"b": table(priority=5, concurrency=3, rate_per_s=7.0), "a": table(networks=("NG/MTN",))}
    async with open_shop(connected_to(folder, providers=providers), prepared) as shop:
        assert shop.connected.delivers_real
        assert not shop.connected.takes_play_money
        chosen = shop.router.choose(RoutingRequest("NG", "mtn", test=False))
        assert isinstance(chosen, Assignment)
        assert (chosen.provider.name, chosen.provider.traits.concurrency) == ("b", 3)
        assert chosen.provider.traits.rate_per_s == 7.0
        narrow = shop.router.provider("a")
        assert narrow is not None
        assert narrow.traits.networks == {("NG", "mtn")}
        play = shop.router.choose(RoutingRequest("NG", "mtn", test=True))
        assert isinstance(play, Assignment)
        assert play.provider.name == "simulator"


async def test_a_provider_that_is_not_live_gets_no_live_order_and_one_for_tests_gets_those(
    prepared: str, folder: Path
) -> None:
    providers = {"vt": table(live=False, test=True, priority=1)}
    async with open_shop(connected_to(folder, providers=providers), prepared) as shop:
        assert not shop.connected.real
        assert not isinstance(shop.router.choose(RoutingRequest("NG", "mtn", test=False)), Assignment)
        play = shop.router.choose(RoutingRequest("NG", "mtn", test=True))
        assert isinstance(play, Assignment)
        assert play.provider.name == "vt"


async def test_a_shop_whose_providers_are_wrong_does_not_open_and_says_everything(prepared: str, folder: Path) -> None:
    providers = {
        "vt": table(api_key=None, client_id=Secret(KEY)), "np": table(connector="nobody"), "ok": table(),
    }  # fmt: skip
    with pytest.raises(SettingsRefused) as refused:
        async with open_shop(connected_to(folder, providers=providers), prepared):
            pass
    said = str(refused.value)
    for part in (
        "providers.vt: api_key: is missing",
        "providers.vt: client_id: is not used",
        "providers.np: connector",
    ):
        assert part in said
    assert KEY not in said


@pytest.mark.parametrize(
    "pretending",
    [{"own_network": True}, {"simulators": {"simulator": SimulatorSettings(live=True)}}],
    ids=["own_network", "simulator"],
)
async def test_a_real_provider_beside_one_that_pretends_is_refused_with_what_to_do(
    prepared: str, folder: Path, pretending: dict[str, Any]
) -> None:
    with pytest.raises(SettingsRefused, match=r"beside vt. What pretends is taken out by own_network = false"):
        async with open_shop(connected_to(folder, providers={"vt": table()}, **pretending), prepared):
            pass


def test_an_order_is_sold_through_a_provider_of_the_settings(shop: Shop, folder: Path, bundle: str) -> None:
    shop.add_reseller()
    shop.run("wallet", "credit", EMAIL, "1000", "NGN", "--reference", "cash")
    shop.run("product", "offer", bundle, "vt", "140.50", "--code", "mtn-500")
    double.answers["POST /purchases"] = httpx.Response(200, json={"status": "pending"})
    double.answers["GET /purchases"] = httpx.Response(200, json={"status": "done"})

    async def sell() -> Order:
        settings = load({"data_dir": str(folder)}, {}).settings
        async with work(settings, shop.url) as running:
            caller = await running.resellers.caller_without_key(EMAIL, COUNTER, Mode.LIVE)
            placed = await running.counter.place(
                caller, code=bundle, recipient=PHONE, amount=None, client_reference="r1"
            )
            return await running.orders.settled(placed.order, 30)

    order = asyncio.run(sell())
    assert order.state is OrderState.DELIVERED
    # The float is asked for as well.
    asked, *questions = [request for request in double.requests if request.url.path != "/balance"]
    (attempt,) = shop.data("order", "show", order.reference)["attempts"]
    assert (attempt["provider"], attempt["provider_code"], attempt["provider_reference"]) == (
        "vt",
        "mtn-500",
        "theirs-1",
    )
    assert b'"mtn-500"' in asked.content
    assert attempt["reference"].encode() in asked.content
    assert {question.url.path for question in questions} == {f"/purchases/t/{attempt['reference']}"}
    entries = shop.data("order", "show", order.reference)["entries"]
    assert [e["amount"] for e in entries if e["credit"] == "provider vt"] == [Decimal("140.5")]
    vt = next(one for one in shop.data("provider", "list")["providers"] if one["name"] == "vt")
    assert (vt["float"], vt["currency"], vt["last_hour"]["delivered"]) == (1000, "NGN", 1)
    assert vt["last_hour"]["costs"] == {"NGN": Decimal("140.5")}
    assert vt["hours_left"] == Decimal("7.1")
    assert shop.data("ledger", "check")["ok"]


@pytest.mark.parametrize("name", [OWN_NETWORK, "simulator", personas.NAME, *AUTHORITIES])
def test_no_provider_takes_a_name_that_stands_in_the_ledger_already(folder: Path, name: str) -> None:
    (folder / "telvend.toml").write_text(f'simulators = {{}}\n[providers.{name}]\nconnector = "double"\n')
    with pytest.raises(SettingsRefused, match=f"providers.{name}: this is the name of"):
        load({"data_dir": str(folder)}, {})
