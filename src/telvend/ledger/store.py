"""All SQL of the ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Tx, rows
from telvend.database.facts import Fact, FactKind, remember
from telvend.database.together import Statement
from telvend.errors import InvariantBroken
from telvend.kit.mode import Mode
from telvend.ledger.model import AccountKind, Journal, Transfer, Wallet

# The clock is read outside of what locks: inside it would be read before the wait.
LOCK_WALLETS: Final = """
    with locked as materialized (
        select account_id, balance_minor, sequence, transactions, funded_minor
        from wallet where account_id = any($1::bigint[]) order by account_id for no key update
    )
    select account_id, balance_minor, sequence, transactions, funded_minor, clock_timestamp() from locked
"""

WRITE_TRANSFERS: Final = """
    insert into transfer (cause, kind, debit, credit, amount_minor, wallet_id, wallet_sequence, wallet_balance_minor)
    select cause, kind, debit, credit, amount_minor, wallet_id, wallet_sequence, wallet_balance_minor
    from json_to_recordset($1::text::json) as new(cause bigint, kind smallint, debit bigint, credit bigint,
        amount_minor bigint, wallet_id bigint, wallet_sequence bigint, wallet_balance_minor bigint)
"""

# The ids stand there twice: without the array the planner would read all of a young table and keep to that plan.
WRITE_WALLETS: Final = """
    update wallet set balance_minor = new.balance_minor, sequence = new.sequence, transactions = new.transactions,
        funded_minor = new.funded_minor,
        last_funded_at = case when new.funded_minor > wallet.funded_minor then now() else wallet.last_funded_at end
    from json_to_recordset($1::text::json)
        as new(id bigint, balance_minor bigint, sequence bigint, transactions bigint, funded_minor bigint)
    where wallet.account_id = new.id and wallet.account_id = any($2::bigint[])
"""


async def lock_wallets(tx: Tx, wallet_ids: Sequence[int]) -> tuple[dict[int, Wallet], datetime | None]:
    """Lock the rows of these wallets in id order, so that two transactions never wait for each other.

    Also answers the database's clock after the locks were had; None when no wallet was found.
    """
    found = await tx.fetch(LOCK_WALLETS, wallet_ids)
    wallets = {row[0]: Wallet(row[0], row[1], row[2], row[3], row[4]) for row in found}
    return wallets, found[-1][5] if found else None


def transfers_of(tx: Tx, journal: Journal) -> list[Statement]:
    """Return what writes the journal's transfers, and the wallets that it changed. They are remembered when `tx` commits."""
    statements = []
    if journal.transfers:
        statements.append(Statement(WRITE_TRANSFERS, (rows(journal.transfers),)))
        remember(tx, _fact_of(journal.transfers[-1]))
    changed = journal.changed_wallets()
    if changed:
        statements.append(Statement(WRITE_WALLETS, (rows(changed), [wallet.id for wallet in changed])))
    return statements


def _fact_of(transfer: Transfer) -> Fact:
    """A transfer as a node remembers it; the same transfer again, after a loss, counts as the same."""
    content = (
        transfer.debit,
        transfer.credit,
        transfer.amount_minor,
        transfer.wallet_id,
        transfer.wallet_sequence,
        transfer.wallet_balance_minor,
    )
    detail = " ".join(str(part) for part in content if part is not None)
    return Fact(FactKind.TRANSFER, transfer.cause, part=transfer.kind, at=datetime.now(UTC), detail=detail)


async def next_causes(tx: Tx, count: int) -> list[int]:
    """`count` fresh numbers for orders and credits. Not part of the transaction: an unused one stays a gap."""
    return [row[0] for row in await tx.fetch("select nextval('cause') from generate_series(1, $1::int)", count)]


async def installation_salt(tx: Tx) -> bytes:
    """What makes the checks in this shop's references its own."""
    return bytes((await tx.fetchval("select id from installation")).bytes)


async def find_account(tx: Tx, kind: AccountKind, owner: str, currency: str, mode: Mode) -> int | None:
    """The account of this kind and owner, if there is one."""
    found: int | None = await tx.fetchval(
        "select id from account where kind = $1 and owner = $2 and currency = $3 and mode = $4",
        kind, owner, currency, mode,
    )  # fmt: skip
    return found


