"""All SQL about trials."""

from collections.abc import Sequence
from typing import Any, Final

from telvend.database.connections import Tx
from telvend.fulfilment.model import clean
from telvend.fulfilment.trials.model import STATES, Trial
from telvend.kit.money import Money, currency_of
from telvend.orders.model import AttemptState
from telvend.providers.contract import Accepted, Delivered, Delivery, Outcome

_TRIAL: Final = """
    select id, provider, reference, kind, country, network, product, size, validity_days, type, provider_code, subscriber,
        currency, face_minor, cost_minor, state, asked, text, provider_reference, charged_minor, by_whom, started_at,
        finished_at, extract(epoch from now() - started_at)::float8 as age_s
    from provider_trial
"""


async def insert(tx: Tx, provider: str, delivery: Delivery, by_whom: str) -> Trial:
    number = await tx.fetchval(
        "insert into provider_trial (provider, reference, kind, country, network, product, size, validity_days, type,"
        " provider_code, subscriber, currency, face_minor, cost_minor, state, by_whom, started_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'started', $15, $16) returning id",
        provider, delivery.reference, delivery.kind, delivery.country, delivery.network, delivery.product, delivery.size,
        delivery.validity_days, delivery.type, delivery.provider_code, delivery.subscriber,
        delivery.face_value.currency.code, delivery.face_value.minor, delivery.cost.minor, by_whom, delivery.started_at,
    )  # fmt: skip
    return _trial(await tx.fetchrow(f"{_TRIAL} where id = $1", number))


async def write_outcome(tx: Tx, trial_id: int, outcome: Outcome, *, asked: bool) -> Trial:
    """Note what was said of a trial; one that is settled already stays as it is."""
    theirs = outcome.provider_reference if isinstance(outcome, Delivered | Accepted) else None
    charged = outcome.cost if isinstance(outcome, Delivered) else None
    await tx.execute(
        "update provider_trial set state = $2, text = $3, asked = least(asked + $4, 32767),"
        " provider_reference = coalesce($5, provider_reference),"
        " charged_minor = case when $7::text = currency then $6::bigint else charged_minor end,"
        " finished_at = case when $2 in ('started', 'accepted', 'unknown') then null else now() end"
        " where id = $1 and state in ('started', 'accepted', 'unknown')",
        trial_id,
        STATES[type(outcome)],
        clean(outcome.text),
        int(asked),
        theirs,
        charged.minor if charged else None,
        charged.currency.code if charged else None,
    )
    return _trial(await tx.fetchrow(f"{_TRIAL} where id = $1", trial_id))


async def find(tx: Tx, reference: str) -> Trial | None:
    row = await tx.fetchrow(f"{_TRIAL} where reference = $1", reference)
    return _trial(row) if row else None


async def page(tx: Tx, provider: str | None, before: int | None, limit: int) -> Sequence[Trial]:
    """Trials, newest first; of one provider, or of all; those with numbers below `before`."""
    rows = await tx.fetch(
        f"{_TRIAL} where ($1::text is null or provider = $1) and ($2::bigint is null or id < $2) order by id desc limit $3",
        provider,
        before,
        limit,
    )
    return [_trial(row) for row in rows]


def _trial(row: Any) -> Trial:
    currency = currency_of(row["currency"])
    delivery = Delivery(
        reference=row["reference"],
        kind=row["kind"],
        country=row["country"],
        network=row["network"],
        product=row["product"],
        size=row["size"],
        validity_days=row["validity_days"],
        subscriber=row["subscriber"],
        face_value=Money(row["face_minor"], currency),
        cost=Money(row["cost_minor"], currency),
        type=row["type"],
        provider_code=row["provider_code"],
        started_at=row["started_at"],
        provider_reference=row["provider_reference"] or "",
    )
    charged = row["charged_minor"]
    return Trial(
        row["id"],
        row["provider"],
        delivery,
        AttemptState(row["state"]),
        row["asked"],
        row["text"],
        row["provider_reference"],
        None if charged is None else Money(charged, currency),
        row["by_whom"],
        row["started_at"],
        row["finished_at"],
        row["age_s"],
    )
