"""Callbacks on a real database: they bring the next question forward, once, and change nothing else."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from telvend.bootstrap import applications, open_shop, work
from telvend.config import ProviderSettings, Settings, load
from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.fulfilment.model import ProviderReport
from telvend.kit.clock import SystemClock
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.mode import Mode
from telvend.kit.secret import Secret
from telvend.orders.model import COUNTER, Order, OrderState
from telvend.providers.connectors import connect
from telvend.providers.contract import Accepted, Delivered, Unknown
from telvend.providers.reloadly.wire import CALLBACK as RELOADLY
from telvend.providers.upstream import CallbackForm, ConnectorRefused, RequestPreview
from telvend.upkeep.preparation import prepare_database
from telvend.upstreams.callbacks import store
from telvend.upstreams.callbacks.service import MOST_USED, PAUSE_S, Callbacks, CallingProvider
from tests import upstream_double as double
from tests.clocks import FakeClock
from tests.contract.provider_rigs import delivery_in_nigeria
from tests.store.test_cli import EMAIL, Shop
from tests.store.test_provisional import Desk
from tests.unit.asgi import request

SECRET = "0123456789abcdef0123"
FORM = CallbackForm((("requestId",), ("transactionId",)), {"response": "success"})


@pytest.fixture
async def prepared(database_url: str) -> str:
    database = await Database.open(database_url, pool_size=1)
    await prepare_database(database, lambda _: None)
    await database.close()
    return database_url


class Post:
    """A desk with an upstream `vt` that calls back."""

    def __init__(self, route: Desk) -> None:
        self.route = route
        self.clock = FakeClock()
        self.callbacks = Callbacks(route.database, {"vt": CallingProvider(FORM, Secret(SECRET))}, self.clock)

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> "AsyncIterator[Post]":
        async with Desk.open(database) as route:
            yield cls(route)

    async def waiting(self, **changes: Any) -> Order:
        """An order whose attempt was asked about three times, and is next in three hours."""
        order = await self.route.unknown(600, **changes)
        await self.route.execute("update attempt set asked = 3 where order_id = $1", order.id)
        await self.route.execute(
            "update orders set due_at = now() + interval '3 hours' where id = $1 and due_at is not null", order.id
        )
        return order

    async def call(self, reference: str, name: str = "vt", secret: str = SECRET) -> Mapping[str, Any] | None:
        body = json.dumps({"requestId": reference, "status": "failed"}).encode()
        return await self.callbacks.receive(name, secret, {}, body)

    async def look(self) -> int:
        return await self.callbacks.look(self.route.jobs.settle)

    async def due_in_s(self, order: Order) -> float:
        async with self.route.database.connection() as tx:
            found = await tx.fetchval(
                "select extract(epoch from due_at - now())::float8 from orders where id = $1", order.id
            )
            return float(found)

    async def asked(self, order: Order) -> int:
        async with self.route.database.connection() as tx:
            return int(await tx.fetchval("select asked from attempt where order_id = $1", order.id))

    async def rows(self) -> int:
        async with self.route.database.connection() as tx:
            return int(await tx.fetchval("select count(*) from provider_callback"))


async def test_a_callback_has_the_provider_asked_now_and_the_answer_counts(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        money = await post.route.money()
        assert await post.call(f"{order.reference}-1") == {"response": "success"}
        assert await post.look() == 1
        assert await post.due_in_s(order) < 1
        # It said "failed", and nobody has believed it.
        assert (await post.route.state(order))[0] == "waiting"
        assert await post.route.attempt(order) == "unknown"
        assert await post.route.money() == money
        assert await post.asked(order) == 2
        await post.route.hear(order, Unknown())
        assert await post.asked(order) == 3
        await post.route.hear(order, Delivered())
        assert (await post.route.state(order))[0] == "delivered"


async def test_it_is_found_by_their_reference_too(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        await post.route.hear(order, Accepted("T-77"))
        await post.route.execute("update orders set due_at = now() + interval '3 hours' where id = $1", order.id)
        await post.callbacks.receive("vt", SECRET, {}, b'{"transactionId": "T-77"}')
        assert await post.look() == 1


@pytest.mark.parametrize("name", ["vt", "other"])
async def test_without_the_secret_nothing_is_learned_or_stored(database: Database, name: str) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        assert await post.call(f"{order.reference}-1", name, "0123456789abcdef0124") is None
        assert await post.callbacks.receive(name, None, {}, b"{}") is None
        assert (await post.rows(), await post.look()) == (0, 0)
        assert await post.callbacks.receive("vt", SECRET, {}, b"[]") is None


async def test_repeated_ones_are_one_and_the_next_one_waits_for_its_time(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        for _ in range(5):
            await post.call(f"{order.reference}-1")
        assert (await post.rows(), await post.look(), await post.look()) == (1, 1, 0)
        await post.route.hear(order, Unknown())
        await post.call(f"{order.reference}-1")
        assert await post.look() == 0
        # It is not lost.
        await post.route.execute(
            "update provider_callback set used_at = used_at - make_interval(secs => $1)", PAUSE_S + 1
        )
        assert await post.look() == 1
        assert await post.look() == 0


async def test_two_processes_that_look_at_once_bring_it_forward_once(database: Database) -> None:
    async with Post.open(database) as post:
        orders = [await post.waiting() for _ in range(3)]
        for order in orders:
            await post.call(f"{order.reference}-1")
        assert sum(await asyncio.gather(*(post.look() for _ in range(4)))) == 3
        assert [await post.asked(order) for order in orders] == [2, 2, 2]


async def test_an_early_one_changes_nothing(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        # A worker has it in hand: its own request is not answered yet.
        await post.route.execute("update orders set state = 'delivering' where id = $1", order.id)
        before = await post.due_in_s(order)
        await post.call(f"{order.reference}-1")
        assert await post.look() == 0
        assert abs(await post.due_in_s(order) - before) < 5
        assert (await post.route.state(order))[0] == "delivering"
        assert await post.asked(order) == 3


async def test_one_about_a_final_or_unknown_purchase_is_counted_and_not_kept(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        await post.route.hear(order, Delivered())
        money = await post.route.money()
        for reference in (f"{order.reference}-1", "nobody-knows", f"{order.reference}-2"):
            assert await post.call(reference) == {"response": "success"}
        assert await post.rows() == 3
        assert await post.look() == 0
        assert await post.rows() == 0
        assert await post.route.money() == money


async def test_an_attempt_at_another_provider_is_not_meant(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        await post.route.execute("update attempt set provider = 'other' where order_id = $1", order.id)
        await post.call(f"{order.reference}-1")
        assert await post.look() == 0


async def test_from_review_it_is_asked_once_more_and_goes_back_where_nobody_knows(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting(state="review")
        await post.route.execute("update attempt set asked = 11 where order_id = $1", order.id)
        await post.call(f"{order.reference}-1")
        assert await post.look() == 1
        assert (await post.route.state(order))[0] == "waiting"
        word = ProviderReport(order.id, order.wallet_id, 1, Unknown(), True, 1e6, 0.0, True)
        await post.route.jobs.settle([word])
        assert (await post.route.state(order))[0] == "review"


async def test_so_many_bring_a_question_forward_and_no_more(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        await post.call(f"{order.reference}-1")
        await post.look()
        await post.route.execute("update provider_callback set used = $1, used_at = null, waits = true", MOST_USED)
        assert await post.look() == 0


async def test_what_waits_is_bounded_and_so_is_what_comes_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_WAITING", 3)
    async with Post.open(database) as post:
        for number in range(3):
            await post.call(f"R-{number}")
        with pytest.raises(Busy):
            await post.call("R-3")
        assert await post.rows() == 3
        for _ in range(196):
            await post.callbacks.receive("vt", SECRET, {}, b'{"type": "variations-update"}')
        results = await asyncio.gather(*(post.call("R-0") for _ in range(210)), return_exceptions=True)
        assert sum(isinstance(result, Busy) for result in results) >= 10
        assert await post.rows() == 3


async def test_old_ones_are_forgotten(database: Database) -> None:
    async with Post.open(database) as post:
        order = await post.waiting()
        await post.call(f"{order.reference}-1")
        await post.look()
        assert await post.rows() == 1
        await post.route.execute("update provider_callback set received_at = now() - interval '8 days'")
        post.clock.pass_time(3_601)
        await post.look()
        assert await post.rows() == 0


# A shop with VTpass ---------------------------------------------------------------------------------------------------------


def vtpass(**more: Any) -> ProviderSettings:
    keys = {name: Secret("k") for name in ("api_key", "public_key", "secret_key")}
    return ProviderSettings(connector="vtpass", **(keys | {"callback_secret": Secret(SECRET)} | more))


async def test_a_server_takes_the_callback_of_vtpass(nobodys_settings: None, prepared: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), own_network=False, providers={"vt": vtpass()})
    body = json.dumps({"type": "transaction-update", "data": {"requestId": "202611281403abcdef"}}).encode()
    async with Lifecycle() as life, open_shop(settings, prepared) as shop:
        app, _ = applications(life, shop, tmp_path / "run")
        path = f"/providers/vt/callback/{SECRET}"
        reply = await request(app, "POST", path, body=body)
        assert (reply.status, reply.json) == (200, {"response": "success"})
        for other in (
            "/providers/vt/callback",
            path + "x",
            "/providers/nobody/callback/x",
            "/providers/simulator/callback/x",
        ):
            assert (await request(app, "POST", other, body=body)).status == 404
        async with shop.database.connection() as tx:
            rows = await tx.fetch("select provider, reference, waits from provider_callback")
        assert [tuple(row) for row in rows] == [("vt", "202611281403abcdef", True)]
        assert shop.callback_requeries is not None


def test_an_order_that_would_be_asked_about_in_hours_is_settled_by_a_callback(
    database_url: str, nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path))
    double.install(monkeypatch)
    monkeypatch.setattr(double.Double, "callback", FORM)
    (tmp_path / "telvend.toml").write_text(
        f'own_network = false\n[providers.vt]\nconnector = "double"\napi_key = "k"\ncallback_secret = "{SECRET}"\n'
    )
    shop = Shop(database_url)
    shop.add_reseller()
    shop.run("wallet", "credit", EMAIL, "500", "NGN", "--reference", "cash")
    double.answers["POST /purchases"] = httpx.Response(200, json={"status": "pending"})
    double.answers["GET /purchases"] = httpx.Response(200, json={"status": "pending"})

    async def sell() -> Order:
        async with work(load({"data_dir": str(tmp_path)}, {}).settings, database_url) as running, Lifecycle() as life:
            app, _ = applications(life, running, tmp_path / "run")
            caller = await running.resellers.caller_without_key(EMAIL, COUNTER, Mode.LIVE)
            placed = await running.counter.place(
                caller, code="NG-MTN-AIRTIME", recipient="08031234567", amount="50", client_reference="r1"
            )
            async with running.database.connection() as tx:
                for _ in range(200):
                    if await tx.fetchval("select count(*) from orders where state = 'waiting'"):
                        break
                    await asyncio.sleep(0.05)
                await tx.execute("update orders set due_at = now() + interval '3 hours' where state = 'waiting'")
            double.answers["GET /purchases"] = httpx.Response(200, json={"status": "done", "kobo": 4_875})
            body = json.dumps({"requestId": f"{placed.order.reference}-1", "status": "failed"}).encode()
            reply = await request(app, "POST", f"/providers/vt/callback/{SECRET}", body=body)
            assert (reply.status, reply.json) == (200, FORM.acknowledgement)
            return await running.orders.settled(placed.order, 20)

    order = asyncio.run(sell())
    assert order.state is OrderState.DELIVERED
    assert [one.method for one in double.requests if one.url.path != "/balance"][:1] == ["POST"]
    assert shop.data("ledger", "check")["ok"]


async def test_a_signed_callback_is_taken_and_a_forged_or_late_one_is_nothing(database: Database) -> None:
    clock = FakeClock()
    caller = CallingProvider(RELOADLY, Secret("whsec"))
    callbacks = Callbacks(database, {"rl": caller}, clock)
    body = b'{"data": {"customIdentifier": "AT-1-abcdef-1"}}'

    def signed(stamp: str, secret: bytes = b"whsec") -> dict[str, str]:
        made = hmac.new(secret, body + b":" + stamp.encode(), hashlib.sha256).hexdigest()
        return {"x-reloadly-signature": made, "x-reloadly-request-timestamp": stamp}

    now = clock.now().isoformat()
    assert await callbacks.receive("rl", None, signed(now), body) == {"status": "ok"}
    # The same once more is one.
    assert await callbacks.receive("rl", None, signed(now), body) == {"status": "ok"}
    assert await callbacks.receive("rl", None, signed(now, b"another"), body) is None
    assert await callbacks.receive("rl", None, signed(now), body + b" ") is None
    # The secret of the signature is no secret of an address.
    assert await callbacks.receive("rl", "whsec", signed(now), body) is None
    assert await callbacks.receive("rl", "whsec", {}, body) is None
    clock.pass_time(301)
    assert await callbacks.receive("rl", None, signed(now), body) is None
    async with database.connection() as tx:
        assert await tx.fetchval("select count(*) from provider_callback") == 1


@pytest.mark.parametrize(("public_url", "told"), [("https://sell.example/", True), ("", False)])
async def test_dtone_is_told_the_address_with_each_purchase_and_a_preview_hides_its_secret(
    nobodys_settings: None, prepared: str, tmp_path: Path, public_url: str, told: bool
) -> None:
    keys = {"api_key": Secret("hunter2"), "api_secret": Secret("s-hidden"), "callback_secret": Secret(SECRET)}
    table = ProviderSettings(connector="dtone", **keys)
    settings = Settings(data_dir=str(tmp_path), own_network=False, public_url=public_url, providers={"dt": table})
    async with open_shop(settings, prepared) as shop:
        (upstream,) = shop.connected_upstreams
        seen = upstream.preview(delivery_in_nigeria("+2348031234567", "AT-1-abcdef-1", "airtime"))
    assert isinstance(seen, RequestPreview)
    assert SECRET not in seen.body
    assert ("https://sell.example/providers/dt/callback/********" in seen.body) is told


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (vtpass(callback_secret=Secret("short")), "callback_secret: stands in an address: 16 to 256 letters"),
        (vtpass(callback_secret=Secret("with/slashes/in/the/secret")), "callback_secret: stands in an address"),
        (
            ProviderSettings(connector="netpluse", api_key=Secret("k"), callback_secret=Secret(SECRET)),
            "callback_secret: is not used by the connector netpluse",
        ),
    ],
    ids=["short", "slashes", "unused"],
)
def test_a_secret_that_no_callback_could_have_is_refused(settings: ProviderSettings, words: str) -> None:
    with pytest.raises(ConnectorRefused, match=words):
        connect("vt", settings, SystemClock())


def test_check_says_where_the_vendor_calls_back_and_no_secret(
    database_url: str, nobodys_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELVEND_DATA_DIR", str(tmp_path))
    double.install(monkeypatch)
    monkeypatch.setattr(double.Double, "callback", FORM)
    table = '[providers.vt]\nconnector = "double"\napi_key = "k"\n'
    head = 'own_network = false\npublic_url = "https://sell.example/"\n'

    def check(text: str) -> dict[str, Any]:
        (tmp_path / "telvend.toml").write_text(text)
        found: dict[str, Any] = Shop(database_url).data("provider", "check", "vt")
        assert SECRET not in json.dumps(found, default=str)
        return found

    found = check(head + table + f'callback_secret = "{SECRET}"\n')
    assert found["warnings"] == []
    assert found["callback_url"] == "https://sell.example/providers/vt/callback/********"
    found = check("own_network = false\n" + table + f'callback_secret = "{SECRET}"\n')
    assert (found["callback_url"], found["warnings"][0]["where"]) == (None, "public_url")
    assert check(head + table)["warnings"][0]["where"] == "callback_secret"
