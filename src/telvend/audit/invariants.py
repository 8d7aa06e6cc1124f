"""The rows that invariants read in an audit from a checkpoint: those that have changed since, and those that must agree with them.

A row is new if the transaction that wrote it had not ended at the checkpoint: its `xmin` is not below the checkpoint's horizon.
VACUUM and freezing keep `xmin`. Restoring a dump does not; the checkpoint's `origin` detects that.

The selected rows of a table (its part) are copied to a temporary table with the same name. Temporary tables come first in the
search path, so an invariant's statement reads the part without being changed.
"""

import itertools
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows
from telvend.database.invariants import Scope
from telvend.ledger.model import TransferKind

_numbers: Final = itertools.count(1)
PATIENCE_S: Final = 24 * 3600.0
"""The time-out of one statement, which may read whole tables."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A table that is searched for changed rows, and the columns that are collected of those rows.

    `insert_only`: no row is ever updated or deleted, so the number of rows below a horizon must stay the same.
    """

    name: str
    keys: tuple[str, ...]
    insert_only: bool = False

    def without_keys(self) -> "Watched":
        """Return the same table without columns to collect, for counting only."""
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
    Watched("proposal", (), insert_only=True),
    Watched("proposal_end", ("cause",), insert_only=True),
    Watched("provisional_credit", ("id", "order_id"), insert_only=True),
    Watched("provisional_reversal", ("id", "order_id"), insert_only=True),
    Watched("late_report", ("id", "order_id"), insert_only=True),
    Watched("orders", ("id",)),
    Watched("attempt", ("order_id",)),
    Watched("funding", ("id",)),
    Watched("funding_claim", ("cause",)),
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
"""The tables whose triggers must not change between checkpoints."""
SEEN_WHOLE: Final = frozenset(("wallet", "subscriber", "account"))
"""Tables that invariants may read whole, without a part: they are joined by key, counted below the horizon, or sealed."""


def tables_of(sql: str) -> set[str]:
    """Return the tables and views that a statement reads."""
    return set(re.findall(r"(?<!distinct )\b(?:from|join)\s+([a-z_]+)\b(?!\s*\()", sql))


class SealedWallet(msgspec.Struct, frozen=True):
    """A wallet at the checkpoint. `owner` is reseller, currency and mode; the numbers are those of its row in `wallet`."""

    id: int
    owner: str
    sequence: int
    balance_minor: int
    transactions: int
    funded_minor: int


async def wallets(tx: Tx) -> list[SealedWallet]:
    found = await tx.fetch(
        "select account_id, concat_ws(' ', reseller_id, currency, mode), sequence, balance_minor, transactions, funded_minor"
        " from wallet order by account_id"
    )
    return [SealedWallet(*row) for row in found]


# What has changed ----------------------------------------------------------------------------------------------------------


class Lap(msgspec.Struct, frozen=True):
    """The progress of audits through the pages of one table, which may be too large to be read in one audit.

    `page`: the next page to read. `horizon`, `at`: of the checkpoint at which this lap began. `last_horizon`, `last_at`: of the
    one at which the previous lap began; every page has been read since. `pages`: the size of the table at the last audit.
    """

    pages: int
    page: int
    horizon: int
    at: datetime
    last_horizon: int
    last_at: datetime

    def next(self, pages: int, read: int, horizon: int, at: datetime) -> "Lap":
        """Return the lap after `read` more pages of `pages`. `horizon`, `at`: of the audit that has read them."""
        if self.page + read < pages:
            return Lap(pages, self.page + read, self.horizon, self.at, self.last_horizon, self.last_at)
        return Lap(pages, 0, horizon, at, self.horizon, self.at)


@dataclass(frozen=True, slots=True)
class Window:
    """A range of pages: `count` pages from `first` on, or all pages from `first` on if None."""

    first: int = 0
    count: int | None = None


@dataclass(slots=True)
class Changes:
    """The result of scanning one table, or a window of it.

    `below`, `below_next`: the number of rows from before the checkpoint's horizon, and from before this snapshot's. `keys`: the
    collected columns of all other rows, each a list in the same order.
    """

    below: int
    below_next: int
    keys: dict[str, list[Any]]

    def add(self, other: "Changes") -> None:
        """Add the keys found in other pages."""
        for key, values in other.keys.items():
            self.keys[key] += values


async def pages_of(tx: Tx, table: str) -> int:
    return int(
        await tx.fetchval("select pg_relation_size($1::text::regclass) / current_setting('block_size')::integer", table)
    )


