"""What must hold of the lists of wallets and of what they count."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import TransferKind

INVARIANTS: Final = (
    Invariant(
        "a wallet counts its transactions and what came in",
        f"""
        select format('wallet %s: %s transactions counted, %s listed up to %s; %s came in, %s counted', w.account_id,
                      w.transactions, coalesce(t.count, 0), coalesce(t.last, 0), coalesce(c.minor, 0), w.funded_minor)
        from wallet w left join (
            select wallet_id, count(*) as count, max(position) as last from wallet_transaction group by wallet_id
        ) t on t.wallet_id = w.account_id left join (
            select wallet_id, sum(amount_minor) as minor from transfer where kind = {TransferKind.CREDIT} group by wallet_id
        ) c on c.wallet_id = w.account_id
        where w.transactions <> coalesce(t.count, 0) or w.transactions <> coalesce(t.last, 0)
           or w.funded_minor <> coalesce(c.minor, 0) limit 10""",
        Scope.WALLET,
    ),
    Invariant(
        "the counts of a wallet's blocks are those of its list",
        """
        select format('wallet %s, block %s: %s came in and %s failed, %s and %s counted', wallet_id, block, sum(credits),
                      sum(failed), sum(counted_credits), sum(counted_failed))
        from (
            select wallet_id, block, 0 as credits, 0 as failed, 0 as failed_credits, credits as counted_credits,
                   failed as counted_failed, failed_credits as counted_failed_credits from wallet_block
            union all
            select wallet_id, position >> 10, 1, 0, 0, 0, 0, 0 from wallet_transaction where credit
            union all
            select wallet_id, position >> 10, 0, 1, case when credit then 1 else 0 end, 0, 0, 0 from wallet_failed
        ) as counted
        group by wallet_id, block
        having sum(credits) <> sum(counted_credits) or sum(failed) <> sum(counted_failed)
            or sum(failed_credits) <> sum(counted_failed_credits) limit 10""",
        Scope.BLOCK,
    ),
)
