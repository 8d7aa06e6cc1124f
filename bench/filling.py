"""Fill a shop with made-up orders by COPY, in minutes. The ledger balances: the audit finds nothing.

    filled = await fill(testbed, orders=10_000_000, say=bench.say)

The orders are made like a few that were really sold, through COPY into the tables as they are, indexes and triggers in place, and
in the order in which a shop writes them: the holds of a while, and then what settles them. So tables and indexes are as full as
those of a shop that has sold so much, without the dead rows that such a shop has at any moment.

One order in ten went through our own network, with a bucket and a posting; the others through an upstream that has a reference of
its own for each. One in 200 has failed. A number has ten orders, a tenth of all came from one wallet. `telvend ledger check` holds
over all of it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Final

import httpx
import msgspec

from bench.testbed import CREDIT_MINOR, LIMIT_PER_MINUTE, Testbed
from telvend.kit.ids import reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.ledger import store as ledger_store
from telvend.ledger.model import TransferKind

DAYS: Final = 28
UPSTREAM: Final = "bench_upstream"
_OWN_NETWORK: Final = "own_network"
_CAPACITIES: Final = ("1GB", "2GB", "5GB", "10GB")
_CHUNK: Final = 20_000
"""Orders of one transaction."""
_COPIERS: Final = 2
"""Server processes that copy at the same time; this process makes the next rows meanwhile."""
_FAILED_EVERY: Final = 200
_ORDERS_OF_A_NUMBER: Final = 10
_OWN_NETWORK_EVERY: Final = 10
_LARGEST_EVERY: Final = 10
_MOST_NUMBERS: Final = 10_000_000
_SETTLED_AFTER: Final = timedelta(milliseconds=100)
_VALID: Final = timedelta(days=30)
_BYTES_OF_A_BUNDLE: Final = 1 << 30

_TRANSFER: Final = (
    "cause", "kind", "debit", "credit", "amount_minor", "wallet_id", "wallet_sequence", "wallet_balance_minor", "created_at",
)  # fmt: skip
_COLUMNS: Final = {
    "orders": (
        "id", "reference", "reseller_id", "dialect", "mode", "client_reference", "fingerprint", "wallet_id", "country", "network",
        "product_id", "product", "size", "subscriber", "price_minor", "cost_minor", "currency", "state", "attempts",
        "balance_after_minor", "created_at", "updated_at", "position", "kind", "face_minor", "validity_days",
    ),
    "wallet_transaction": ("wallet_id", "position", "kind", "id", "credit", "created_at"),
    "holds": _TRANSFER,
    "settlements": _TRANSFER,
    "attempt": (
        "order_id", "number", "provider", "reference", "state", "text", "provider_reference", "cost_minor", "started_at",
        "finished_at",
    ),
    "bucket": (
        "id", "subscriber_id", "kind", "name", "product", "balance", "postings", "validity_days", "starts_at", "expires_at",
        "created_at",
    ),
    "bucket_posting": ("bucket_id", "number", "kind", "change", "balance_after", "cause", "created_at"),
    "network_delivery": ("reference", "state", "subscriber_id", "parts", "created_at"),
    # Last: its trigger locks the rows of blocks until the transaction ends.
    "wallet_failed": ("wallet_id", "position", "credit"),
}  # fmt: skip
"""The parts that are copied, in this order, with their columns."""
_TABLES: Final = {"holds": "transfer", "settlements": "transfer"}
"""The table of each part that has another name than its table."""


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """The filled shop. `own_network`: how many orders our own network delivered; `largest`: the wallet with a tenth of all orders.

    `number` and `reference` are those of one order: a number as people write it, and what the upstream calls the order.
    """

    orders: int
    own_network: int
    failed: int
    seconds: float
    largest: int
    number: str
    reference: str


async def fill(testbed: Testbed, *, orders: int, say: Callable[[str], None]) -> Filled:
    """Fill the shop that `testbed` serves, from the wallets of `testbed.spread`, which are made here and must be new."""
    say("furnishing the shop")
    await testbed.spread(credited=False)
    templates = await _sold(testbed)
    begun = time.monotonic()
    async with testbed.connection() as connection:
        rows = await _prepared(connection, templates, orders)
    chunks = rows.chunks()
    waiting: asyncio.Queue[dict[str, BytesIO] | None] = asyncio.Queue(1)
    copied = 0

    async def make() -> None:
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            await waiting.put(chunk)
        for _ in range(_COPIERS):
            await waiting.put(None)

    async def copy() -> None:
        nonlocal copied
        async with testbed.connection() as connection:
            while (chunk := await waiting.get()) is not None:
                async with connection.transaction():
                    for name, columns in _COLUMNS.items():
                        await connection.copy_to_table(_TABLES.get(name, name), source=chunk[name], columns=columns)
                copied = min(orders, copied + _CHUNK)
                left_s = (time.monotonic() - begun) / copied * (orders - copied)
                say(f"filled in {copied:,} of {orders:,} orders, {left_s:,.0f} s to go")

    async with asyncio.TaskGroup() as group:
        group.create_task(make())
        for _ in range(_COPIERS):
            group.create_task(copy())
    async with testbed.connection() as connection:
        await rows.finish(connection)
        seconds = time.monotonic() - begun
        for name in {_TABLES.get(name, name) for name in _COLUMNS} | {"wallet", "subscriber"}:
            say(f"vacuuming {name}")
            await connection.execute(f"vacuum (analyze) {name}")
    sample = next(k for k in range(orders) if not rows.is_own(k) and not _has_failed(k))
    return Filled(
        orders=orders,
        own_network=rows.own_network,
        failed=rows.failed,
        seconds=seconds,
        largest=rows.wallets[0].id,
        number="0" + rows.number(sample).removeprefix("+233"),
        reference=f"UP{rows.first + sample}",
    )


async def _sold(testbed: Testbed) -> list[Any]:
    """The orders that the others are made like, bought over HTTP by a reseller of their own, delivered or not."""
    email = "templates@bench.example"
    async with testbed.shop() as shop:
        services = shop.services
        reseller = await services.resellers.add(email, "Bench templates", "+233240000000")
        await services.credits.add(reseller.id, Money(CREDIT_MINOR, GHS), Mode.LIVE, "bench")
        _, key, _ = await services.resellers.add_key(email, "netpluse", Mode.LIVE, LIMIT_PER_MINUTE, LIMIT_PER_MINUTE)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{testbed.port}") as client:
        for capacity in _CAPACITIES:
            form = {"network": "MTN", "phoneNumber": "0249999999", "capacity": capacity}
            answer = await client.post("/api/v1/purchase", json=form, headers={"x-api-key": key.reveal()})
            answer.raise_for_status()
    return await testbed.rows("select * from orders where reseller_id = $1 order by id", reseller.id)


class _Wallet(msgspec.Struct):
    """A wallet while its rows are made: one credit, and then its sales."""

    id: int
    reseller_id: str
    balance: int = CREDIT_MINOR
    sequence: int = 1
    transactions: int = 1


def _has_failed(k: int) -> bool:
    return k % _FAILED_EVERY == _FAILED_EVERY - 1


class _Rows(msgspec.Struct, kw_only=True):
    """Makes the rows of orders `first` to `first + orders - 1`. `accounts`: by kind; `buckets`, `subscribers`: the first numbers."""

    first: int
    orders: int
    templates: Sequence[Any]
    wallets: Sequence[_Wallet]
    accounts: dict[str, int]
    buckets: int
    subscribers: int
    salt: bytes
    begins_at: datetime
    ends_at: datetime
    own_network: int = 0
    failed: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers there are."""
        return min(_MOST_NUMBERS, max(_OWN_NETWORK_EVERY, self.orders // _ORDERS_OF_A_NUMBER))

    def place(self, k: int) -> int:
        """Which of the numbers order `k` is for: neighbours in time are none in any index."""
        return k * 7919 % self.numbers

    def number(self, k: int) -> str:
        return f"+23324{self.place(k):07d}"

    def is_own(self, k: int) -> bool:
        """Return whether order `k` was delivered by our own network."""
        return self.place(k) % _OWN_NETWORK_EVERY == 0

    def chunks(self) -> Iterator[dict[str, BytesIO]]:
        """The rows of `_CHUNK` orders at a time, in the text format of COPY, by the names of `_COLUMNS`."""
        for start in range(0, self.orders, _CHUNK):
            lines: dict[str, list[str]] = {name: [] for name in _COLUMNS}
            for k in range(start, min(start + _CHUNK, self.orders)):
                self._add(k, lines)
            yield {name: BytesIO("".join(found).encode()) for name, found in lines.items()}

    def _add(self, k: int, lines: dict[str, list[str]]) -> None:
        id_, template = self.first + k, self.templates[k % len(self.templates)]
        largest = k % _LARGEST_EVERY == 0
        wallet = self.wallets[0 if largest else 1 + k % (len(self.wallets) - 1)]
        placed_at = self.begins_at + (self.ends_at - self.begins_at) * k / self.orders
        placed, settled = placed_at.isoformat(), (placed_at + _SETTLED_AFTER).isoformat()
        number, own, failed = self.number(k), self.is_own(k), _has_failed(k)
        reference = reference_of("NPAPI", id_, self.salt)
        price, cost = template["price_minor"], template["cost_minor"]
        flight, provider, margin = (
            self.accounts["in_flight"],
            self.accounts[_OWN_NETWORK if own else UPSTREAM],
            self.accounts["margin"],
        )
        wallet.balance -= price
        wallet.sequence += 1
        wallet.transactions += 1
        fingerprint = template["fingerprint"].replace(template["subscriber"], number)
        lines["orders"].append(
            f"{id_}\t{reference}\t{wallet.reseller_id}\tnetpluse\tlive\tfill-{id_}\t{fingerprint}\t{wallet.id}"
            f"\t{template['country']}\t{template['network']}\t{template['product_id']}\t{template['product']}"
            f"\t{template['size']}\t{number}\t{price}\t{cost}\t{template['currency']}\t{'failed' if failed else 'delivered'}\t1"
            f"\t{wallet.balance}\t{placed}\t{settled}\t{wallet.transactions}\t{template['kind']}\t{template['face_minor']}"
            f"\t{template['validity_days']}\n"
        )
        lines["wallet_transaction"].append(f"{wallet.id}\t{wallet.transactions}\to\t{id_}\tf\t{placed}\n")
        lines["holds"].append(
            f"{id_}\t{TransferKind.HOLD:d}\t{wallet.id}\t{flight}\t{price}\t{wallet.id}\t{wallet.sequence}\t{wallet.balance}"
            f"\t{placed}\n"
        )
        theirs = "\\N" if own else f"UP{id_}"
        outcome, text = ("refused", "No such number") if failed else ("delivered", "Delivered")
        lines["attempt"].append(
            f"{id_}\t1\t{_OWN_NETWORK if own else UPSTREAM}\t{reference}-1\t{outcome}\t{text}\t{theirs}\t{cost}\t{placed}"
            f"\t{settled}\n"
        )
        if failed:
            self.failed += 1
            wallet.balance += price
            wallet.sequence += 1
            lines["settlements"].append(
                f"{id_}\t{TransferKind.RELEASE:d}\t{flight}\t{wallet.id}\t{price}\t{wallet.id}\t{wallet.sequence}"
                f"\t{wallet.balance}\t{settled}\n"
            )
            lines["wallet_failed"].append(f"{wallet.id}\t{wallet.transactions}\tf\n")
            return
        lines["settlements"].append(
            f"{id_}\t{TransferKind.COST:d}\t{flight}\t{provider}\t{cost}\t\\N\t\\N\t\\N\t{settled}\n"
            f"{id_}\t{TransferKind.MARGIN:d}\t{flight}\t{margin}\t{price - cost}\t\\N\t\\N\t\\N\t{settled}\n"
        )
        if own:
            bucket, subscriber = self.buckets + self.own_network, self.subscribers + self.place(k) // _OWN_NETWORK_EVERY
            self.own_network += 1
            expires = (placed_at + _VALID).isoformat()
            lines["bucket"].append(
                f"{bucket}\t{subscriber}\tdata\t{template['size']}\t{template['product']}\t{_BYTES_OF_A_BUNDLE}\t1\t30\t{settled}"
                f"\t{expires}\t{settled}\n"
            )
            lines["bucket_posting"].append(
                f"{bucket}\t1\tgrant\t{_BYTES_OF_A_BUNDLE}\t{_BYTES_OF_A_BUNDLE}\t{reference}-1\t{settled}\n"
            )
            lines["network_delivery"].append(f"{reference}-1\tdelivered\t{subscriber}\t1\t{settled}\n")

    async def finish(self, connection: Any) -> None:
        """Write the wallets as their rows have left them."""
        await connection.executemany(
            "update wallet set balance_minor = $2, sequence = $3, transactions = $4 where account_id = $1",
            [(wallet.id, wallet.balance, wallet.sequence, wallet.transactions) for wallet in self.wallets],
        )


async def _prepared(connection: Any, templates: Sequence[Any], orders: int) -> _Rows:
    """Take the numbers, make the accounts and subscribers, and bring money in, dated before the first order."""
    ends_at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
    begins_at = ends_at - timedelta(days=DAYS)
    wallets = await connection.fetch(
        "select w.account_id, w.reseller_id::text from wallet w join reseller r on r.id = w.reseller_id"
        " where r.email like 'spread-%' and w.currency = 'GHS' and w.mode = 'live' and w.transactions = 0 order by 1"
    )
    if not wallets:
        raise RuntimeError("there are no new wallets to fill")
    async with connection.transaction():
        for kind, owner in (("provider", UPSTREAM), ("provider", _OWN_NETWORK), ("margin", ""), ("funding", "")):
            await connection.execute(
                "insert into account (kind, owner, currency, mode) values ($1, $2, 'GHS', 'live') on conflict do nothing",
                kind, owner,
            )  # fmt: skip
        accounts = {
            row["owner"] or row["kind"]: row["id"]
            for row in await connection.fetch(
                "select id, kind, owner from account where currency = 'GHS' and mode = 'live' and kind <> 'wallet'"
            )
        }
        # A server that runs has taken numbers ahead; the next ones are those after these.
        first = await _numbers(connection, "cause", orders + len(wallets))
        buckets = await _numbers(connection, "bucket_number", orders)
        made = _Rows(
            first=first + len(wallets),
            orders=orders,
            templates=templates,
            wallets=[_Wallet(row[0], row[1]) for row in wallets],
            accounts=accounts,
            buckets=buckets,
            subscribers=0,
            salt=await ledger_store.installation_salt(connection),
            begins_at=begins_at,
            ends_at=ends_at,
        )
        made.subscribers = await connection.fetchval("select coalesce(max(id), 0) + 1 from subscriber")
        await connection.execute(
            "insert into subscriber (id, mode, msisdn, country, currency, tariff_plan, usable_until, reachable_until, created_at,"
            " updated_at) overriding system value select $1::bigint + g, 'live', '+23324' || lpad((g * $2::integer)::text, 7, '0'),"
            " 'GH', 'GHS', 'Prepaid', now() + interval '90 days', now() + interval '180 days', $3, $3"
            " from generate_series(0, ($4::integer - 1) / $2::integer) g",
            made.subscribers, _OWN_NETWORK_EVERY, begins_at, made.numbers,
        )  # fmt: skip
        await connection.execute(
            "select setval(pg_get_serial_sequence('subscriber', 'id'), (select max(id) from subscriber))"
        )
        ids = [row[0] for row in wallets]
        await connection.execute(
            "insert into wallet_credit (id, wallet_id, reference, amount_minor, created_at, position)"
            " select $1::bigint + n - 1, id, 'fill', $2, $3, 1 from unnest($4::bigint[]) with ordinality w(id, n)",
            first, CREDIT_MINOR, begins_at, ids,
        )  # fmt: skip
        await connection.execute(
            "insert into wallet_transaction (wallet_id, position, kind, id, credit, created_at)"
            " select id, 1, 'c', $1::bigint + n - 1, true, $2 from unnest($3::bigint[]) with ordinality w(id, n)",
            first, begins_at, ids,
        )  # fmt: skip
        await connection.execute(
            "insert into transfer (cause, kind, debit, credit, amount_minor, wallet_id, wallet_sequence, wallet_balance_minor,"
            " created_at) select $1::bigint + n - 1, $2, $3, id, $4, id, 1, $4, $5"
            " from unnest($6::bigint[]) with ordinality w(id, n)",
            first, int(TransferKind.CREDIT), accounts["funding"], CREDIT_MINOR, begins_at, ids,
        )  # fmt: skip
        await connection.execute(
            "update wallet set balance_minor = $1, funded_minor = $1, sequence = 1, transactions = 1, last_funded_at = $2"
            " where account_id = any($3)",
            CREDIT_MINOR, begins_at, ids,
        )  # fmt: skip
    return made


async def _numbers(connection: Any, sequence: str, count: int) -> int:
    """Take so many numbers of a sequence; return the first."""
    first = await connection.fetchval(f"select nextval('{sequence}')")
    await connection.execute(f"select setval('{sequence}', $1)", first + count)
    return int(first)
