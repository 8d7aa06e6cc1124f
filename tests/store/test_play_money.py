"""Play money against a real database: what it halts on every node, how it is voided, and what the audit says of it."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from structlog.testing import capture_logs

from telvend.audit.service import audit_books, findings_of
from telvend.bootstrap import Shop as Opened
from telvend.bootstrap import open_shop, vendors
from telvend.config import Settings, SettingsRefused, SimulatorSettings
from telvend.connected import Connected
from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound
from telvend.funding.play_money import store
from telvend.funding.play_money.guard import PlayMoneyGuard
from telvend.funding.play_money.invariants import INVARIANTS
from telvend.funding.play_money.voiding import PlayMoney
from telvend.gateways.contract import GatewayTraits as GatewayTraits
from telvend.gateways.contract import Method
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.kit.secret import Secret
from telvend.sales.gate import SalesGate
from telvend.upkeep.preparation import prepare_database
from telvend.wallets.model import Filter, TransactionStatus
from telvend.wallets.service import Transactions
from tests.conftest import Server
from tests.scenario.play_shop import FakePrembly, RealProvider
from tests.store.damage import damaged_books
from tests.store.fundings import AMOUNT, BASE_URL, FundingShop, another, caller_of, funding_shop, paid
from tests.store.test_cli import Shop
from tests.unit.test_connected import EXPECTED, PREMBLY, REFUSED, SANDBOX

pytestmark = pytest.mark.usefixtures("nobodys_settings")


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[FundingShop]:
    async with funding_shop(database, sandbox=True) as made:
        yield made


async def fund(shop: FundingShop, caller: Any = None) -> str:
    """A live funding that the payer has paid in the sandbox; answers its reference."""
    funding = await shop.start(caller=caller)
    await shop.execute(
        "update sandbox.payment set state = 'paid', decided_at = now() where reference = $1", funding.reference
    )
    await shop.fundings.check(funding.reference)
    return funding.reference


STATE = "select state from funding where reference = $1"
REAL = Connected.of([], [PREMBLY], [SANDBOX])
PRETENDING = Connected.of([], [], [SANDBOX])


# What settings connect ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def connectable(server: Server) -> AsyncIterator[str]:
    async with server.database("connectable") as url:
        database = await Database.open(url, pool_size=1)
        try:
            await prepare_database(database, lambda _: None)
            async with funding_shop(database, sandbox=True) as made:
                await fund(made)
        finally:
            await database.close()
        yield url


@pytest.mark.parametrize("combination", EXPECTED, ids=str)
async def test_a_shop_does_what_its_settings_connect(
    connectable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, combination: tuple[int, ...]
) -> None:
    """The same table as of the rule, through everything that bootstrap makes of settings; a live wallet holds play money."""
    own_network, live_simulator, real_provider, authority, live_key = combination
    providers = vendors.providers_of
    monkeypatch.setattr("telvend.authorities.prembly.client.Prembly", lambda **_: FakePrembly())
    if real_provider:
        monkeypatch.setattr(vendors, "providers_of", lambda *given: [*providers(*given), RealProvider()])
    for test_key in (None, Secret("sk_test_x")):
        settings = Settings(
            data_dir=str(tmp_path),
            own_network=bool(own_network),
            simulators={"simulator": SimulatorSettings(live=bool(live_simulator))},
            prembly_api_key=Secret("x") if authority else None,
            paystack_secret_key=Secret("sk_live_x") if live_key else None,
            paystack_test_secret_key=test_key,
        )
        expected = EXPECTED[combination]
        if expected == REFUSED:
            with pytest.raises(
                SettingsRefused, match=r"cannot stand side by side: .* must not take live orders beside vt"
            ):
                async with open_shop(settings, connectable):
                    pass
            continue
        async with open_shop(settings, connectable) as opened:
            await opened.watch.look()
            gateways = opened.services.fundings._gateways
            live = gateways.choose(test=False, currency="NGN", method=Method.CARD)
            test = gateways.choose(test=True, currency="NGN", method=Method.CARD)
            goes_on = not opened.gate.halts(Mode.LIVE)
            assert (live and live.name, goes_on) == expected
            assert test is not None
            assert test.name == ("paystack-test" if test_key else "sandbox")
            assert not opened.gate.halts(Mode.TEST)
            if live is None:
                await refused_to_fund(opened)


async def refused_to_fund(opened: Opened) -> None:
    reseller = (await opened.services.resellers.list_resellers())[0]
    caller = await caller_of(opened.database, reseller.id)
    with pytest.raises(InvalidInput, match="payment_method"):
        await opened.services.fundings.start(caller, AMOUNT, Method.CARD, None, base_url=BASE_URL)


# Halting on every node ------------------------------------------------------------------------------------------------------


async def test_every_process_halts_and_goes_on_by_what_the_database_says(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The play money was there before; three nodes, one of them with the old settings."""
    monkeypatch.setattr("telvend.authorities.prembly.client.Prembly", lambda **_: FakePrembly())
    real = Settings(data_dir=str(tmp_path), prembly_api_key=Secret("x"))
    async with open_shop(Settings(data_dir=str(tmp_path)), database_url, serves=True) as old:
        async with funding_shop(old.database, sandbox=True) as made:
            reference = await fund(made)
        async with (
            open_shop(real, database_url, serves=True) as first,
            open_shop(real, database_url, serves=True) as second,
        ):
            nodes = (old, first, second)

            async def halted() -> list[bool]:
                for node in nodes:
                    await node.watch.look()
                return [node.gate.halts(Mode.LIVE) for node in nodes]

            assert await halted() == [False, True, True]
            assert not first.gate.halts(Mode.TEST)
            (reason,) = first.gate.reasons
            assert "NGN 5,000.00" in reason
            # A process that begins now is closed by its first look, which comes before it listens.
            async with open_shop(real, database_url) as third:
                await third.watch.look()
                assert third.gate.halts(Mode.LIVE)
            await second.play_money.void(reference, "going live", "Ada's shop")
            assert await halted() == [False, False, False]


