"""All SQL of what is known of providers beside the orders."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from telvend.database.connections import Tx, rows

# What is looked at for the last hour: enough for a share, and a bounded piece of work in a shop that sells thousands a second.
MOST_ATTEMPTS: Final = 20_000

_LAST_HOUR: Final = """
    with recent as materialized (
        select provider, state, started_at, finished_at, cost_minor, currency, mode
        from provider_attempt order by order_id desc limit $1
    ), bounds as (
        select count(*) as count, min(started_at) as since from recent
    )
    select provider, currency,
        count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'refused') as refused,
        count(*) filter (where state = 'not_sent') as not_sent,
        count(*) filter (where state = 'unknown') as unknown,
        count(*) filter (where state in ('started', 'accepted')) as open,
        coalesce(sum(cost_minor) filter (where state = 'delivered'), 0)::bigint as cost_minor,
        percentile_cont(array[0.5, 0.95]) within group (order by extract(epoch from finished_at - started_at))
            filter (where state = 'delivered') as latencies,
        case when bounds.count < $1 then 3600
            else least(3600, greatest(1, extract(epoch from now() - bounds.since))) end::float8 as covered_s
    from recent, bounds
    where mode = 'live' and started_at > now() - interval '1 hour'
    group by provider, currency, bounds.count, bounds.since
"""

_CLAIM_FLOAT: Final = """
    insert into provider_float (provider, asked_at) values ($1, now())
    on conflict (provider) do update set asked_at = now()
    where provider_float.asked_at < now() - make_interval(secs => $2) or provider_float.asked_at > now() + interval '1 minute'
    returning provider
"""

_FLOATS: Final = """
    select provider, minor, currency, read_at, extract(epoch from now() - read_at)::float8 as age_s, error, not_allowed, low
    from provider_float
"""


class _Report(msgspec.Struct):
    process: str
    provider: str
    in_flight: int
    breakers: str


async def switch(tx: Tx, provider: str, state: str, reason: str, by_whom: str) -> None:
    await tx.execute(
        "insert into provider_switch (provider, state, reason, by_whom) values ($1, $2, $3, $4) on conflict (provider)"
        " do update set state = excluded.state, reason = excluded.reason, by_whom = excluded.by_whom, changed_at = now()",
        provider, state, reason, by_whom,
    )  # fmt: skip


async def switched(tx: Tx) -> list[Any]:
    """Every provider that was ever switched: provider, state, reason, by_whom, changed_at."""
    found: list[Any] = await tx.fetch("select provider, state, reason, by_whom, changed_at from provider_switch")
    return found


async def claim_float(tx: Tx, provider: str, every_s: float) -> bool:
    """Whether it is this process's turn to ask for the float: nobody has for `every_s`."""
    return await tx.fetchval(_CLAIM_FLOAT, provider, every_s) is not None


async def floats(tx: Tx) -> list[Any]:
    found: list[Any] = await tx.fetch(f"{_FLOATS} order by provider")
    return found


async def currency_of_float(tx: Tx, provider: str) -> str | None:
    """The currency of the float as it was read last; None where it never was."""
    found: str | None = await tx.fetchval("select currency from provider_float where provider = $1", provider)
    return found


async def lock_float(tx: Tx, provider: str) -> Any:
    """The float as it was read last, locked."""
    return await tx.fetchrow(f"{_FLOATS} where provider = $1 for update", provider)


async def write_float(tx: Tx, provider: str, minor: int, currency: str, *, low: bool, error: str) -> None:
    await tx.execute(
        "update provider_float set minor = $2, currency = $3, read_at = now(), low = $4, error = $5, not_allowed = false"
        " where provider = $1",
        provider, minor, currency, low, error,
    )  # fmt: skip


async def write_float_error(tx: Tx, provider: str, error: str, *, not_allowed: bool) -> None:
    await tx.execute(
        "update provider_float set error = $2, not_allowed = $3 where provider = $1", provider, error, not_allowed
    )


async def report(tx: Tx, process: str, health: Sequence[tuple[str, int, str]], kept_s: float) -> None:
    """Replace what this process has reported, and remove what ended ones have."""
    await tx.execute(
        "insert into provider_report (process, provider, in_flight, breakers)"
        " select process, provider, in_flight, breakers from json_to_recordset($1::text::json)"
        " as new(process text, provider text, in_flight integer, breakers text)"
        " on conflict (process, provider) do update set in_flight = excluded.in_flight, breakers = excluded.breakers,"
        " reported_at = now()",
        rows([_Report(process, provider, in_flight, breakers) for provider, in_flight, breakers in health]),
    )
    await tx.execute(
        "delete from provider_report where reported_at < now() - make_interval(secs => $1)"
        " or reported_at > now() + make_interval(secs => $1)",
        kept_s,
    )


async def end_reports(tx: Tx, process: str) -> None:
    """Remove what a process has reported: it ends."""
    await tx.execute("delete from provider_report where process = $1", process)


async def reports(tx: Tx, kept_s: float) -> list[Any]:
    """provider, in_flight and breakers of every process that has reported within `kept_s`."""
    found: list[Any] = await tx.fetch(
        "select provider, in_flight, breakers from provider_report"
        " where reported_at > now() - make_interval(secs => $1) order by provider, process",
        kept_s,
    )
    return found


async def last_hour(tx: Tx) -> list[Any]:
    found: list[Any] = await tx.fetch(_LAST_HOUR, MOST_ATTEMPTS)
    return found


async def topup_under(tx: Tx, provider: str, reference: str) -> Any:
    """The top-up of this provider under the operator's reference: amount_minor and currency."""
    return await tx.fetchrow(
        "select amount_minor, currency from provider_topup where provider = $1 and reference = $2", provider, reference
    )


async def write_topup(tx: Tx, provider: str, amount_minor: int, currency: str, reference: str, by_whom: str) -> bool:
    """Record a top-up. False where there is one under the reference."""
    made = await tx.fetchval(
        "insert into provider_topup (provider, amount_minor, currency, reference, by_whom) values ($1, $2, $3, $4, $5)"
        " on conflict (provider, reference) do nothing returning id",
        provider, amount_minor, currency, reference, by_whom,
    )  # fmt: skip
    return made is not None


async def topped_up(tx: Tx) -> list[Any]:
    """provider, currency and the sum of its top-ups."""
    found: list[Any] = await tx.fetch(
        "select provider, currency, sum(amount_minor)::bigint as minor from provider_topup group by provider, currency"
    )
    return found