# `age` counts back from this transaction, the same in all of its statements. It wraps after two billion transactions, so that a very
# old row seems to lie in the future; subtransactions have ids a little higher than this one's, a small negative age.
_NEW: Final = "age(xmin) between -1000000 and %s"


async def changes(tx: Tx, watched: Watched, since: int, horizon: int, window: Window | None = None) -> Changes:
    """Scan a table, or a window of it, by the `xmin` of its rows. `since`: the horizon of the checkpoint."""
    ages = await tx.fetchrow("select age($1::text::xid8::xid), age($2::text::xid8::xid)", str(since), str(horizon))
    new, newer = _NEW % "$1::integer", _NEW % "$2::integer"
    kept = "".join(f", array_agg({key}) filter (where {new})" for key in watched.keys)
    where = ""
    if window is not None:
        where = f" where ctid >= '({window.first},0)'::tid"
        if window.count is not None:
            where += f" and ctid < '({window.first + window.count},0)'::tid"
    row = await tx.fetchrow(
        f"select count(*) filter (where not ({new})), count(*) filter (where not ({newer})){kept} from {watched.name}{where}",
        *ages, timeout=PATIENCE_S,
    )  # fmt: skip
    return Changes(row[0], row[1], {key: list(row[2 + at] or ()) for at, key in enumerate(watched.keys)})


async def count_rows(tx: Tx, table: str) -> int:
    return int(await tx.fetchval(f"select count(*) from {table}", timeout=PATIENCE_S))


async def removals(tx: Tx, since: int) -> list[tuple[str, dict[str, Any] | None]]:
    """Return table and key from the notes of deleted rows that are not older than a horizon."""
    found = await tx.fetch(
        f"select source, key from audit_removal where {_NEW % 'age($1::text::xid8::xid)'}", str(since)
    )
    return [(row["source"], None if row["key"] is None else msgspec.json.decode(row["key"])) for row in found]


async def notes_after(tx: Tx, number: int) -> int:
    """Count the notes of deleted rows with higher numbers than this."""
    return int(await tx.fetchval("select count(*) from audit_removal where number > $1", number))


# The keys of the rows to verify ------------------------------------------------------------------------------------------------

