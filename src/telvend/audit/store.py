"""SQL of audits: the row that stores the checkpoint, the state of the database that is recorded in it, the audits that were run."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from telvend.database.connections import Tx

# Where the database stands ---------------------------------------------------------------------------------------------


class Origin(msgspec.Struct, frozen=True):
    """The cluster, the database and a digest of its triggers. If one differs, `xmin` does not show which rows have changed."""

    system: str
    database: int
    triggers: str


async def unguarded(tx: Tx) -> str | None:
    """Return the name of a trigger for deleted rows that is not ENABLE ALWAYS; None if all of them are."""
    found = await tx.fetchval(
        """
        select t.tgname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        where p.proname = 'note_removal' and p.pronamespace = current_schema()::regnamespace and t.tgenabled <> 'A' limit 1
        """
    )
    return None if found is None else str(found)


class Moment(msgspec.Struct, frozen=True):
    """The transaction ids (64 bits) that bound an audit's snapshot, and the number of the last note of a deleted row.

    `last_note` is read from the sequence, so it may be newer than the snapshot.
    """

    horizon: int
    next: int
    last_note: int


async def origin(tx: Tx, tables: Collection[str]) -> Origin:
    """Return the origin of this database. `tables`: those whose triggers are included."""
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
    """Return the row stored under a key: body, seal, and the low 32 bits of the id of the transaction that wrote it."""
    row = await tx.fetchrow(
        "select body, seal, xmin::text::bigint as writer from audit_checkpoint where key_id = $1", key_id
    )
    return None if row is None else (row["body"], row["seal"], row["writer"])


async def transaction_number(tx: Tx) -> int:
    """Return the 64-bit id of this transaction."""
    return int(await tx.fetchval("select pg_current_xact_id()::text::bigint"))


async def write_checkpoint(tx: Tx, key_id: str, body: str, seal: bytes) -> None:
    await tx.execute(
        "insert into audit_checkpoint (key_id, body, seal) values ($1, $2, $3) on conflict (key_id) do update"
        " set body = excluded.body, seal = excluded.seal, sealed_at = excluded.sealed_at",
        key_id, body, seal,
    )  # fmt: skip


async def remove_checkpoint(tx: Tx, key_id: str) -> None:
    """Delete the checkpoint, so that the next audit is a full one."""
    await tx.execute("delete from audit_checkpoint where key_id = $1", key_id)


# Audits that were run --------------------------------------------------------------------------------------------------------------


class AuditRun(msgspec.Struct, frozen=True):
    """An audit that was run. `findings`: how many violations it reported; `whole`: it recomputed everything."""

    ended_at: datetime
    took_s: float
    whole: bool
    transfers: int
    findings: int


async def write_run(tx: Tx, *, took_s: float, whole: bool, transfers: int, findings: int) -> None:
    """Note an audit, and forget those of more than a year ago."""
    await tx.execute(
        "insert into audit_run (took_s, whole, transfers, findings) values ($1, $2, $3, $4)",
        took_s, whole, transfers, findings,
    )  # fmt: skip
    await tx.execute("delete from audit_run where ended_at < now() - interval '400 days'")


async def last_run(tx: Tx) -> AuditRun | None:
    """Return the audit that ended last; None where there was none."""
    row = await tx.fetchrow(
        "select ended_at, took_s, whole, transfers, findings from audit_run order by id desc limit 1"
    )
    return None if row is None else AuditRun(*row)
