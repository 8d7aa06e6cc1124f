"""What `telvend demo` tells: a sale in Ghana, business in Nigeria, and both seen from the operator's side.

Everything but the furnishing goes over HTTP, as a reseller's program would send it.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from telvend.cli.common import table
from telvend.cli.orders import print_history
from telvend.config import Settings
from telvend.dialects import madapi, netpluse, networkdatasub
from telvend.errors import AlreadyExists
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, NGN, Money
from telvend.operator.vouchers.model import NewVoucher

if TYPE_CHECKING:
    import httpx

    from telvend.bootstrap import Shop

EMAIL: Final = "ama@demo.example"
PHONE: Final = "0241234567"
NIGERIAN_PHONE: Final = "08031234567"
NIGERIAN_MSISDN: Final = "2348031234567"
PATIENCE_S: Final = 15.0
MONEY: Final = Money(20_000, GHS)
VOUCHER: Final = Money(200_00, NGN)


class Story:
    """Told as it happens, step by step."""

    def __init__(self, shop: "Shop", settings: Settings, console: Console, *, once: bool) -> None:
        self._shop = shop
        self._console = console
        self._base = f"http://127.0.0.1:{settings.port}"
        self._keys = Path(settings.data_dir) / "demo-keys.json"
        self._settings = settings
        self._number = 0
        self._once = once

    async def tell(self, seconds: float) -> None:
        from telvend.kit import http

        self._console.print(
            f"\n[bold]Telvend is up[/bold] after {seconds:.1f} s, with everything in {self._settings.data_dir}"
        )
        keys = await self._furnish()
        key = keys["live"]
        async with http.client(self._base, timeout_s=30, headers={"x-api-key": key}) as client:
            self._step("A key opens the door")
            await self._get(client, "/api/v1/ping")

            self._step("What is on sale")
            packages = (await self._get(client, "/api/v1/packages", show=False))["packages"]
            some = [p for p in packages if p["capacity"] in ("1GB", "2GB", "5GB")]
            rows = [(p["network"], p["capacity"], f"{p['price']:.2f}", p["validity"]) for p in some]
            table("", ("network", "capacity", "price (GHS)", "validity"), rows, "")(self._console)
            self._console.print(f"… and {len(packages) - len(some)} more")

            self._step("The wallet before")
            before = await self._get(client, "/api/v1/balance")

            self._step(f"Buy 1GB for {PHONE}")
            bought = await self._buy(client)

            self._step("Delivery takes a moment; ask until it is there")
            await self._follow(client, bought["reference"])

            self._step("The wallet after")
            after = await self._get(client, "/api/v1/balance")
            spent = Money(round((before["balance"] - after["balance"]) * 100), GHS)
            self._console.print(f"spent: {spent}")

            self._step("What the ledger wrote about this sale")
            print_history(self._console, await self._shop.order_records.history(bought["reference"]))
        headers = {"authorization": f"Token {keys['nigeria']}"}
        async with http.client(self._base, timeout_s=30, headers=headers) as client:
            await self._nigeria(client)
        async with http.client(self._base, timeout_s=30, headers={"x-api-key": keys["operator"]}) as client:
            await self._operator(client)
        await self._invite(keys)

    async def _nigeria(self, client: "httpx.AsyncClient") -> None:
        """The same wallet's owner in Nigeria: money in, airtime, a bundle, an identity check."""
        self._step("Nigeria: fund the wallet; the gateway is a sandbox, and its page is a real one")
        form = {"amount": 5000, "payment_method": "card"}
        started = await self._post(client, "/api/wallet/fund", form)
        page = started["data"]["payment_url"].removeprefix(self._base)
        self._console.print(f"POST {page} decision=pay&method=card   (what the button of that page sends)")
        await client.post(page, data={"decision": "pay", "method": "card"})
        await self._until_funded(client, started["data"]["reference"])

        self._step(f"Airtime for {NIGERIAN_PHONE}; the answer shows the delivery")
        await self._post(client, "/api/airtime/purchase", {"network": "mtn", "phone": NIGERIAN_PHONE, "amount": 100})

        self._step("A Nigerian bundle, by its plan")
        plans = (await self._get(client, "/api/data-plans?network=mtn&type=SME", show=False))["data"]
        plan = next(plan for plan in plans if plan["code"] == "1GB")
        form = {"network": "mtn", "plan_id": plan["id"], "phone": NIGERIAN_PHONE}
        await self._post(client, "/api/data/purchase", form)

        self._step("Whose number is it? A built-in persona answers")
        checked = await self._post(
            client, "/api/verification/nin", {"nin": "12345678901", "card_type": "standard"}, show=False
        )
        details = checked["data"]["details"]
        self._console.print(
            f"{checked['message']}: {details['firstName']} {details['lastName']}, born {details['dateOfBirth']},"
            f" for NGN {checked['data']['amount']}; {checked['data']['wallet_balance']} left"
        )

    async def _operator(self, client: "httpx.AsyncClient") -> None:
        """The same subscriber as the network sees it: what was just sold is there, and a voucher is loaded."""
        plans = f"/v2/customers/{NIGERIAN_MSISDN}/plans"
        self._step("The operator's side (MTN MADAPI): the airtime and the bundle that were just bought")
        self._balances(await self._get(client, plans, show=False))

        self._step(f"A voucher of {VOUCHER} is issued and loaded; its PIN is stored as a keyed hash only")
        receiver = _Received()
        await self._shop.vouchers.issue(VOUCHER, 1, receiver)
        (voucher,) = receiver.vouchers
        self._console.print(f"voucher {voucher.serial}, PIN {voucher.pin.reveal()}")
        form = {"refillType": "voucher", "voucherActivationCode": voucher.pin.reveal()}
        transaction = {"transactionId": f"DEMO-{time.time_ns() // 1000 % 10**14}"}
        await self._patch(client, f"{plans}/refill", form, transaction)

        self._step("The same request once more, as after a time-out: the stored answer, and nothing is loaded twice")
        await self._patch(client, f"{plans}/refill", form, transaction)
        self._balances(await self._get(client, plans, show=False))

    def _balances(self, answer: dict[str, Any]) -> None:
        rows = [
            (entry["balanceType"], wallet["name"], wallet["amount"]["value"], wallet["amount"]["unit"],
             (wallet["expiryDate"] or "never")[:10])
            for entry in answer["data"]["balance"] or []
            for wallet in entry["wallets"]
        ]  # fmt: skip
        table("", ("balance", "wallet", "value", "unit", "until"), rows, "nothing yet")(self._console)

    async def _patch(
        self, client: "httpx.AsyncClient", path: str, form: dict[str, Any], headers: dict[str, str]
    ) -> None:
        said = " ".join(f"{name}: {value}" for name, value in headers.items())
        self._console.print(f"PATCH {path} {json.dumps(form)}   {said}", markup=False, soft_wrap=True)
        started = time.monotonic()
        response = await client.patch(path, json=form, headers=headers)
        self._said(response, started)
        if "idempotent-replayed" in response.headers:
            self._console.print("Idempotent-Replayed: true")
        response.raise_for_status()

    async def _until_funded(self, client: "httpx.AsyncClient", reference: str) -> None:
        """The notice is only a rumour: the money is there once the gateway was asked."""
        path, began = f"/api/transactions/{reference}", time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            found = (await client.get(path)).raise_for_status().json()["data"]
            if found["status"] != "pending":
                self._console.print(f"GET {path}: {found['status']}, balance {found['balance_after']}")
                return
            await asyncio.sleep(0.2)

    async def _post(
        self, client: "httpx.AsyncClient", path: str, form: dict[str, Any], *, show: bool = True
    ) -> dict[str, Any]:
        self._console.print(f"POST {path} {json.dumps(form)}", markup=False, soft_wrap=True)
        started = time.monotonic()
        response = await client.post(path, json=form)
        if show:
            self._said(response, started)
        answer: dict[str, Any] = response.raise_for_status().json()
        return answer

    async def _furnish(self) -> dict[str, str]:
        """A reseller with money and keys. The keys are kept beside the demo's data so that its curl lines go on working."""
        self._step("The shop: a reseller with a wallet and keys")
        services = self._shop.services
        resellers = services.resellers
        # A second demonstration in the same folder finds her there.
        with suppress(AlreadyExists):
            await resellers.add(EMAIL, "Ama's Airtime", PHONE)
        ama = await resellers.find(EMAIL)
        for mode in Mode:
            wallets = await services.wallets.of_reseller(ama.id)
            balance = next(w.balance for w in wallets if w.mode is mode and w.balance.currency == GHS)
            if balance.minor < MONEY.minor // 2:
                await services.credits.add(ama.id, MONEY, mode, f"demo {time.time_ns()}")
        try:
            keys: dict[str, str] = json.loads(self._keys.read_text())
            nothing_missing = keys.keys() >= {*Mode, "nigeria", "operator"}
        except (OSError, ValueError):
            keys, nothing_missing = {}, False
        if not nothing_missing:
            _, secret, _ = await resellers.add_key(EMAIL, networkdatasub.KEYS.api, Mode.LIVE, 600, 300)
            keys = {"nigeria": secret.reveal()}
            _, secret, _ = await resellers.add_key(EMAIL, madapi.KEYS.api, Mode.LIVE, 600, 300)
            keys["operator"] = secret.reveal()
            for mode in Mode:
                _, secret, _ = await resellers.add_key(EMAIL, netpluse.KEYS.api, mode, 600, 300)
                keys[mode] = secret.reveal()
            descriptor = os.open(self._keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(keys, file)
        self._console.print(f"{ama.name} <{ama.email}>, key {keys['live']}")
        return keys

    def _step(self, text: str) -> None:
        self._number += 1
        self._console.print(f"\n[bold cyan]{self._number}. {text}[/bold cyan]")

    def _said(self, response: "httpx.Response", started: float) -> None:
        milliseconds = (time.monotonic() - started) * 1000
        self._console.print(
            f"[green]{response.status_code}[/green] {response.text}  [dim]{milliseconds:.1f} ms[/dim]", soft_wrap=True
        )

    async def _get(self, client: "httpx.AsyncClient", path: str, *, show: bool = True) -> dict[str, Any]:
        self._console.print(f"GET {path}")
        started = time.monotonic()
        response = await client.get(path)
        if show:
            self._said(response, started)
        found: dict[str, Any] = response.raise_for_status().json()
        return found

    async def _buy(self, client: "httpx.AsyncClient") -> dict[str, Any]:
        form = {"network": "MTN", "phoneNumber": PHONE, "capacity": "1GB", "reference": f"demo-{time.time_ns()}"}
        return await self._post(client, "/api/v1/purchase", form)

    async def _follow(self, client: "httpx.AsyncClient", reference: str) -> None:
        path, last, started = f"/api/v1/order-status/{reference}", "", time.monotonic()
        self._console.print(f"GET {path}")
        while last not in ("completed", "failed"):
            order = (await client.get(path)).raise_for_status().json()
            if order["status"] != last:
                last = order["status"]
                self._console.print(f"after {time.monotonic() - started:4.1f} s: [bold]{last}[/bold]")
            await asyncio.sleep(0.2)

    async def _invite(self, keys: dict[str, str]) -> None:
        if self._once:
            self._console.print("\nThat was all. Without --once it goes on serving, and prints curl lines to try.")
            return
        self._step("Your turn")
        base, header = self._base, f"-H 'x-api-key: {keys['live']}'"
        body = json.dumps({"network": "Telecel", "phoneNumber": "0201234567", "capacity": "2GB"})
        for line in (
            f"curl {header} {base}/api/v1/balance",
            f"curl {header} {base}/api/v1/packages",
            f"curl {header} -H 'content-type: application/json' -d '{body}' {base}/api/v1/purchase",
            f"curl -H 'Authorization: Token {keys['nigeria']}' {base}/api/transactions",
            f"curl -H 'X-API-Key: {keys['operator']}' {base}/v2/customers/{NIGERIAN_MSISDN}/plans",
            f"curl {base}/healthz",
        ):
            self._console.print(line, markup=False, soft_wrap=True)
        for what, path in (await self._ways_in()).items():
            self._console.print(f"In a browser, {what}: {base}{path}", markup=False, soft_wrap=True)
        program, where = Path(sys.argv[0]), f"--data-dir {self._settings.data_dir}"
        telvend = f"{program} " if program.name == "telvend" else f"{sys.executable} -m telvend "
        self._console.print(f"\nOn the command line: {telvend}order list {where}", soft_wrap=True)
        self._console.print(f"                     {telvend}ledger check {where}", soft_wrap=True)
        self._console.print(
            "\nWhat is sold arrives at this shop's own network: its subscribers have it, no phone does. Keys of mode test deliver"
            " through the simulator, which the last four digits of a number steer (telvend simulator table).",
            soft_wrap=True,
        )
        self._console.print("Ctrl-C ends.\n")

    async def _ways_in(self) -> dict[str, str]:
        """Where one signs in: by a link that asks for a password at first, later by that."""
        people = self._shop.people
        try:
            portal = await people.invite(EMAIL, by="telvend demo")
        except AlreadyExists:
            portal = "/signin"
        console = "/console/signin" if await people.has_owner() else await people.console_link(by="telvend demo")
        return {"as the reseller": portal, "as the operator": console}


class _Received:
    """Where the voucher of the story goes."""

    def __init__(self) -> None:
        self.vouchers: list[NewVoucher] = []

    async def take(self, vouchers: Sequence[NewVoucher]) -> None:
        self.vouchers.extend(vouchers)

    async def finish(self) -> None:
        """Nothing has to be kept safe."""
