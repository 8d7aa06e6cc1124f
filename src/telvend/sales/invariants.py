"""What must hold between the ledger and everything that is sold."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import TransferKind

INVARIANTS: Final = (
    Invariant(
        "every hold belongs to a sale",
        f"""
        select format('%s of %s under cause %s', case t.kind when {TransferKind.HOLD} then 'hold' else 'loss' end,
                      t.amount_minor, t.cause)
        from transfer t left join sale s on s.id = t.cause and (t.kind = {TransferKind.HOLD} or s.may_lose)
        where t.kind in ({TransferKind.HOLD}, {TransferKind.LOSS}) and s.id is null limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "what is in flight equals the sales that are not final",
        """
        select format('%s %s in flight, open sales come to %s (%s)', coalesce(a.minor, 0), coalesce(a.currency, s.currency),
                      coalesce(s.minor, 0), coalesce(a.mode, s.mode))
        from (
            select account.currency, account.mode, sum(case when t.credit = account.id then t.amount_minor
                                                            else -t.amount_minor end) as minor
            from account join transfer t on account.id in (t.credit, t.debit) where account.kind = 'in_flight'
            group by account.currency, account.mode
        ) a full join (
            select currency, mode, sum(price_minor) as minor from sale where open group by currency, mode
        ) s on s.currency = a.currency and s.mode = a.mode
        where coalesce(a.minor, 0) <> coalesce(s.minor, 0)""",
        Scope.SALE,
    ),
)
