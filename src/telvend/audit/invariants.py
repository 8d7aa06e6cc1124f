"""What the invariants of all rooms run over in an audit from a checkpoint: what has changed since, and the part of each table that
has to be seen again for it.

A row is new where the transaction that wrote it had not ended when the checkpoint was made: its `xmin` is not below the
checkpoint's horizon. VACUUM and freezing keep `xmin`; a dump that is restored does not, which `origin` tells.

The part is a temporary table under the name of the table itself. Temporary tables are found first, so that the statement of an
invariant runs over the part as it stands.
"""

import itertools
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx
from telvend.database.invariants import Scope

_numbers: Final = itertools.count(1)
PATIENCE_S: Final = 24 * 3600.0
"""How long one statement may take: it reads whole tables."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A table of which changed rows are looked for, and the columns of theirs that are collected.

    `insert_only`: no row is ever changed or removed, so that the rows below a horizon can be counted again.
    """

    name: str
    keys: tuple[str, ...]
    insert_only: bool = False

    def without_keys(self) -> "Watched":
        """The same, only to count its rows."""
        return Watched(self.name, (), self.insert_only)


WATCHED: Final = (
    Watched("account", (), insert_only=True),
    Watched("transfer", ("cause",), insert_only=True),
    Watched("wallet_transaction", ("wallet_id", "position", "id"), insert_only=True),
    Watched("wallet_failed", ("wallet_id", "position")),
    Watched("wallet_block", ("wallet_id", "block")),
    Watched("wallet_credit", ("id",), insert_only=True),
    Watched("wallet_debit", ("id",), insert_only=True),
    Watched("order_refund", ("id", "order_id"), insert_only=True),
    Watched("orders", ("id",)),
    Watched("attempt", ("order_id",)),
    Watched("funding", ("id",)),
    Watched("funding_void", ("id", "funding_id"), insert_only=True),
    Watched("verification", ("id",)),
    Watched("identity_sealed", ("id",)),
    Watched("refill", ("id", "serial"), insert_only=True),
    Watched("voucher", ("serial", "refill_id", "batch_id")),
    Watched("voucher_batch", ("id",)),
    Watched("bucket", ("id",)),
    Watched("bucket_posting", ("bucket_id", "number"), insert_only=True),
    Watched("network_delivery", ("reference",)),
    Watched("consumption", ("subscriber_id", "reference"), insert_only=True),
    Watched("reservation", ("id",)),
    Watched("reservation_part", ("reservation_id",), insert_only=True),
    Watched("audit_removal", (), insert_only=True),
)

GUARDED: Final = (*(watched.name for watched in WATCHED), "subscriber")
"""The tables whose triggers a checkpoint relies on."""
SEEN_WHOLE: Final = frozenset(("wallet", "subscriber", "account"))
"""Tables that a part of another may be joined with as they are: their rows are looked at one by one, or counted, or sealed."""


def tables_of(sql: str) -> set[str]:
    """The tables and views that a statement reads."""
    return set(re.findall(r"(?<!distinct )\b(?:from|join)\s+([a-z_]+)\b(?!\s*\()", sql))


class SealedWallet(msgspec.Struct, frozen=True):
    """A wallet at the checkpoint: what it is, its last transfer and the balance after it, its last line, what came in."""

    id: int
    owner: str
    sequence: int
    balance_minor: int
    transactions: int
    funded_minor: int


async def wallets(tx: Tx) -> list[SealedWallet]:
    rows = await tx.fetch(
        "select account_id, concat_ws(' ', reseller_id, currency, mode), sequence, balance_minor, transactions, funded_minor"
        " from wallet order by account_id"
    )
    return [SealedWallet(*row) for row in rows]


# What has changed ----------------------------------------------------------------------------------------------------------


class Lap(msgspec.Struct, frozen=True):
    """How far the audits from checkpoints have come round a table that is too large to be read each time.

    `page` is the next one; `horizon` and `at` are those of the checkpoint when this round began, `last_horizon` and `last_at`
    of the round before: since then no page is unseen. `pages`: how many the table had at the last audit.
    """

    pages: int
    page: int
    horizon: int
    at: datetime
    last_horizon: int
    last_at: datetime

    def next(self, pages: int, read: int, horizon: int, at: datetime) -> "Lap":
        """After so many more pages. `horizon`, `at`: of the audit that has read them."""
        if self.page + read < pages:
            return Lap(pages, self.page + read, self.horizon, self.at, self.last_horizon, self.last_at)
        return Lap(pages, 0, horizon, at, self.horizon, self.at)


