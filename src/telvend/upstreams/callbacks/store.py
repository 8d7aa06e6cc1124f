"""All SQL of callbacks. A statement for each callback, whatever it is about; what they are about is looked for in batches."""

from collections.abc import Sequence
from typing import Any, Final

from telvend.database.connections import Tx

MOST_WAITING: Final = 5_000
"""So many callbacks may wait to be looked at."""

_RECEIVE: Final = """
    insert into provider_callback (provider, reference)
    select $1, $2
    where (select count(*) from (select from provider_callback where waits limit $3) as waiting) < $3
    on conflict (provider, reference) do update set waits = true, received_at = now()
    returning true
"""

# Two processes do not take the same ones. What was used a moment ago waits.
_TAKE: Final = """
    update provider_callback as taken set waits = false, used = taken.used + 1, used_at = now()
    from (
        select provider, reference from provider_callback
        where waits and (used_at is null or used_at < now() - make_interval(secs => $1) or used_at > now() + interval '1 minute')
        order by received_at limit $2 for update skip locked
    ) as due
    where taken.provider = due.provider and taken.reference = due.reference
    returning taken.provider, taken.reference, taken.used
"""

_FIND: Final = """
    select known.provider, known.reference, open.order_id, open.number
    from unnest($1::text[], $2::text[]) as known(provider, reference)
    join open_attempt as open
        on open.provider = known.provider and (open.reference = known.reference or open.provider_reference = known.reference)
"""


async def receive(tx: Tx, provider: str, reference: str) -> bool:
    """Note a callback, so that it is looked at; one that waits already waits once. False: too many wait."""
    return await tx.fetchval(_RECEIVE, provider, reference, MOST_WAITING) is not None


async def take(tx: Tx, pause_s: float, limit: int) -> list[Any]:
    """Take what waits and was not used within `pause_s`: provider, reference and how often it was used by now."""
    found: list[Any] = await tx.fetch(_TAKE, pause_s, limit)
    return found


async def find(tx: Tx, providers: Sequence[str], references: Sequence[str]) -> list[Any]:
    """The open attempts with these references, ours or theirs: provider, reference, order_id and number."""
    found: list[Any] = await tx.fetch(_FIND, providers, references)
    return found


async def forget(tx: Tx, providers: Sequence[str], references: Sequence[str]) -> None:
    """Remove callbacks that are about nothing here, unless they were posted again."""
    await tx.execute(
        "delete from provider_callback using unnest($1::text[], $2::text[]) as known(provider, reference)"
        " where provider_callback.provider = known.provider and provider_callback.reference = known.reference and not waits",
        providers,
        references,
    )


async def forget_old(tx: Tx, after_s: float) -> None:
    """Remove callbacks that nobody has posted again for so long."""
    await tx.execute("delete from provider_callback where received_at < now() - make_interval(secs => $1)", after_s)
