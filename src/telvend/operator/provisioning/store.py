"""All SQL of deliveries: what each reference became."""

from collections.abc import Sequence
from typing import Final

import msgspec

from telvend.database.connections import Tx, rows

# One that another process has written and not committed yet is waited for; in the order of the references, so that two
# never wait for each other.
CLAIM_REFERENCES: Final = """
    insert into network_delivery (reference, state, subscriber_id, parts, fingerprint)
    select reference, state, subscriber_id, parts, fingerprint
    from json_to_recordset($1::text::json)
        as new(reference text, state text, subscriber_id bigint, parts smallint, fingerprint text)
    order by reference collate "C"
    on conflict (reference) do nothing
    returning reference
"""

KNOWN_REFERENCES: Final = """
    select d.reference, d.state, d.subscriber_id, d.parts, d.fingerprint, d.reason
    from unnest($1::text[]) as wanted(reference)
    cross join lateral (
        select * from network_delivery where network_delivery.reference = wanted.reference limit 1
    ) as d
"""

REFUSE_REFERENCES: Final = """
    update network_delivery set state = new.state, reason = new.reason, parts = 0
    from json_to_recordset($1::text::json) as new(reference text, state text, reason text)
    where network_delivery.reference = new.reference and network_delivery.reference = any($2::text[])
"""

FORGET_REFERENCES: Final = "delete from network_delivery where reference = any($1::text[])"


class ReferenceClaim(msgspec.Struct, frozen=True, gc=False):
    """A reference of a delivery: what it became, or becomes if it is new. `parts`: how many postings it made."""

    reference: str
    state: str
    subscriber_id: int | None = None
    parts: int = 0
    fingerprint: str = ""
    reason: str | None = None


async def claim_references(tx: Tx, claims: Sequence[ReferenceClaim]) -> set[str]:
    """Write these references, each what it becomes. Returns those that were new; the others stay as they are."""
    return {row[0] for row in await tx.fetch(CLAIM_REFERENCES, rows(claims))}


async def known_references(tx: Tx, references: Sequence[str]) -> dict[str, ReferenceClaim]:
    """What these references have become."""
    return {row[0]: ReferenceClaim(*row) for row in await tx.fetch(KNOWN_REFERENCES, references)}


async def refuse_references(tx: Tx, claims: Sequence[ReferenceClaim]) -> None:
    """What was claimed in this transaction and is refused."""
    await tx.execute(REFUSE_REFERENCES, rows(claims), [claim.reference for claim in claims])


async def forget_references(tx: Tx, references: Sequence[str]) -> None:
    """What was claimed in this transaction and leaves its reference free."""
    await tx.execute(FORGET_REFERENCES, references)