async def open_account(tx: Tx, kind: AccountKind, owner: str, currency: str, mode: Mode) -> int:
    """The account of this kind and owner, made if there is none."""
    found = await find_account(tx, kind, owner, currency, mode)
    if found is None:
        await tx.execute(
            "insert into account (kind, owner, currency, mode) values ($1, $2, $3, $4) on conflict do nothing",
            kind, owner, currency, mode,
        )  # fmt: skip
        found = await find_account(tx, kind, owner, currency, mode)
    if found is None:
        raise InvariantBroken(f"the account {kind} {owner} in {currency} ({mode}) cannot be opened")
    return found


async def open_wallet(tx: Tx, account_id: int, reseller_id: UUID, currency: str, mode: Mode) -> bool:
    """Whether the wallet was made now; False when it was there already."""
    made = await tx.fetchval(
        "insert into wallet (account_id, reseller_id, currency, mode) values ($1, $2, $3, $4)"
        " on conflict do nothing returning true",
        account_id, reseller_id, currency, mode,
    )  # fmt: skip
    return bool(made)


async def wallet_of(tx: Tx, reseller_id: UUID, currency: str, mode: Mode) -> int | None:
    found = await tx.fetchval(
        "select account_id from wallet where reseller_id = $1 and currency = $2 and mode = $3",
        reseller_id, currency, mode,
    )  # fmt: skip
    return None if found is None else int(found)


async def statement(tx: Tx, wallet_id: int, before: int | None, limit: int) -> list[Any]:
    """The wallet's transfers, newest first, from below sequence `before`."""
    found: list[Any] = await tx.fetch(
        "select wallet_sequence, kind, cause, amount_minor, wallet_balance_minor, credit = wallet_id as incoming, created_at"
        " from transfer where wallet_id = $1 and wallet_sequence < $2 order by wallet_sequence desc limit $3",
        wallet_id, before if before is not None else 2**62, limit,
    )  # fmt: skip
    return found


async def first_balances(tx: Tx, causes: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The balance before and after the first transfer of each cause on a wallet, in minor units."""
    found = await tx.fetch(
        "select distinct on (cause) cause, case when credit = wallet_id then -amount_minor else amount_minor end"
        " + wallet_balance_minor as before, wallet_balance_minor as after"
        " from transfer where cause = any($1::bigint[]) and wallet_id is not null order by cause, kind",
        causes,
    )
    return {row["cause"]: (row["before"], row["after"]) for row in found}


async def entries(tx: Tx, cause: int) -> list[Any]:
    """The transfers of one cause with the names of their accounts, in the order in which they happen."""
    found: list[Any] = await tx.fetch(
        "select t.kind, t.amount_minor, d.kind as debit_kind, d.owner as debit_owner, c.kind as credit_kind,"
        " c.owner as credit_owner, d.currency, t.created_at"
        " from transfer t join account d on d.id = t.debit join account c on c.id = t.credit"
        " where t.cause = $1 order by t.kind",
        cause,
    )
    return found


async def totals(tx: Tx) -> list[Any]:
    """What every account holds, summed from its transfers: kind, owner, currency, mode, minor."""
    found: list[Any] = await tx.fetch("""
        select a.kind, a.owner, a.currency, a.mode, sum(m.minor)::bigint as minor
        from (select credit as id, sum(amount_minor) as minor from transfer group by credit
              union all
              select debit, -sum(amount_minor) from transfer group by debit) as m
        join account a on a.id = m.id
        group by a.kind, a.owner, a.currency, a.mode
        order by a.mode, a.currency, a.kind, a.owner
    """)
    return found


async def wallets_unlike_their_last_transfer(tx: Tx) -> list[str]:
    """Wallets that do not stand as their last transfer left them, one sentence each, at most ten. One look-up a wallet."""
    found = await tx.fetch("""
        select format('wallet %s stores %s at %s, its last transfer says %s at %s', w.account_id, w.balance_minor, w.sequence,
                      coalesce(t.wallet_balance_minor, 0), coalesce(t.wallet_sequence, 0))
        from wallet w left join lateral (
            select wallet_balance_minor, wallet_sequence from transfer
            where wallet_id = w.account_id order by wallet_sequence desc limit 1
        ) t on true
        where (w.balance_minor, w.sequence) <> (coalesce(t.wallet_balance_minor, 0), coalesce(t.wallet_sequence, 0))
        limit 10
    """)
    return [row[0] for row in found]
