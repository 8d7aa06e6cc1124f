"""All SQL of mobile money. What an account holds is a bucket of its own kind."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from telvend.database.connections import Tx, rows
from telvend.operator.subscribers.balances.model import Bucket
from telvend.operator.subscribers.balances.store import BUCKET, bucket_of
from telvend.operator.subscribers.momo.model import MomoAccount

READ_MOMO: Final = """
    select wanted.place, s.currency, now() as now, m.*, b.balance_minor, b.reserved_minor
    from json_to_recordset($1::text::json) as wanted(place integer, mode text, msisdn text)
    cross join lateral (
        select id, currency from subscriber
        where subscriber.msisdn = wanted.msisdn and subscriber.mode = wanted.mode limit 1
    ) as s
    left join lateral (select * from momo_account where momo_account.subscriber_id = s.id limit 1) as m on true
    left join lateral (
        select balance as balance_minor, reserved as reserved_minor
        from bucket where bucket.subscriber_id = s.id and bucket.kind = 'momo' limit 1
    ) as b on true
"""

PARTIES: Final = """
    select wanted.mode, wanted.msisdn, s.currency, m.subscriber_id is not null as has_momo,
           coalesce(m.loyalty_balance_minor, 0) as loyalty_minor
    from unnest($1::text[], $2::text[]) as wanted(mode, msisdn)
    cross join lateral (
        select id, currency from subscriber where msisdn = wanted.msisdn and mode = wanted.mode limit 1
    ) as s
    left join lateral (
        select subscriber_id, loyalty_balance_minor from momo_account where subscriber_id = s.id limit 1
    ) as m on true
"""

BLOCKED: Final = """
    select wanted.id from unnest($1::bigint[]) as wanted(id)
    cross join lateral (
        select blocked from momo_account where momo_account.subscriber_id = wanted.id limit 1
    ) as m
    where m.blocked
"""


class Party(NamedTuple):
    """What a premium needs to know of a subscriber. `loyalty_minor` is 0 for somebody without mobile money."""

    currency: str
    has_momo: bool
    loyalty_minor: int


async def parties_of(tx: Tx, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Party]:
    """Those of these (mode, MSISDN) that are subscribers."""
    found = await tx.fetch(PARTIES, [mode for mode, _ in wanted], [msisdn for _, msisdn in wanted])
    return {
        (row["mode"], row["msisdn"]): Party(row["currency"], row["has_momo"], row["loyalty_minor"]) for row in found
    }


async def read_momo(tx: Tx, wanted: Sequence[Any]) -> list[Any]:
    """Return rows of READ_MOMO for the subscribers that exist; its columns are null where there is no mobile money."""
    found: list[Any] = await tx.fetch(READ_MOMO, rows(wanted))
    return found


def momo_of(row: Any) -> MomoAccount | None:
    """Return the mobile money in a row of READ_MOMO; None where there is none."""
    if row["subscriber_id"] is None:
        return None
    return MomoAccount(
        row["balance_minor"] or 0,
        row["reserved_minor"] or 0,
        row["positive_minor"],
        row["negative_minor"],
        row["loyalty_generated_minor"],
        row["loyalty_consumed_minor"],
        row["loyalty_balance_minor"],
        row["overdraft_balance_minor"],
        row["overdraft_limit_minor"],
        row["overdraft_fee_minor"],
        row["overdraft_interest_minor"],
        row["blocked"],
        row["authorization_digest"],
    )


async def blocked(tx: Tx, subscriber_ids: Collection[int]) -> set[int]:
    """Return those of these subscribers whose mobile money is blocked."""
    return {row[0] for row in await tx.fetch(BLOCKED, list(subscriber_ids))}


# For people: none of this is on anybody's path -------------------------------------------------------------------------


async def momo_bucket(tx: Tx, subscriber_id: int) -> Bucket | None:
    """Return the bucket that holds a subscriber's mobile money."""
    row = await tx.fetchrow(
        f"select {BUCKET} from bucket b where b.subscriber_id = $1 and b.kind = 'momo'", subscriber_id
    )
    return bucket_of(row) if row else None


async def insert_momo(tx: Tx, subscriber_id: int, authorization_digest: bytes) -> bool:
    """Return whether the account is new; one that exists stays as it is."""
    made = await tx.fetchval(
        "insert into momo_account (subscriber_id, authorization_digest) values ($1, $2) on conflict do nothing"
        " returning true",
        subscriber_id, authorization_digest,
    )  # fmt: skip
    return bool(made)


async def change_momo(tx: Tx, subscriber_id: int, changes: Mapping[str, int | bool | bytes]) -> bool:
    """Set these columns of a subscriber's mobile money. Return whether there is any."""
    names = list(changes)
    assignments = "".join(f", {name} = ${place}" for place, name in enumerate(names, 2))
    changed = await tx.fetchval(
        f"update momo_account set subscriber_id = $1{assignments} where subscriber_id = $1 returning true",
        subscriber_id, *(changes[name] for name in names),
    )  # fmt: skip
    return bool(changed)
