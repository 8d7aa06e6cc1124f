"""What must hold of transfers, and of the balances that wallets store."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import TransferKind

INVARIANTS: Final = (
    Invariant(
        "wallet balances equal their transfers",
        f"""
        select format('wallet %s stores %s, its transfers add up to %s', w.account_id, w.balance_minor, coalesce(s.minor, 0))
        from wallet w left join (
            select wallet_id, sum(case when kind in ({TransferKind.RELEASE}, {TransferKind.CREDIT}, {TransferKind.REFUND},
                                                    {TransferKind.PROVISIONAL_CREDIT})
                                       then amount_minor else -amount_minor end) as minor
            from transfer where wallet_id is not null group by wallet_id
        ) s on s.wallet_id = w.account_id
        where w.balance_minor <> coalesce(s.minor, 0) limit 10""",
        Scope.WALLET,
    ),
    Invariant(
        "wallet sequences have no gaps",
        """
        select format('wallet %s is at %s and has %s transfers up to %s', w.account_id, w.sequence,
                      coalesce(s.count, 0), coalesce(s.last, 0))
        from wallet w left join (
            select wallet_id, count(*) as count, max(wallet_sequence) as last, min(wallet_sequence) as first
            from transfer where wallet_id is not null group by wallet_id
        ) s on s.wallet_id = w.account_id
        where w.sequence <> coalesce(s.count, 0) or w.sequence <> coalesce(s.last, 0) or coalesce(s.first, 1) <> 1
        limit 10""",
        Scope.WALLET,
    ),
    Invariant(
        "balances after each transfer follow from the one before",
        """
        select format('wallet %s, transfer %s: balance %s after %s', wallet_id, wallet_sequence, wallet_balance_minor, before)
        from (
            select wallet_id, wallet_sequence, wallet_balance_minor,
                   case when credit = wallet_id then amount_minor else -amount_minor end as change,
                   lag(wallet_balance_minor, 1, 0::bigint) over (partition by wallet_id order by wallet_sequence) as before
            from transfer where wallet_id is not null
        ) t where wallet_balance_minor <> before + change limit 10""",
        Scope.WALLET,
    ),
    Invariant(
        "no wallet is negative",
        """
        select format('wallet %s stands at %s', account_id, balance_minor) from wallet where balance_minor < 0 limit 10""",
        Scope.WALLET,
    ),
    Invariant(
        "every transfer stands between two known accounts of one currency and mode",
        """
        select format('transfer %s of cause %s: account %s to account %s', t.kind, t.cause, t.debit, t.credit)
        from transfer t left join account d on d.id = t.debit left join account c on c.id = t.credit
        where d.id is null or c.id is null or d.currency <> c.currency or d.mode <> c.mode
           or (t.wallet_id is not null and not exists (select from wallet w where w.account_id = t.wallet_id))
           or (t.wallet_id is null and 'wallet' in (d.kind, c.kind))
        limit 10""",
        Scope.SALE,
    ),
)
