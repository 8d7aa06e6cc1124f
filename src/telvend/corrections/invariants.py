"""What must hold between debits, refunds, the ledger and the lists of wallets."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import AccountKind, TransferKind
from telvend.wallets.model import TransactionKind

INVARIANTS: Final = (
    Invariant(
        "every debit by hand stands in the ledger and in its wallet's list, and no other",
        f"""
        select format('debit %s (%s) of wallet %s: it says %s, the ledger %s', coalesce(d.id, t.cause), d.our_reference,
                      coalesce(d.wallet_id, t.wallet_id), coalesce(d.amount_minor, 0), coalesce(t.amount_minor, 0))
        from wallet_debit d
        full join (select * from transfer where kind = {TransferKind.DEBIT}) t on t.cause = d.id
        where d.id is null or t.cause is null or t.amount_minor <> d.amount_minor
            or t.wallet_id is distinct from d.wallet_id or t.debit <> d.wallet_id
            or not exists (select from account a join wallet w on w.account_id = d.wallet_id where a.id = t.credit
                and a.kind = '{AccountKind.FUNDING}' and a.owner = '' and a.currency = w.currency and a.mode = w.mode)
            or not exists (select from wallet_transaction x where x.wallet_id = d.wallet_id and x.position = d.position
                and x.kind = '{TransactionKind.DEBIT}' and x.id = d.id and not x.credit)
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every refund gives the price of one delivered order back, from the loss of the house",
        f"""
        select format('refund %s (%s) of order %s, which is %s: it says %s, the ledger %s, the price %s',
                      coalesce(f.id, t.cause), f.our_reference, f.order_id, o.state, coalesce(f.amount_minor, 0),
                      coalesce(t.amount_minor, 0), coalesce(o.price_minor, 0))
        from order_refund f
        full join (select * from transfer where kind = {TransferKind.REFUND}) t on t.cause = f.id
        left join orders o on o.id = f.order_id
        where f.id is null or t.cause is null or o.id is null or o.state <> 'delivered'
            or f.amount_minor <> o.price_minor or t.amount_minor <> f.amount_minor or f.wallet_id <> o.wallet_id
            or t.wallet_id is distinct from f.wallet_id or t.credit <> f.wallet_id
            or not exists (select from account a where a.id = t.debit and a.kind = '{AccountKind.LOSS}'
                and a.currency = o.currency and a.mode = o.mode)
            or not exists (select from wallet_transaction x where x.wallet_id = f.wallet_id and x.position = f.position
                and x.kind = '{TransactionKind.REFUND}' and x.id = f.id and x.credit)
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "no order is refunded twice",
        """
        select format('order %s was refunded %s times', order_id, count(*)) from order_refund group by order_id
        having count(*) > 1 limit 10""",
        Scope.SALE,
    ),
)
