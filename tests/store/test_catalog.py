"""The catalogue on a real database: the operator's verbs, import and export, the built-in lists, the snapshot."""

import asyncio

import pytest

from telvend.catalog.model import CURRENCY_BY_COUNTRY, Product
from telvend.catalog.service import Catalogue, install_builtin
from telvend.database.connections import Database, revisions
from telvend.errors import AlreadyExists, InvalidInput, NotFound

HEADER = "code,country,network,kind,type,size,validity,currency,price,cost,active\n"


@pytest.fixture
async def catalogue(database: Database) -> Catalogue:
    """A shop with MTN and Telecel in Ghana, mtn in Nigeria, and one product: GH-MTN-1GB-30D."""
    catalogue = Catalogue(database)
    await catalogue.add_network("GH", "MTN", "MTN")
    await catalogue.add_network("GH", "Telecel", "Telecel")
    await catalogue.add_network("NG", "mtn", "MTN")
    await add(catalogue, "GH-MTN-1GB-30D")
    return catalogue


async def add(catalogue: Catalogue, code: str, **changed: str) -> Product:
    fields = {"country": "GH", "network": "mtn", "size": "1GB", "validity": "30 Days", "price": "4.5", "cost": "4.28"}
    return await catalogue.add_product(code=code, **(fields | changed))  # type: ignore[arg-type]


async def revision(database: Database) -> int:
    async with database.connection() as tx:
        return (await revisions(tx))["catalogue"]


async def loaded(database: Database, catalogue: Catalogue) -> Catalogue:
    async with database.connection() as tx:
        await catalogue.load(tx)
    return catalogue


async def test_an_added_product_is_listed_with_what_was_given(catalogue: Catalogue) -> None:
    (product,) = await catalogue.list_products()
    assert (product.code, product.country, product.network, product.kind, product.type, product.size) == (
        "GH-MTN-1GB-30D", "GH", "MTN", "data", "", "1GB",
    )  # fmt: skip
    assert (product.validity, str(product.price), str(product.cost), product.currency.code, product.active) == (
        "30 Days", "GHS 4.50", "GHS 4.28", "GHS", True,
    )  # fmt: skip
    assert product.id > 0


async def test_the_same_product_again_is_answered_and_another_under_its_code_refused(catalogue: Catalogue) -> None:
    (before,) = await catalogue.list_products()
    assert await add(catalogue, before.code, price="4.50") == before
    with pytest.raises(AlreadyExists):
        await add(catalogue, before.code, price="4.51")
    assert await catalogue.list_products() == [before]