@dataclass(frozen=True, slots=True)
class Window:
    """The pages of a table that are read: from `first` on, or so many; None stands for all that follow."""

    first: int = 0
    count: int | None = None


@dataclass(slots=True)
class Changes:
    """What the scan of one table found.

    `below`, `below_next`: how many rows are older than the checkpoint, and than this snapshot's horizon. `keys`: the collected
    columns of those that are not older than the checkpoint, each a list in the same order.
    """

    rows: int
    below: int
    below_next: int
    keys: dict[str, list[Any]]

    def add(self, other: "Changes") -> None:
        """Add the keys of other pages."""
        for key, values in other.keys.items():
            self.keys[key] += values


async def pages_of(tx: Tx, table: str) -> int:
    return int(
        await tx.fetchval("select pg_relation_size($1::text::regclass) / current_setting('block_size')::integer", table)
    )


async def changes(tx: Tx, watched: Watched, since: int, horizon: int, window: Window | None = None) -> Changes:
    """Read the headers of all rows of a table, or of those in a window. `since`: the horizon of the checkpoint."""
    # `age` counts from this transaction, for all statements of it. A row of two billion transactions ago seems to be of the
    # future; numbers of subtransactions are a little higher than this one's.
    ages = await tx.fetchrow("select age($1::text::xid8::xid), age($2::text::xid8::xid)", str(since), str(horizon))
    new = "age(xmin) between -1000000 and $1::integer"
    kept = "".join(f", array_agg({key}) filter (where {new})" for key in watched.keys)
    where = ""
    if window is not None:
        where = f" where ctid >= '({window.first},0)'::tid"
        if window.count is not None:
            where += f" and ctid < '({window.first + window.count},0)'::tid"
    row = await tx.fetchrow(
        f"select count(*), count(*) filter (where not ({new})),"
        f" count(*) filter (where not (age(xmin) between -1000000 and $2::integer)){kept} from {watched.name}{where}",
        *ages, timeout=PATIENCE_S,
    )  # fmt: skip
    return Changes(row[0], row[1], row[2], {key: list(row[3 + at] or ()) for at, key in enumerate(watched.keys)})


async def count_rows(tx: Tx, table: str) -> int:
    return int(await tx.fetchval(f"select count(*) from {table}", timeout=PATIENCE_S))


async def removals(tx: Tx, since: int) -> list[tuple[str, dict[str, Any] | None]]:
    """The notes of removed rows that are not older than a horizon: their tables and keys."""
    rows = await tx.fetch(
        "select source, key from audit_removal where age(xmin) between -1000000 and age($1::text::xid8::xid)",
        str(since),
    )
    return [(row["source"], None if row["key"] is None else msgspec.json.decode(row["key"])) for row in rows]


async def notes_after(tx: Tx, number: int) -> int:
    """Count the notes of removed rows above a number."""
    return int(await tx.fetchval("select count(*) from audit_removal where number > $1", number))


# The keys of what has to be seen again ---------------------------------------------------------------------------------------

# Each is a temporary table: name, columns, the columns of Changes that fill it (several tables may).
_KEYS: Final = {
    "audit_cause": ("id bigint", (
        "transfer.cause", "wallet_transaction.id", "wallet_credit.id", "wallet_debit.id", "order_refund.id",
        "order_refund.order_id", "orders.id", "attempt.order_id", "funding.id", "funding_void.id", "funding_void.funding_id",
        "verification.id", "identity_sealed.id", "refill.id", "voucher.refill_id",
    )),
    "audit_place": ("wallet_id bigint, position bigint", (
        "wallet_transaction.wallet_id,position", "wallet_failed.wallet_id,position",
    )),
    "audit_block": ("wallet_id bigint, block bigint", ("wallet_block.wallet_id,block",)),
    "audit_serial": ("serial bigint", ("voucher.serial", "refill.serial")),
    "audit_batch": ("id bigint", ("voucher.batch_id", "voucher_batch.id")),
    "audit_bucket": ("id bigint", ("bucket.id", "bucket_posting.bucket_id")),
    "audit_posting": ("bucket_id bigint, number integer", ("bucket_posting.bucket_id,number",)),
    "audit_refill": ("id bigint", ("refill.id",)),
    "audit_delivery": ("reference text", ("network_delivery.reference",)),
    "audit_consumption": ("subscriber_id bigint, reference text", ("consumption.subscriber_id,reference",)),
    "audit_reservation": ("id bigint", ("reservation.id", "reservation_part.reservation_id")),
}  # fmt: skip

