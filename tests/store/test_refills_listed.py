"""A refill in the list that networkdatasub shows: a whole shop, called without a server."""

from pathlib import Path

from telvend.bootstrap import applications, open_shop
from telvend.config import Settings
from telvend.database.connections import Database
from telvend.kit.lifecycle import Lifecycle
from telvend.kit.mode import Mode
from telvend.kit.money import NGN, Money
from telvend.operator.refills.model import RefillKind, RefillRequest
from tests.store.refills import NGOZI
from tests.store.subscribers import subscriber
from tests.unit.asgi import request


async def test_a_refill_is_listed_and_shown_as_airtime(database: Database, database_url: str, tmp_path: Path) -> None:
    await subscriber(database, NGOZI, currency="NGN")
    async with open_shop(Settings(data_dir=str(tmp_path)), database_url) as shop, Lifecycle() as life:
        await shop.watch.look()
        services = shop.services
        reseller = await services.resellers.add("ada@example.com", "Ada", "08031234567")
        _, key, _ = await services.resellers.add_key(reseller.email, "networkdatasub", Mode.LIVE)
        await services.credits.add(reseller.id, Money(500_00, NGN), Mode.LIVE, "opening")
        wallets = {w.balance.currency.code: w.wallet_id for w in await services.wallets.of_reseller(reseller.id)}
        live = {w.mode: w for w in await services.wallets.of_reseller(reseller.id) if w.balance.currency == NGN}[
            Mode.LIVE
        ]
        done = await services.refills.refill(
            RefillRequest(
                reseller_id=reseller.id,
                dialect="madapi",
                mode=Mode.LIVE,
                transaction_id="T-000001",
                kind=RefillKind.VOUCHERLESS,
                msisdn=NGOZI,
                wallets=wallets | {"NGN": live.wallet_id},
                source="192.0.2.1",
                profile="DB00",
                units=100,
            )
        )
        app, _ = applications(life, shop, tmp_path / "run")
        headers = {"authorization": f"Token {key.reveal()}"}
        listed = await request(app, "GET", "/api/transactions", headers=headers)
        assert listed.status == 200, listed.body
        line = listed.json["data"]["data"][0]
        assert (line["type"], line["amount"], line["status"]) == ("debit", "100.00", "completed")
        assert (line["reference"], line["description"]) == (done.refill.reference, "Airtime Refill - NGN 100.00")
        assert line["meta"] == {"phone": "08031234567", "network": "", "plan": None, "service_type": "airtime"}
        shown = await request(app, "GET", f"/api/transactions/{done.refill.reference}", headers=headers)
        assert shown.status == 200, shown.body
        transaction = shown.json["data"]
        assert (transaction["balance_before"], transaction["balance_after"]) == ("500.00", "400.00")
        assert transaction["meta"]["provider_response"] is None
