"""SQL of the checkpoint: the row that holds it, and what it says of the database and its transactions."""

from collections.abc import Collection

import msgspec

from telvend.database.connections import Tx

# Where the database stands ---------------------------------------------------------------------------------------------


class Origin(msgspec.Struct, frozen=True):
    """Which cluster and database this is, and which triggers guard it: where one differs, no row's `xmin` says anything."""

    system: str
    database: int
    triggers: str


async def unguarded(tx: Tx) -> str | None:
    """Name a trigger that should note removed rows, always, and does not. None where all of them do."""
    found = await tx.fetchval(
        """
        select t.tgname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        where p.proname = 'note_removal' and p.pronamespace = current_schema()::regnamespace and t.tgenabled <> 'A' limit 1
        """
    )
    return None if found is None else str(found)


class Moment(msgspec.Struct, frozen=True):
    """What the snapshot of an audit sees of transactions, whose numbers are of 64 bits, and the last note of a removed row.

    `last_note` is read from its sequence: a little newer than the snapshot.
    """

    horizon: int
    next: int
    last_note: int


async def origin(tx: Tx, tables: Collection[str]) -> Origin:
    """Return what a checkpoint is only good for. `tables`: those whose triggers count."""
    row = await tx.fetchrow(
        """
        select (select system_identifier::text from pg_control_system()) as system,
            (select oid::bigint from pg_database where datname = current_database()) as database,
            (select md5(string_agg(concat_ws(' ', c.relname, t.tgname, t.tgenabled, t.xmin, p.xmin), ',' order by c.relname, t.tgname))
             from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
             where not t.tgisinternal and c.relnamespace = current_schema()::regnamespace
                 and (c.relname = any($1::text[]))) as triggers
        """,
        list(tables),
    )
    return Origin(*row)


async def moment(tx: Tx) -> Moment:
    row = await tx.fetchrow(
        """
        select pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
            (select case when is_called then last_value else 0 end from audit_removal_number_seq)
        """
    )
    return Moment(*row)


# The checkpoint ----------------------------------------------------------------------------------------------------------


async def checkpoint(tx: Tx, key_id: str) -> tuple[str, bytes, int] | None:
    """What is stored under a key: body, seal, and the transaction that has written the row (its last 32 bits)."""
    row = await tx.fetchrow(
        "select body, seal, xmin::text::bigint as writer from audit_checkpoint where key_id = $1", key_id
    )
    return None if row is None else (row["body"], row["seal"], row["writer"])


async def transaction_number(tx: Tx) -> int:
    """The number of this transaction, of 64 bits."""
    return int(await tx.fetchval("select pg_current_xact_id()::text::bigint"))


async def write_checkpoint(tx: Tx, key_id: str, body: str, seal: bytes) -> None:
    await tx.execute(
        "insert into audit_checkpoint (key_id, body, seal) values ($1, $2, $3) on conflict (key_id) do update"
        " set body = excluded.body, seal = excluded.seal, sealed_at = excluded.sealed_at",
        key_id, body, seal,
    )  # fmt: skip


async def remove_checkpoint(tx: Tx, key_id: str) -> None:
    """Let the next audit recompute everything."""
    await tx.execute("delete from audit_checkpoint where key_id = $1", key_id)