_WALLETS: Final = """
    create temporary table audit_wallet (id bigint primary key, sequence bigint, balance_minor bigint, transactions bigint,
        funded_minor bigint) on commit drop
"""

# What follows from those: the order of a refund and back, a void and its funding, a line that was marked, a used voucher.
_CLOSURE: Final = (
    "insert into audit_cause select t.cause from {s}.wallet w left join audit_wallet k on k.id = w.account_id"
    " join {s}.transfer t on t.wallet_id = w.account_id and t.wallet_sequence > coalesce(k.sequence, 0) on conflict do nothing",
    "insert into audit_place select t.wallet_id, t.position from {s}.wallet w left join audit_wallet k on k.id = w.account_id"
    " join {s}.wallet_transaction t on t.wallet_id = w.account_id and t.position > coalesce(k.transactions, 0)"
    " on conflict do nothing",
    "insert into audit_block select distinct wallet_id, position >> 10 from audit_place on conflict do nothing",
    "insert into audit_cause select t.id from audit_place p join {s}.wallet_transaction t using (wallet_id, position)"
    " on conflict do nothing",
    "insert into audit_serial select v.serial from {s}.voucher_batch b join {s}.voucher v"
    " on v.serial >= b.first_serial and v.serial < b.first_serial + b.count and v.state = 'used'"
    " where b.id = any($1::bigint[]) on conflict do nothing",
    "insert into audit_cause select r.id from audit_serial k join {s}.refill r on r.serial = k.serial on conflict do nothing",
    "insert into audit_cause select v.id from audit_cause k join {s}.funding_void v on v.funding_id = k.id"
    " on conflict do nothing",
    "insert into audit_cause select f.id from audit_cause k join {s}.order_refund f on f.order_id = k.id on conflict do nothing",
    "analyze audit_wallet, audit_cause, audit_place, audit_block, audit_serial, audit_batch, audit_bucket, audit_posting",
)


async def store_keys(
    tx: Tx,
    found: Mapping[str, Changes],
    removed: Iterable[tuple[str, Mapping[str, Any]]],
    sealed: Sequence[SealedWallet],
) -> int:
    """Put the keys of what has changed, and the sealed wallets, into temporary tables. Returns how many causes changed."""
    await tx.execute(_WALLETS)
    await tx.execute(
        "insert into audit_wallet select * from json_to_recordset($1::text::json) as sealed(id bigint, sequence bigint,"
        " balance_minor bigint, transactions bigint, funded_minor bigint)",
        msgspec.json.encode(sealed).decode(), timeout=PATIENCE_S,
    )  # fmt: skip
    for name, (columns, sources) in _KEYS.items():
        names = [column.split()[0] for column in columns.split(", ")]
        types = [column.split()[1] for column in columns.split(", ")]
        await tx.execute(f"create temporary table {name} ({columns}, primary key ({', '.join(names)})) on commit drop")
        unnested = ", ".join(f"${at}::{type_}[]" for at, type_ in enumerate(types, 1))
        insert = (
            f"insert into {name} select distinct * from unnest({unnested}) as key({', '.join(names)})"
            f" where {names[0]} is not null on conflict do nothing"
        )
        for source in sources:
            table, _, keys = source.partition(".")
            values = [list(found[table].keys[key]) for key in keys.split(",")]
            if values[0]:
                await tx.execute(insert, *values, timeout=PATIENCE_S)
    for source, key in removed:
        if source == "wallet_failed":
            await tx.execute(
                "insert into audit_place values ($1, $2) on conflict do nothing", key["wallet_id"], key["position"]
            )
        else:
            await tx.execute("insert into audit_cause values ($1) on conflict do nothing", key["id"])
    schema = await tx.fetchval("select quote_ident(current_schema())")
    await tx.execute(_BY_INDEX)
    for statement in _CLOSURE:
        arguments = [list(found["voucher_batch"].keys["id"])] if "$1" in statement else []
        await tx.execute(statement.format(s=schema), *arguments, timeout=PATIENCE_S)
    await tx.execute(_AS_PLANNED)
    return int(await tx.fetchval("select count(*) from audit_cause"))


# The parts -----------------------------------------------------------------------------------------------------------------

