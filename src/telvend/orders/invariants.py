"""What must hold between orders, the ledger and the lists of wallets."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import TransferKind
from telvend.wallets.model import TransactionKind

_SETTLED: Final = f"({TransferKind.COST}, {TransferKind.MARGIN})"

INVARIANTS: Final = (
    Invariant(
        "every order holds its price exactly once",
        f"""
        select format('order %s (%s): %s %s held, price %s', o.id, o.reference, coalesce(t.amount_minor, 0), o.currency,
                      o.price_minor)
        from orders o left join transfer t on t.cause = o.id and t.kind = {TransferKind.HOLD}
        where t.cause is null or t.amount_minor <> o.price_minor or t.wallet_id <> o.wallet_id limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every final order is settled exactly once and in full, an open one not at all",
        f"""
        select format('order %s (%s) is %s: %s posted, %s released of %s', o.id, o.reference, o.state,
                      coalesce(s.posted, 0), coalesce(s.released, 0), o.price_minor)
        from orders o left join (
            select cause, sum(amount_minor) filter (where kind in {_SETTLED}) as posted,
                   sum(amount_minor) filter (where kind = {TransferKind.RELEASE}) as released
            from transfer where kind in ({TransferKind.RELEASE}, {TransferKind.COST}, {TransferKind.MARGIN}) group by cause
        ) s on s.cause = o.id
        where coalesce(s.posted, 0) <> case when o.state = 'delivered' then o.price_minor else 0 end
           or coalesce(s.released, 0) <> case when o.state = 'failed' then o.price_minor else 0 end limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every order stands in its wallet's list, as failed when it has failed",
        f"""
        select format('order %s (%s) is %s at position %s', o.id, o.reference, o.state, o.position)
        from orders o left join wallet_transaction t on t.wallet_id = o.wallet_id and t.position = o.position
        left join wallet_failed f on f.wallet_id = o.wallet_id and f.position = o.position
        where t.kind is distinct from '{TransactionKind.ORDER}'::"char" or t.id <> o.id
           or (f.position is not null) <> (o.state = 'failed') limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "a final order has no open attempt, and no order has two",
        """
        select format('order %s (%s) is %s with %s open attempts', o.id, o.reference, o.state, count(*))
        from orders o join attempt a on a.order_id = o.id and a.state in ('started', 'accepted', 'unknown')
        group by o.id, o.reference, o.state
        having count(*) > case when o.state in ('delivered', 'failed') then 0 else 1 end limit 10""",
        Scope.SALE,
    ),
)
