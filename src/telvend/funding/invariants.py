"""What must hold between fundings, the ledger and the lists of wallets."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import AccountKind, TransferKind
from telvend.wallets.model import TransactionKind

INVARIANTS: Final = (
    Invariant(
        "every completed funding stands in the ledger once, with its amount",
        f"""
        select format('funding %s (%s): %s credited to wallet %s, it is %s for wallet %s', f.id, f.reference,
                      coalesce(t.amount_minor, 0), t.wallet_id, f.amount_minor, f.wallet_id)
        from funding f
        left join transfer t on t.cause = f.id and t.kind = {TransferKind.CREDIT}
        left join account a on a.id = t.debit
        where f.state = 'completed' and (t.cause is null or t.amount_minor <> f.amount_minor or t.wallet_id <> f.wallet_id
            or a.kind <> '{AccountKind.FUNDING}' or a.owner <> f.gateway or a.currency <> f.currency or a.mode <> f.mode
            or t.wallet_balance_minor <> f.balance_after_minor)
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "no other funding stands in the ledger",
        """
        select format('funding %s (%s) is %s, and the ledger has a transfer for it', f.id, f.reference, f.state)
        from funding f where f.state <> 'completed' and exists (select from transfer t where t.cause = f.id) limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "what came from a gateway is a funding",
        f"""
        select format('transfer of %s to wallet %s under cause %s', t.amount_minor, t.wallet_id, t.cause)
        from transfer t join account a on a.id = t.debit left join funding f on f.id = t.cause
        where t.kind = {TransferKind.CREDIT} and a.owner <> '' and f.id is null limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "a funding is listed as failed exactly when it has come to nothing",
        """
        select format('funding %s (%s) is %s', f.id, f.reference, f.state)
        from funding f left join wallet_failed w on w.wallet_id = f.wallet_id and w.position = f.position
        where (f.state in ('failed', 'expired')) <> (w.position is not null) limit 10""",
        Scope.SALE,
    ),
)

CREDITS: Final = (
    Invariant(
        "every credit stands in the ledger, and no other",
        f"""
        select case when c.id is null then format('transfer of %s to wallet %s under cause %s is nobody''s credit',
                                                  t.amount_minor, t.wallet_id, t.cause)
                    else format('credit %s of wallet %s under %s', c.id, c.wallet_id, c.reference) end
        from wallet_credit c
        full join (select cause, wallet_id, amount_minor from transfer where kind = {TransferKind.CREDIT}) t on t.cause = c.id
        where t.cause is null or t.wallet_id <> c.wallet_id or t.amount_minor <> c.amount_minor
           or c.id is null and not exists (
               select from wallet_transaction f where f.wallet_id = t.wallet_id and f.kind = '{TransactionKind.FUNDING}' and f.id = t.cause)
        limit 10""",
        Scope.SALE,
    ),
)
"""Of credits by hand."""