# Few rows of large tables are wanted, one look-up in an index for each key. The planner, which takes any inequality to hold for a
# third of a table, would read large ones through.
_BY_INDEX: Final = """
    set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
    set local enable_bitmapscan = off
"""
_AS_PLANNED: Final = _BY_INDEX.replace("off", "on")

# In order: a later one may read an earlier one by its bare name, and the whole table behind `{s}.`.
_BY_CAUSE: Final = "select t.* from audit_cause k join {s}.%s t on t.%s = k.id"
_PARTS: Final[Mapping[Scope, Mapping[str, str]]] = {
    Scope.SALE: {
        **{
            name: _BY_CAUSE % (name, "id")
            for name in (
                "orders", "verification", "identity_sealed", "refill", "wallet_credit", "funding", "funding_void",
                "wallet_debit", "order_refund", "sale",
            )
        },
        "transfer": _BY_CAUSE % ("transfer", "cause"),
        "attempt": _BY_CAUSE % ("attempt", "order_id"),
        "audit_line": """
            select wallet_id, position from orders union select wallet_id, position from verification
            union select wallet_id, position from refill union select wallet_id, position from wallet_credit
            union select wallet_id, position from funding union select wallet_id, position from funding_void
            union select wallet_id, position from wallet_debit union select wallet_id, position from order_refund
            union select wallet_id, position from audit_place""",
        "wallet_transaction": "select t.* from audit_line join {s}.wallet_transaction t using (wallet_id, position)",
        "wallet_failed": "select t.* from audit_line join {s}.wallet_failed t using (wallet_id, position)",
        "voucher": """
            select v.* from (select serial from audit_serial union select serial from refill where serial is not null) k
            join {s}.voucher v using (serial)""",
        "voucher_batch": "select * from {s}.voucher_batch",
    },
    # A transfer that brought in all that came in, and one that took all but the balance; then what is new, numbered on.
    Scope.WALLET: {
        "wallet": """
            select w.account_id, w.balance_minor, w.funded_minor,
                w.sequence - case when k.sequence > 0 then k.sequence - 2 else 0 end as sequence,
                w.transactions - greatest(k.transactions - 1, 0) as transactions
            from {s}.wallet w left join audit_wallet k on k.id = w.account_id""",
        "transfer": """
            select 0::bigint as cause, 6::smallint as kind, 0::bigint as debit, id as credit, funded_minor as amount_minor,
                id as wallet_id, 1::bigint as wallet_sequence, funded_minor as wallet_balance_minor
            from audit_wallet where sequence > 0
            union all
            select 0, 1::smallint, id, 0, funded_minor - balance_minor, id, 2, balance_minor from audit_wallet where sequence > 0
            union all
            select t.cause, t.kind, t.debit, t.credit, t.amount_minor, t.wallet_id,
                t.wallet_sequence - case when k.sequence > 0 then k.sequence - 2 else 0 end, t.wallet_balance_minor
            from {s}.wallet w left join audit_wallet k on k.id = w.account_id
            join {s}.transfer t on t.wallet_id = w.account_id and t.wallet_sequence > coalesce(k.sequence, 0)""",
        "wallet_transaction": """
            select id as wallet_id, 1::bigint as position from audit_wallet where transactions > 0
            union all
            select t.wallet_id, t.position - greatest(k.transactions - 1, 0)
            from {s}.wallet w left join audit_wallet k on k.id = w.account_id
            join {s}.wallet_transaction t on t.wallet_id = w.account_id and t.position > coalesce(k.transactions, 0)""",
    },
    Scope.BLOCK: {
        "wallet_block": "select t.* from audit_block join {s}.wallet_block t using (wallet_id, block)",
        **{
            name: f"""
            select t.* from audit_block k join {{s}}.{name} t
            on t.wallet_id = k.wallet_id and t.position >= k.block << 10 and t.position < (k.block + 1) << 10"""
            for name in ("wallet_transaction", "wallet_failed")
        },
    },
    Scope.BUCKET: {
        "audit_before": """
            select k.id, coalesce(before.number, 0) as number, coalesce(before.balance_after, 0) as balance,
                greatest(before.number - 1, 0) as skipped
            from audit_bucket k
            left join (select bucket_id, min(number) as number from audit_posting group by bucket_id) f on f.bucket_id = k.id
            left join lateral (
                select p.number, p.balance_after from {s}.bucket_posting p
                where p.bucket_id = k.id and p.number < coalesce(f.number, 2147483647) order by p.number desc limit 1
            ) as before on true""",
        "bucket": """
            select b.id, b.subscriber_id, b.kind, b.main, b.balance, b.open, b.postings - coalesce(k.skipped, 0) as postings
            from audit_before k join {s}.bucket b on b.id = k.id""",
        "bucket_posting": """
            select id as bucket_id, 1::bigint as number, balance as change, balance as balance_after
            from audit_before where number > 0
            union all
            select p.bucket_id, p.number - coalesce(k.skipped, 0), p.change, p.balance_after
            from audit_before k join {s}.bucket_posting p on p.bucket_id = k.id and p.number > k.number""",
    },
    Scope.GIVEN: {
        "network_delivery": "select t.* from audit_delivery join {s}.network_delivery t using (reference)",
        "refill": "select t.* from audit_refill k join {s}.refill t on t.id = k.id",
        "consumption": "select t.* from audit_consumption join {s}.consumption t using (subscriber_id, reference)",
        "reservation": "select t.* from audit_reservation k join {s}.reservation t on t.id = k.id",
        "reservation_part": "select t.* from audit_reservation k join {s}.reservation_part t on t.reservation_id = k.id",
        # What a reservation has captured before stands in the buckets that it was made of.
        "bucket_posting": """
            select t.* from audit_posting join {s}.bucket_posting t using (bucket_id, number)
            union
            select t.* from reservation r join reservation_part part on part.reservation_id = r.id
            join {s}.bucket_posting t on t.bucket_id = part.bucket_id and t.kind = 'capture' and t.cause = r.reference""",
        "bucket": "select t.* from (select distinct bucket_id from bucket_posting) k join {s}.bucket t on t.id = k.bucket_id",
    },
    Scope.RESERVED: {
        "reservation": """
            select * from {s}.reservation where due_at is not null
            union select t.* from audit_reservation k join {s}.reservation t on t.id = k.id""",
        "reservation_part": "select t.* from reservation r join {s}.reservation_part t on t.reservation_id = r.id",
        "bucket": """
            select t.* from (select id from audit_bucket union select bucket_id from reservation_part) k
            join {s}.bucket t on t.id = k.id""",
    },
    Scope.BATCH: {
        "voucher_batch": "select t.* from audit_batch k join {s}.voucher_batch t on t.id = k.id",
        "voucher": """
            select t.* from audit_serial join {s}.voucher t using (serial)
            union
            select t.* from voucher_batch b
            join {s}.voucher t on t.serial >= b.first_serial and t.serial < b.first_serial + b.count""",
    },
}  # fmt: skip