# Temporary tables of keys: the columns of each, and the columns of Changes that are stored in it.
_KEYS: Final = {
    "audit_cause": ("id bigint", (
        "transfer.cause", "wallet_transaction.id", "wallet_credit.id", "wallet_debit.id", "order_refund.id",
        "order_refund.order_id", "provisional_credit.id", "provisional_credit.order_id", "provisional_reversal.id",
        "provisional_reversal.order_id", "late_report.id", "late_report.order_id", "proposal_end.cause", "orders.id",
        "attempt.order_id", "funding.id", "funding_claim.cause", "funding_void.id", "funding_void.funding_id", "verification.id",
        "identity_sealed.id", "refill.id", "voucher.refill_id",
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

# Statements that add the keys of related rows, in order: a wallet's new transfers and list lines; the blocks and sales of list
# lines; the vouchers of a changed batch that are used, and their refills; the voids of fundings; the refunds, provisional credits
# and late reports of orders.
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
    "insert into audit_cause select c.id from audit_cause k join {s}.provisional_credit c on c.order_id = k.id"
    " on conflict do nothing",
    "insert into audit_cause select r.id from audit_cause k join {s}.provisional_reversal r on r.credit_id = k.id"
    " on conflict do nothing",
    "insert into audit_cause select l.id from audit_cause k join {s}.late_report l on l.order_id = k.id on conflict do nothing",
    "analyze audit_wallet, audit_cause, audit_place, audit_block, audit_serial, audit_batch, audit_bucket, audit_posting",
)


async def store_keys(
    tx: Tx,
    found: Mapping[str, Changes],
    removed: Iterable[tuple[str, Mapping[str, Any]]],
    sealed: Sequence[SealedWallet],
) -> int:
    """Store the keys of changed, deleted and related rows, and the sealed wallets, in temporary tables. Returns the number of causes."""
    await tx.execute(_WALLETS)
    await tx.execute(
        "insert into audit_wallet select * from json_to_recordset($1::text::json) as sealed(id bigint, sequence bigint,"
        " balance_minor bigint, transactions bigint, funded_minor bigint)",
        rows(sealed), timeout=PATIENCE_S,
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

# Few rows of large tables are needed, and each is found by its key in an index. The planner assumes that an inequality holds for a
# third of a table, and would scan large tables.
_BY_INDEX: Final = """
    set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off;
    set local enable_bitmapscan = off
"""
_AS_PLANNED: Final = _BY_INDEX.replace("off", "on")

# The parts of each scope, in the order in which they are created: an unqualified name is an earlier part, `{s}.` the whole table.
_BY_CAUSE: Final = "select t.* from audit_cause k join {s}.%s t on t.%s = k.id"
_PARTS: Final[Mapping[Scope, Mapping[str, str]]] = {
    Scope.SALE: {
        **{
            name: _BY_CAUSE % (name, "id")
            for name in (
                "orders", "verification", "identity_sealed", "refill", "wallet_credit", "funding", "funding_void",
                "wallet_debit", "order_refund", "provisional_credit", "provisional_reversal", "late_report", "sale",
            )
        },
        "transfer": _BY_CAUSE % ("transfer", "cause"),
        "attempt": _BY_CAUSE % ("attempt", "order_id"),
        "funding_claim": _BY_CAUSE % ("funding_claim", "cause"),
        "proposal_end": _BY_CAUSE % ("proposal_end", "cause"),
        "proposal": "select p.* from proposal_end e join {s}.proposal p on p.id = e.proposal_id",
        "audit_line": """
            select wallet_id, position from orders union select wallet_id, position from verification
            union select wallet_id, position from refill union select wallet_id, position from wallet_credit
            union select wallet_id, position from funding union select wallet_id, position from funding_void
            union select wallet_id, position from wallet_debit union select wallet_id, position from order_refund
            union select wallet_id, position from provisional_credit union select wallet_id, position from provisional_reversal
            union select wallet_id, position from audit_place""",
        "wallet_transaction": "select t.* from audit_line join {s}.wallet_transaction t using (wallet_id, position)",
        "wallet_failed": "select t.* from audit_line join {s}.wallet_failed t using (wallet_id, position)",
        "voucher": """
            select v.* from (select serial from audit_serial union select serial from refill where serial is not null) k
            join {s}.voucher v using (serial)""",
        "voucher_batch": "select * from {s}.voucher_batch",
    },
    # Two transfers replace those before the checkpoint: one credits all that came in, one takes out all but the balance. One line
    # replaces the list. New transfers and lines follow, renumbered without a gap.
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
        # Earlier captures of a reservation are postings on the buckets of its parts.
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
    """Return whether a scope has a part of every table that a statement reads, `SEEN_WHOLE` aside."""
    return scope is not Scope.EVERYTHING and tables_of(sql) <= {*_PARTS[scope], *SEEN_WHOLE}


@asynccontextmanager
async def part_of(tx: Tx, scope: Scope) -> AsyncIterator[None]:
    """Inside the block the names of a scope's tables refer to their parts. Call `store_keys` first."""
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
    """Return whether an invariant's statement finds a violation; inside `part_of` it reads the parts."""
    # The text differs each time: a statement that was prepared earlier on this connection would read the whole tables.
    return bool(await tx.fetch(f"{sql}\n-- {next(_numbers)}", timeout=PATIENCE_S))


async def lost_wallets(tx: Tx, sealed: Sequence[SealedWallet]) -> list[int]:
    """Return the sealed wallets that no longer exist, or whose reseller, currency or mode has changed."""
    found = await tx.fetch(
        "select k.id from unnest($1::bigint[], $2::text[]) as k(id, owner) left join wallet w on w.account_id = k.id"
        " where concat_ws(' ', w.reseller_id, w.currency, w.mode) <> k.owner limit 10",
        [wallet.id for wallet in sealed], [wallet.owner for wallet in sealed],
    )  # fmt: skip
    return [row["id"] for row in found]


# Between two audits ---------------------------------------------------------------------------------------------------------


async def hold_differences(tx: Tx) -> list[tuple[str, str, int]]:
    """Compare what the ledger holds for each open order with its price: mode, currency, and the sum of the differences in minor units.

    One statement, so that a sale in between makes no difference. It reads open orders only; an audit verifies the others too.
    """
    found = await tx.fetch(
        f"""
        select o.mode, o.currency, sum(abs(o.price_minor - coalesce(t.held, 0)))::bigint as minor
        from (select id, mode, currency, price_minor from orders where due_at is not null
              union all select id, mode, currency, price_minor from orders where state = 'review') o
        left join lateral (
            select sum(case when kind = {TransferKind.HOLD} then amount_minor else -amount_minor end) as held from transfer
            where cause = o.id and kind in ({TransferKind.HOLD}, {TransferKind.RELEASE}, {TransferKind.COST}, {TransferKind.MARGIN})
        ) t on true
        group by o.mode, o.currency
        """
    )
    return [tuple(row) for row in found]