@pytest.mark.parametrize(
    ("field", "value"),
    [("price", "0"), ("price", "4.505"), ("cost", "x"), ("size", "much"), ("network", "Foo"), ("country", "XX"),
     ("validity", "")],
)  # fmt: skip
async def test_a_product_with_a_bad_field_is_refused_and_names_it(catalogue: Catalogue, field: str, value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await add(catalogue, "NEW", **{field: value})
    assert refused.value.field == field
    assert len(await catalogue.list_products()) == 1


async def test_a_bad_code_is_refused(catalogue: Catalogue) -> None:
    for code in ("", "a b", "x" * 65, "é", "a\n"[:1] + "/"):
        with pytest.raises(InvalidInput, match="code"):
            await add(catalogue, code)


async def test_a_new_price_is_what_is_sold_and_leaves_the_rest(catalogue: Catalogue) -> None:
    (before,) = await catalogue.list_products()
    dearer = await catalogue.change_price(before.code, price="5.00")
    assert (dearer.price.text, dearer.cost, dearer.id) == ("5.00", before.cost, before.id)
    cheaper = await catalogue.change_price(before.code, cost="0")
    assert (cheaper.price.text, cheaper.cost.minor) == ("5.00", 0)
    assert await catalogue.list_products() == [cheaper]


async def test_a_bad_price_changes_nothing(catalogue: Catalogue) -> None:
    (before,) = await catalogue.list_products()
    for price, cost in (("0", None), ("4.505", None), ("5", "-1"), (None, "1e3"), (None, None)):
        with pytest.raises(InvalidInput):
            await catalogue.change_price(before.code, price=price, cost=cost)
    assert await catalogue.list_products() == [before]


async def test_an_unknown_code_is_not_found(catalogue: Catalogue) -> None:
    for code in ("NOBODY", "", "a\x00b", "\udcff"):
        with pytest.raises(NotFound):
            await catalogue.change_price(code, price="1")
        with pytest.raises(NotFound):
            await catalogue.switch_product(code, active=False)


async def test_a_product_that_is_switched_off_is_not_on_sale_until_it_is_on_again(
    database: Database, catalogue: Catalogue
) -> None:
    assert not (await catalogue.switch_product("GH-MTN-1GB-30D", active=False)).active
    await loaded(database, catalogue)
    assert catalogue.snapshot.find("GH", "MTN", "1GB") is None
    await catalogue.switch_product("GH-MTN-1GB-30D", active=True)
    await loaded(database, catalogue)
    assert catalogue.snapshot.find("GH", "MTN", "1GB") is not None


async def test_a_network_that_is_switched_off_sells_nothing(database: Database, catalogue: Catalogue) -> None:
    assert not (await catalogue.switch_network("mTn", active=False, country="gh")).active
    await loaded(database, catalogue)
    assert catalogue.snapshot.on_sale("GH") == ()
    network = catalogue.snapshot.network("GH", "mtn")
    assert network is not None
    assert not network.active
    await catalogue.switch_network("MTN", active=True, country="GH")
    await loaded(database, catalogue)
    assert len(catalogue.snapshot.on_sale("GH")) == 1


async def test_a_network_of_two_countries_needs_its_country(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidInput, match="GH and NG"):
        await catalogue.switch_network("mtn", active=False)
    assert all(network.active for network in await catalogue.list_networks())
    assert not (await catalogue.switch_network("telecel", active=False)).active


async def test_an_unknown_network_is_not_found(catalogue: Catalogue) -> None:
    for word in ("Vodafone", "", "\x00", "x" * 100):
        with pytest.raises(NotFound):
            await catalogue.switch_network(word, active=False)


async def test_a_network_is_added_once_whatever_the_case(catalogue: Catalogue) -> None:
    with pytest.raises(AlreadyExists):
        await catalogue.add_network("GH", "telecel", "Telecel Ghana")
    with pytest.raises(InvalidInput):
        await catalogue.add_network("GH", "=cmd()", "x")
    with pytest.raises(InvalidInput):
        await catalogue.add_network("KE", "Safaricom", "Safaricom")


async def test_products_are_listed_by_network_price_and_switch_in_pages(catalogue: Catalogue) -> None:
    await add(catalogue, "B", size="2GB", price="9")
    await add(catalogue, "C", network="Telecel", price="1", cost="1")
    await add(catalogue, "D", country="NG", price="300")
    await catalogue.switch_product("B", active=False)

    async def codes(**filters: object) -> list[str]:
        return [product.code for product in await catalogue.list_products(**filters)]  # type: ignore[arg-type]

    assert await codes() == ["GH-MTN-1GB-30D", "B", "C", "D"]
    assert await codes(network="MTN") == await codes(network=" mtn ") == ["GH-MTN-1GB-30D", "B", "D"]
    assert await codes(network="mtn", country="gh", active=True) == ["GH-MTN-1GB-30D"]
    assert await codes(active=False) == ["B"]
    assert await codes(network="nobody") == await codes(network="\x00") == []
    assert await codes(limit=2) == ["GH-MTN-1GB-30D", "B"]
    assert await codes(limit=2, offset=2) == ["C", "D"]
    assert await codes(limit=2, offset=4) == []
    with pytest.raises(InvalidInput):
        await codes(country="XX")


async def test_import_adds_changes_and_leaves_alone(database: Database, catalogue: Catalogue) -> None:
    same = "GH-MTN-1GB-30D,GH,MTN,data,,1GB,30 Days,GHS,4.50,4.28,yes\n"
    await add(catalogue, "B", size="2GB", price="9")
    number = {product.code: product.id for product in await catalogue.list_products()}
    text = (
        HEADER
        + same
        + "B,GH,Telecel,data,,2GB,7 Days,GHS,9.10,8,no\n"
        + "C,NG,MTN,data,SME,1GB,1 Day,NGN,300,285,yes\n"
    )
    dry = await catalogue.import_csv(text, dry_run=True)
    assert (dry.added, dry.changed, dry.unchanged) == (1, 1, 1)
    assert len(await catalogue.list_products()) == 2
    done = await catalogue.import_csv(text)
    assert (done.added, done.changed, done.unchanged, done.problems) == (1, 1, 1, ())
    found = {product.code: product for product in await catalogue.list_products()}
    assert found["B"].id == number["B"]
    assert (found["B"].network, found["B"].validity, found["B"].price.text, found["B"].active) == (
        "Telecel", "7 Days", "9.10", False,
    )  # fmt: skip
    assert found["C"].type == "SME"
    again = await catalogue.import_csv(text)
    assert (again.added, again.changed, again.unchanged) == (0, 0, 3)


async def test_one_bad_line_keeps_the_whole_sheet_out(database: Database, catalogue: Catalogue) -> None:
    before = await catalogue.list_products()
    done = await catalogue.import_csv(
        HEADER
        + "B,GH,MTN,data,,2GB,30 Days,GHS,9,8,yes\n"
        + "C,GH,MTN,data,,2GB,30 Days,GHS,nine,8,yes\n"
        + "D,GH,Foo,data,,2GB,30 Days,GHS,9,8,yes\n"
    )
    assert (done.added, done.changed, done.unchanged) == (0, 0, 0)
    assert [(problem.line, problem.field) for problem in done.problems] == [(3, "price"), (4, "network")]
    assert await catalogue.list_products() == before


async def test_what_was_exported_changes_nothing_when_it_is_imported(database: Database, catalogue: Catalogue) -> None:
    async with database.transaction() as tx:
        await install_builtin(tx)
    text = await catalogue.export_csv()
    done = await catalogue.import_csv(text)
    assert (done.added, done.changed, done.problems) == (0, 0, ())
    assert done.unchanged == len(await catalogue.list_products()) == text.count("\n") - 1
    assert await catalogue.export_csv() == text
    assert "NG-" not in await catalogue.export_csv(country="GH")


async def test_every_writing_verb_counts_one_revision(database: Database, catalogue: Catalogue) -> None:
    verbs = (
        lambda: add(catalogue, "B"),
        lambda: catalogue.change_price("B", price="5"),
        lambda: catalogue.switch_product("B", active=False),
        lambda: catalogue.switch_network("Telecel", active=False),
        lambda: catalogue.add_network("UG", "MTN", "MTN"),
        lambda: catalogue.import_csv(HEADER + "C,GH,MTN,data,,2GB,30 Days,GHS,9,8,yes\n"),
    )
    for verb in verbs:
        before = await revision(database)
        await verb()
        assert await revision(database) == before + 1
    before = await revision(database)
    await catalogue.import_csv(HEADER, dry_run=True)
    await catalogue.list_products()
    with pytest.raises(NotFound):
        await catalogue.switch_product("NOBODY", active=False)
    assert await revision(database) == before


async def test_refresh_loads_when_another_process_has_changed_something(
    database: Database, catalogue: Catalogue
) -> None:
    elsewhere = Catalogue(database)
    async with database.connection() as tx:
        assert await elsewhere.refresh(tx)
        assert not await elsewhere.refresh(tx)
        await catalogue.change_price("GH-MTN-1GB-30D", price="5")
        assert await elsewhere.refresh(tx)
    found = elsewhere.snapshot.find("GH", "MTN", "1GB")
    assert found is not None
    assert found.price.text == "5.00"
    assert elsewhere.snapshot.product(found.id) == found


async def test_changes_at_the_same_time_all_happen(database: Database, catalogue: Catalogue) -> None:
    await asyncio.gather(
        *(add(catalogue, f"N{number}", size=f"{number}GB") for number in range(1, 9)),
        *(catalogue.change_price("GH-MTN-1GB-30D", price=f"5.0{number}") for number in range(5)),
        catalogue.change_price("GH-MTN-1GB-30D", cost="1"),
    )
    found = {product.code: product for product in await catalogue.list_products()}
    assert len(found) == 9
    assert found["GH-MTN-1GB-30D"].cost.text == "1.00"
    assert found["GH-MTN-1GB-30D"].price.text.startswith("5.0")


async def test_a_fresh_shop_gets_the_built_in_catalogue(database: Database) -> None:
    async with database.transaction() as tx:
        assert await install_builtin(tx)
    catalogue = await loaded(database, Catalogue(database))
    assert [(n.id, n.code, n.name) for n in catalogue.snapshot.networks("NG")] == [
        (1, "mtn", "MTN"), (2, "airtel", "Airtel"), (3, "glo", "Glo"), (4, "9mobile", "9Mobile"),
    ]  # fmt: skip
    assert [n.code for n in catalogue.snapshot.networks("GH")] == ["MTN", "Telecel", "AirtelTigo"]
    # The plans of the networkdatasub document's /data-plans example.
    plans = [catalogue.snapshot.product(number) for number in (1, 2, 3)]
    assert [(p.network, p.type, p.size, p.price.text, p.validity) for p in plans if p] == [
        ("mtn", "SME", "1GB", "300.00", "30 Days"),
        ("mtn", "SME", "2GB", "500.00", "30 Days"),
        ("mtn", "SME", "5GB", "1000.00", "30 Days"),
    ]
    # The bundle of the Netpluse document's /packages example.
    example = catalogue.snapshot.find("GH", "MTN", "1GB")
    assert example is not None
    assert (example.code, example.price.text, example.validity) == ("GH-MTN-1GB-30D", "4.50", "30 Days")


async def test_every_built_in_network_sells_the_usual_sizes_above_cost(database: Database) -> None:
    async with database.transaction() as tx:
        await install_builtin(tx)
    catalogue = await loaded(database, Catalogue(database))
    for country in ("GH", "NG"):
        for network in catalogue.snapshot.networks(country):
            for size in ("1GB", "2GB", "5GB"):
                assert catalogue.snapshot.find(country, network.code, size)
    for product in await catalogue.list_products():
        assert 0 < product.cost.minor < product.price.minor
        assert product.currency == CURRENCY_BY_COUNTRY[product.country]
    types = {(p.network, p.type) for p in await catalogue.list_products(country="NG")}
    assert types == {
        ("mtn", "SME"), ("mtn", "Direct"), ("mtn", "Corporate"), ("airtel", "Direct"), ("airtel", "Corporate"),
        ("glo", "Direct"), ("9mobile", "Direct"), ("9mobile", "SME"),
    }  # fmt: skip


async def test_within_a_network_more_data_of_one_validity_costs_more(database: Database) -> None:
    async with database.transaction() as tx:
        await install_builtin(tx)
    ladders: dict[tuple[str, ...], list[tuple[float, int]]] = {}
    for product in await Catalogue(database).list_products():
        gigabytes = float(product.size[:-2]) / (1000 if product.size.endswith("MB") else 1)
        key = (product.country, product.network, product.type, product.validity)
        ladders.setdefault(key, []).append((gigabytes, product.price.minor))
    for ladder in ladders.values():
        prices = [price for _, price in sorted(ladder)]
        assert prices == sorted(set(prices))


async def test_the_built_in_catalogue_does_not_come_back(database: Database) -> None:
    async with database.transaction() as tx:
        await install_builtin(tx)
    catalogue = Catalogue(database)
    await catalogue.change_price("GH-MTN-1GB-30D", price="6")
    async with database.transaction() as tx:
        await tx.execute("delete from product where code = 'GH-MTN-2GB-30D'")
    before = await catalogue.list_products()
    async with database.transaction() as tx:
        assert not await install_builtin(tx)
    assert await catalogue.list_products() == before


async def test_two_processes_that_start_at_once_install_it_once(database: Database) -> None:
    async def install() -> bool:
        async with database.transaction() as tx:
            return await install_builtin(tx)

    assert sorted(await asyncio.gather(install(), install(), install())) == [False, False, True]


async def test_what_exists_under_a_built_in_code_is_left_alone(database: Database, catalogue: Catalogue) -> None:
    await catalogue.change_price("GH-MTN-1GB-30D", price="7")
    async with database.transaction() as tx:
        assert await install_builtin(tx)
    found = {product.code: product for product in await catalogue.list_products()}
    assert found["GH-MTN-1GB-30D"].price.text == "7.00"
    assert "GH-MTN-2GB-30D" in found


async def test_an_offer_changes_what_one_provider_takes_and_nothing_else(
    database: Database, catalogue: Catalogue
) -> None:
    (before,) = await catalogue.list_products()
    assert (await loaded(database, catalogue)).snapshot.costs(before.id) == {}
    await catalogue.set_offer(before.code, "cheap", cost="4.1")
    await catalogue.set_offer(before.code, "free", cost="0")
    absent = await catalogue.set_offer(before.code, "without", cost=None)
    assert (absent.provider, absent.sold) == ("without", False)
    await loaded(database, catalogue)
    assert catalogue.snapshot.costs(before.id) == {"cheap": 410, "free": 0, "without": None}
    assert catalogue.snapshot.costs(before.id + 1) == {}
    await catalogue.set_offer(before.code, "cheap", cost=None)
    await catalogue.set_offer(before.code, "without", cost="5.00")
    await loaded(database, catalogue)
    assert catalogue.snapshot.costs(before.id) == {"cheap": None, "free": 0, "without": 500}
    assert await catalogue.list_products() == [before]


async def test_a_new_cost_of_the_product_leaves_the_offers(database: Database, catalogue: Catalogue) -> None:
    (product,) = await catalogue.list_products()
    await catalogue.set_offer(product.code, "cheap", cost="4.1")
    await catalogue.change_price(product.code, cost="3")
    await catalogue.switch_product(product.code, active=False)
    await loaded(database, catalogue)
    assert catalogue.snapshot.costs(product.id) == {"cheap": 410}


async def test_an_offer_that_cannot_be_is_refused_and_tells_nobody(database: Database, catalogue: Catalogue) -> None:
    before = await revision(database)
    for provider, cost, field in (
        ("", "4", "provider"), ("a\x00b", "4", "provider"), ("x" * 33, "4", "provider"), ("cheap", "-1", "cost"),
        ("cheap", "4.505", "cost"), ("cheap", "", "cost"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            await catalogue.set_offer("GH-MTN-1GB-30D", provider, cost=cost)
        assert refused.value.field == field
    with pytest.raises(NotFound):
        await catalogue.set_offer("NOBODY", "cheap", cost="4")
    assert await revision(database) == before


async def test_an_offer_reaches_the_other_processes(database: Database, catalogue: Catalogue) -> None:
    elsewhere = await loaded(database, Catalogue(database))
    offer = await catalogue.set_offer("GH-MTN-1GB-30D", "cheap", cost="4.1")
    async with database.connection() as tx:
        assert await elsewhere.refresh(tx)
    assert elsewhere.snapshot.costs(offer.product_id) == {"cheap": 410}


async def test_a_code_without_a_cost_takes_the_cost_of_the_catalogue_also_when_that_changes(
    database: Database, catalogue: Catalogue
) -> None:
    (product,) = await catalogue.list_products()
    made = await catalogue.set_offer(product.code, "vt", cost=None, their_code="mtn-data/mtn-1gb")
    assert (made.sold, made.cost, made.code) == (True, None, "mtn-data/mtn-1gb")
    await catalogue.change_price(product.code, cost="3")
    await loaded(database, catalogue)
    assert catalogue.snapshot.costs(product.id) == {"vt": 300}
    offers = catalogue.snapshot.offers(product.id)
    assert offers.codes == {"vt": "mtn-data/mtn-1gb"}
    # An order that was placed at the old cost expects that.
    assert offers.costs_minor(450, 428) == {"vt": 428}


async def test_a_code_stays_until_another_is_given_and_an_empty_one_takes_it_away(
    database: Database, catalogue: Catalogue
) -> None:
    (product,) = await catalogue.list_products()
    await catalogue.set_offer(product.code, "vt", cost="4.1", their_code="1GB")
    for cost, their_code, costs, code in (
        ("4.2", None, {"vt": 420}, "1GB"),
        (None, None, {"vt": None}, "1GB"),
        ("4.3", None, {"vt": 430}, "1GB"),
        (None, "2", {"vt": 428}, "2"),
        ("4", "", {"vt": 400}, ""),
        (None, "", {"vt": 428}, ""),
    ):
        made = await catalogue.set_offer(product.code, "vt", cost=cost, their_code=their_code)
        await loaded(database, catalogue)
        assert catalogue.snapshot.costs(product.id) == costs
        assert made.code == catalogue.snapshot.offers(product.id).codes.get("vt", "") == code


async def test_a_provider_takes_a_share_of_airtime_and_of_billers_products(
    database: Database, catalogue: Catalogue
) -> None:
    async with database.transaction() as tx:
        await install_builtin(tx)
    airtime = (await loaded(database, catalogue)).snapshot.airtime_by_code("NG-MTN-AIRTIME")
    assert airtime is not None
    await catalogue.set_offer("NG-MTN-AIRTIME", "vt", cost="96.55%", their_code="mtn")
    await catalogue.set_offer("NG-MTN-AIRTIME", "dear", cost=None, their_code="MTN")
    await catalogue.set_offer("NG-MTN-AIRTIME", "absent", cost=None)
    biller = await catalogue.set_offer("NG-IKEDC-PREPAID", "vt", cost=None, their_code="ikeja-electric/prepaid")
    offers = (await loaded(database, catalogue)).snapshot.offers(airtime.id)
    assert offers.codes == {"vt": "mtn", "dear": "MTN"}
    # 96.55 % of NGN 1.01, and a part of a kobo is ours to bear.
    assert offers.costs_minor(101, 99) == {"vt": 98, "dear": 99, "absent": None}
    assert catalogue.snapshot.offers(biller.product_id).codes == {"vt": "ikeja-electric/prepaid"}
    assert catalogue.snapshot.offers(biller.product_id).costs_minor(1000, 990) == {"vt": 990}


async def test_a_share_or_a_code_that_cannot_be_is_refused(database: Database, catalogue: Catalogue) -> None:
    async with database.transaction() as tx:
        await install_builtin(tx)
    before = await revision(database)
    for product, cost, code, field in (
        ("NG-MTN-AIRTIME", "97.5", None, "cost"), ("NG-MTN-AIRTIME", "100.01%", None, "cost"),
        ("NG-MTN-AIRTIME", "-1%", None, "cost"), ("NG-MTN-AIRTIME", "1.234%", None, "cost"),
        ("GH-MTN-1GB-30D", "97.5%", None, "cost"), ("GH-MTN-1GB-30D", "4", " 1GB", "code"),
        ("GH-MTN-1GB-30D", "4", "1\nGB", "code"), ("GH-MTN-1GB-30D", "4", "x" * 129, "code"),
        ("GH-MTN-1GB-30D", None, "é", "code"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as refused:
            await catalogue.set_offer(product, "vt", cost=cost, their_code=code)
        assert refused.value.field == field
    assert await revision(database) == before


async def test_import_and_export_leave_what_providers_call_a_product(database: Database, catalogue: Catalogue) -> None:
    (product,) = await catalogue.list_products()
    await catalogue.set_offer(product.code, "vt", cost=None, their_code="1GB")
    sheet = await catalogue.export_csv()
    assert "1GB,30 Days" in sheet
    done = await catalogue.import_csv(sheet.replace("4.28", "4.00"))
    assert (done.changed, done.problems) == (1, ())
    offers = (await loaded(database, catalogue)).snapshot.offers(product.id)
    assert (offers.codes, catalogue.snapshot.costs(product.id)) == ({"vt": "1GB"}, {"vt": 400})


async def test_an_older_program_reads_the_cost_that_the_catalogue_had(database: Database, catalogue: Catalogue) -> None:
    (product,) = await catalogue.list_products()
    await catalogue.set_offer(product.code, "vt", cost=None, their_code="1GB")
    async with database.connection() as tx:
        row = await tx.fetchrow("select cost_minor, active from provider_offer where product_id = $1", product.id)
    assert tuple(row) == (428, True)