def covers(scope: Scope, sql: str) -> bool:
    """Whether a scope has a part of every table that a statement reads."""
    return scope is not Scope.EVERYTHING and tables_of(sql) <= {*_PARTS[scope], *SEEN_WHOLE}


@asynccontextmanager
async def part_of(tx: Tx, scope: Scope) -> AsyncIterator[None]:
    """Inside the block the tables of a scope are the parts that have to be seen again. `store_keys` comes first."""
    savepoint = tx.transaction()
    await savepoint.start()
    try:
        schema = await tx.fetchval("select quote_ident(current_schema())")
        await tx.execute(_BY_INDEX)
        for name, select in _PARTS.get(scope, {}).items():
            await tx.execute(
                f"create temporary table {name} on commit drop as {select.format(s=schema)}", timeout=PATIENCE_S
            )
            await tx.execute(f"analyze {name}", timeout=PATIENCE_S)
        await tx.execute(_AS_PLANNED)
        yield
    finally:
        await savepoint.rollback()


async def breaks(tx: Tx, sql: str) -> bool:
    """Whether the statement of an invariant finds anything, in the part that its tables are now."""
    # A text of its own each time: a statement that this connection has prepared before goes on reading the whole tables.
    return bool(await tx.fetch(f"{sql}\n-- {next(_numbers)}", timeout=PATIENCE_S))


async def lost_wallets(tx: Tx, sealed: Sequence[SealedWallet]) -> list[int]:
    """The wallets that are not there any more, or belong to somebody else, or to another currency or mode."""
    rows = await tx.fetch(
        "select k.id from unnest($1::bigint[], $2::text[]) as k(id, owner) left join wallet w on w.account_id = k.id"
        " where concat_ws(' ', w.reseller_id, w.currency, w.mode) <> k.owner limit 10",
        [wallet.id for wallet in sealed], [wallet.owner for wallet in sealed],
    )  # fmt: skip
    return [row["id"] for row in rows]
