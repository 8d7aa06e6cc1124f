"""What must hold between identity checks, their safe, the ledger and the lists of wallets."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import TransferKind
from telvend.wallets.model import TransactionKind

_SETTLED: Final = f"({TransferKind.COST}, {TransferKind.MARGIN})"
_TAKEN: Final = f"({TransferKind.COST}, {TransferKind.LOSS})"

INVARIANTS: Final = (
    Invariant(
        "every identity check holds its price exactly once",
        f"""
        select format('check %s (%s): %s %s held, price %s', v.id, v.reference, coalesce(t.amount_minor, 0), v.currency,
                      v.price_minor)
        from verification v left join transfer t on t.cause = v.id and t.kind = {TransferKind.HOLD}
        where t.cause is null or t.amount_minor <> v.price_minor or t.wallet_id <> v.wallet_id limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "an identity check is paid in full for an answer, released without one, and held while it is asked",
        f"""
        select format('check %s (%s) is %s: %s posted, %s released of %s', v.id, v.reference, v.state,
                      coalesce(s.posted, 0), coalesce(s.released, 0), v.price_minor)
        from verification v left join (
            select cause, sum(amount_minor) filter (where kind in {_SETTLED}) as posted,
                   sum(amount_minor) filter (where kind = {TransferKind.RELEASE}) as released
            from transfer where cause in (select id from verification) group by cause
        ) s on s.cause = v.id
        where coalesce(s.posted, 0) <> case when v.state = 'verified' then v.price_minor else 0 end
           or coalesce(s.released, 0) <> case when v.state in ('asking', 'verified') then 0 else v.price_minor end limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "what an authority took for a check stands in the ledger",
        f"""
        select format('check %s (%s): %s taken, %s in the ledger', v.id, v.reference, v.cost_minor, coalesce(s.taken, 0))
        from verification v left join (
            select cause, sum(amount_minor) as taken from transfer
            where kind in {_TAKEN} and cause in (select id from verification) group by cause
        ) s on s.cause = v.id where v.cost_minor <> coalesce(s.taken, 0) limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every identity check stands in its wallet's list, as failed when its hold was released",
        f"""
        select format('check %s (%s) is %s at position %s', v.id, v.reference, v.state, v.position)
        from verification v left join wallet_transaction t on t.wallet_id = v.wallet_id and t.position = v.position
        left join wallet_failed f on f.wallet_id = v.wallet_id and f.position = v.position
        where t.kind is distinct from '{TransactionKind.VERIFICATION}'::"char" or t.id <> v.id
           or (f.position is null) = (v.state in ('not_on_record', 'blocked', 'unavailable')) limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "the safe holds every check that was not purged, with its record when there was an answer",
        """
        select format('check %s (%s) is %s, purged: %s, sealed: %s, record: %s', v.id, v.reference, v.state,
                      v.purged_at is not null, s.id is not null, s.record is not null)
        from verification v left join identity_sealed s on s.id = v.id
        where (s.id is null) <> (v.purged_at is not null)
           or (s.id is not null and (s.record is not null) <> (v.state = 'verified')) limit 10""",
        Scope.SALE,
    ),
)