async def test_a_node_with_the_old_settings_takes_no_play_money_beside_one_that_is_live(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its play money could buy from the other what is real, until that one has heard of it; and halt the whole shop."""
    monkeypatch.setattr("telvend.authorities.prembly.client.Prembly", lambda **_: FakePrembly())
    real = Settings(data_dir=str(tmp_path), prembly_api_key=Secret("x"))
    async with (
        open_shop(Settings(data_dir=str(tmp_path)), database_url, serves=True) as old,
        funding_shop(old.database, sandbox=True) as made,
    ):
        async with open_shop(real, database_url) as command:
            await command.watch.look()
        # A command is no node.
        assert await made.value(STATE, await fund(made)) == "completed"
        async with open_shop(real, database_url, serves=True) as live:
            await live.watch.look()
            with capture_logs() as logs:
                reference = await fund(made)
            assert "play_money_not_taken" in {entry["event"] for entry in logs}
            assert await made.value(STATE, reference) == "pending"
            # One that was killed, and says nothing any more, counts for a minute.
            for seconds, state in ((15, "pending"), (6, "completed")):
                await made.execute("update real_process set seen_at = seen_at - make_interval(secs => $1)", seconds)
                await made.fundings.check(reference)
                assert await made.value(STATE, reference) == state
            await live.watch.look()
            assert live.gate.halts(Mode.LIVE)
        # One that has ended properly does not count at all.
        assert await made.value(STATE, await fund(made)) == "completed"


async def test_a_node_that_pretends_leaves_live_orders_to_one_that_delivers(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers = vendors.providers_of
    settings = Settings(data_dir=str(tmp_path))
    async with open_shop(settings, database_url, serves=True) as old:
        monkeypatch.setattr(vendors, "providers_of", lambda *given: [*providers(*given), RealProvider()])
        real = Settings(data_dir=str(tmp_path), own_network=False)
        async with open_shop(real, database_url, serves=True) as live:
            for node in (live, old):
                await node.watch.look()
            assert (live.gate.halts(Mode.LIVE), old.gate.halts(Mode.LIVE)) == (False, True)
            assert not old.gate.halts(Mode.TEST)
            assert "delivered for real elsewhere" in old.gate.reasons[0]
            assert (live.fulfilment._held(), old.fulfilment._held()) == (False, True)
        await old.watch.look()
        assert old.gate.reasons == ()
        assert not old.fulfilment._held()
    # One of this node that was killed is forgotten at the next start, whatever that one has connected.
    async with old_row(database_url):
        monkeypatch.setattr(vendors, "providers_of", providers)
        async with open_shop(settings, database_url, serves=True) as again:
            await again.watch.look()
            assert again.gate.reasons == ()


@asynccontextmanager
async def old_row(url: str) -> AsyncIterator[None]:
    """A process of this node that has ended without a word."""
    database = await Database.open(url, pool_size=1)
    async with database.connection() as tx:
        await tx.execute(
            "insert into real_process (process, node, pid, vendors, delivers)"
            " values (gen_random_uuid(), $1, 4194303, 'vt', true)",
            socket.gethostname(),
        )
    await database.close()
    yield


async def test_money_of_a_test_wallet_and_real_money_halt_nothing(database: Database) -> None:
    async with funding_shop(database, mode=Mode.TEST, sandbox=True) as made:
        await fund(made)
        gate = SalesGate()
        async with database.connection() as tx:
            await PlayMoneyGuard(REAL, gate).load(tx)
    assert not gate.reasons


async def test_a_funding_remembers_whether_its_gateway_pretended(database: Database) -> None:
    """Whatever it is called; and one that was paid before this was written down is known by the sandbox's name."""
    async with funding_shop(database) as made:
        real, play = await made.start(), await made.start()
        made.gateway.words = {one.reference: paid(one) for one in (real, play)}
        await made.fundings.check(real.reference)
        made.gateway.traits = GatewayTraits(live_mode=True, test_mode=True, pretends=True)
        await made.fundings.check(play.reference)
        async with database.connection() as tx:
            assert [one.reference for one in await store.fundings(tx)] == [play.reference]
        await made.execute("update funding set pretended = null")
        async with database.connection() as tx:
            assert await store.fundings(tx) == []
            await tx.execute("update funding set gateway = 'sandbox' where id = $1", real.id)
            assert [one.reference for one in await store.fundings(tx)] == [real.reference]


# Voiding --------------------------------------------------------------------------------------------------------------------


async def test_voids_at_once_take_it_once(shop: FundingShop) -> None:
    await fund(shop)
    kofi = await another(shop.database, shop.ledger, "kofi@example.com")
    await fund(shop, kofi)
    play_money = PlayMoney(shop.database, shop.ledger)
    done = await asyncio.gather(*(play_money.void_all("going live", "Ama") for _ in range(8)))
    taken = [one.taken.minor for one in itertools.chain(*done) if one.taken.minor]
    assert taken == [AMOUNT.minor, AMOUNT.minor]
    assert await shop.balance() == 0
    report = await audit_books(shop.database)
    assert report.ok, report.findings


async def test_a_void_is_a_transaction_of_the_wallet(shop: FundingShop) -> None:
    reference = await fund(shop)
    await PlayMoney(shop.database, shop.ledger).void(reference, "going live", "Ama")
    transactions = Transactions(shop.database)
    wallet = shop.caller.wallets["NGN"]
    page = await transactions.page(wallet, NGN, Filter(), limit=10, offset=0)
    newest = page.transactions[0]
    assert (newest.credit, newest.amount, newest.before, newest.after) == (False, AMOUNT, AMOUNT, Money(0, NGN))
    assert (newest.status, newest.service) == (TransactionStatus.COMPLETED, "funding")
    assert newest.description == f"Play money taken back - {reference}"
    assert (await transactions.find(wallet, NGN, newest.reference)).id == newest.id
    assert await transactions.references([newest.id]) == {newest.id: newest.reference}
    debits = await transactions.page(wallet, NGN, Filter(credit=False), limit=10, offset=0)
    assert [one.reference for one in debits.transactions] == [newest.reference]


async def test_only_play_money_of_a_live_wallet_is_voided(database: Database) -> None:
    async with funding_shop(database) as made:
        play_money = PlayMoney(database, made.ledger)
        pending, real = await made.start(), await made.start()
        made.gateway.words = {real.reference: paid(real)}
        await made.fundings.check(real.reference)
        for reference, sentence in (
            (pending.reference, "is pending"),
            (real.reference, "real money, paid through told"),
        ):
            with pytest.raises(InvalidInput, match=sentence):
                await play_money.void(reference, "going live", "Ama")
        for reference in ("FND-1", "FND-999-abcdef", f"{real.reference[:-1]}!"):
            with pytest.raises(NotFound):
                await play_money.void(reference, "going live", "Ama")
        for reason, by in (("", "Ama"), ("going live", " "), ("x" * 501, "Ama"), ("a\nb", "Ama")):
            with pytest.raises(InvalidInput, match="must be 1 to 500"):
                await play_money.void_all(reason, by)
        assert await play_money.void_all("going live", "Ama") == []
        assert await made.balance() == AMOUNT.minor


async def test_play_money_of_a_test_wallet_is_left_where_it_belongs(database: Database) -> None:
    async with funding_shop(database, mode=Mode.TEST, sandbox=True) as made:
        reference = await fund(made)
        with pytest.raises(InvalidInput, match="where it belongs"):
            await PlayMoney(database, made.ledger).void(reference, "going live", "Ama")


async def test_a_void_is_never_changed(shop: FundingShop) -> None:
    await PlayMoney(shop.database, shop.ledger).void(await fund(shop), "going live", "Ama")
    for statement in ("update funding_void set taken_minor = 1", "delete from funding_void"):
        with pytest.raises(Exception, match="never changed or removed"):
            await shop.execute(statement)


# Whether the books hold -----------------------------------------------------------------------------------------------------

DAMAGES = {
    "a void says more than the ledger": "update funding_void set taken_minor = taken_minor + 1",
    "a void's write-off is not in the ledger": "update funding_void set spent_minor = spent_minor - 1",
    "a void is gone": "delete from funding_void",
    "a transfer of a void is gone": "delete from transfer where kind = 7",
    "a write-off is entered as another gateway's": "update account set owner = 'told' where owner = 'sandbox'",
    "a void stands elsewhere in the list": "update wallet_transaction set kind = 'c' where kind = 'x'",
    "real money was voided": "update funding set pretended = false",
    "more was voided than came in": "update funding set amount_minor = amount_minor - 1, balance_after_minor = balance_after_minor - 1",
}


@pytest.fixture(scope="module")
async def damaged(server: Server) -> AsyncIterator[Database]:
    """A void that has taken 4,900 of 5,000, and written 100 off."""
    async with server.database("damaged") as url:
        database = await Database.open(url, pool_size=2)
        try:
            async with funding_shop(database, sandbox=True) as made:
                reference = await fund(made)
                await made.execute("update wallet set balance_minor = balance_minor - 10000 where balance_minor > 0")
                await PlayMoney(database, made.ledger).void(reference, "going live", "Ama")
            yield database
        finally:
            await database.close()


async def test_the_audit_of_sound_voids_finds_nothing(damaged: Database) -> None:
    async with damaged.connection() as tx:
        assert await findings_of(tx, INVARIANTS) == []


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_audit_finds(damaged: Database, damage: str) -> None:
    async with damaged_books(damaged, DAMAGES[damage]) as tx:
        findings = await findings_of(tx, INVARIANTS)
    assert findings
    for finding in findings:
        assert any(character.isdigit() for character in finding.text)


# The commands ---------------------------------------------------------------------------------------------------------------


def test_the_commands_say_whose_and_how_much_and_a_second_void_changes_nothing(
    database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(database_url)
    words = ("--reason", "going live", "--by", "Ada's shop")

    async def funded(database: Database) -> list[str]:
        async with funding_shop(database, sandbox=True) as made:
            return [await fund(made), await fund(made)]

    first, second = shop.work(funded)
    assert level(shop.data("doctor"), "play money") == "ok"
    monkeypatch.setenv("TELVEND_PREMBLY_API_KEY", "key")
    halted = shop.data("doctor", code=1)
    assert level(halted, "play money") == "failure"
    assert level(halted, "live fundings") == "warning"
    assert "NGN 10,000.00" in str(halted)
    assert "telvend funding void --all-play" in str(halted)

    (one,) = shop.data("funding", "void", first, *words)["voided"]
    assert {name: str(one[name]) for name in ("reference", "taken", "spent", "left")} == {
        "reference": first, "taken": "5000.00", "spent": "0.00", "left": "0.00",
    }  # fmt: skip
    assert shop.data("funding", "void", first, *words) == {"voided": []}
    assert "was voided before" in shop.run("funding", "void", first, *words).stdout
    assert [one["reference"] for one in shop.data("funding", "void", "--all-play", *words)["voided"]] == [second]
    assert "no play money" in shop.run("funding", "void", "--all-play", *words).stdout
    assert level(shop.data("doctor"), "play money") == "ok"
    history = shop.data("funding", "show", first)
    assert [(one["by"], one["reason"]) for one in history["voids"]] == [("Ada's shop", "going live")]
    assert "Ada's shop" in shop.run("funding", "show", first).stdout
    statement = shop.run("wallet", "statement", one["email"], "NGN").stdout
    assert "play money taken out" in statement
    assert shop.data("ledger", "check")["ok"]


def level(answer: Any, check: str) -> str:
    return next(str(finding["level"]) for finding in answer["findings"] if finding["check"] == check)


def test_a_void_needs_a_reference_or_all_play_and_who_and_why(database_url: str, data_dir: Path) -> None:
    shop = Shop(database_url)
    words = ("--reason", "going live", "--by", "Ama")
    wrong: list[Result] = [
        shop.run("funding", "void", *arguments, code=2)
        for arguments in (words, ("FND-1-abcdef", "--all-play", *words), ("--all-play", "--by", "x"), ("--all-play",))
    ]
    assert all(result.stdout == "" for result in wrong)
    assert shop.refused("funding", "void", "FND-1-abcdef", *words) == "Funding not found."
