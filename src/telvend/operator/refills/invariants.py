"""What must hold between refills, vouchers, what subscribers have, and the ledger."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import TransferKind
from telvend.operator.refills.model import OWN_NETWORK, RefillKind
from telvend.operator.subscribers.balances.model import PostingKind
from telvend.wallets.model import TransactionKind

INVARIANTS: Final = (
    Invariant(
        "every refill that was paid for is held and posted once and in full, and no other",
        f"""
        select format('refill %s (%s, %s): %s %s held and %s posted, price %s', r.id, r.reference, r.kind,
                      coalesce(t.held, 0), r.currency, coalesce(t.posted, 0), r.amount_minor)
        from refill r left join (
            select t.cause, sum(t.amount_minor) filter (where t.kind = {TransferKind.HOLD}) as held,
                   max(t.wallet_id) filter (where t.kind = {TransferKind.HOLD}) as wallet_id,
                   sum(t.amount_minor) filter (where t.kind = {TransferKind.COST} and a.owner = '{OWN_NETWORK}') as posted,
                   count(*) as transfers
            from transfer t join account a on a.id = t.credit where t.cause in (select id from refill) group by t.cause
        ) t on t.cause = r.id
        where case when r.kind = '{RefillKind.VOUCHERLESS}'
                   then (t.held, t.posted, t.transfers, t.wallet_id)
                        is distinct from (r.amount_minor::numeric, r.amount_minor::numeric, 2::bigint, r.wallet_id)
                   else t.cause is not null end limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every refill that was paid for stands in its wallet's list",
        f"""
        select format('refill %s (%s) at position %s', r.id, r.reference, r.position)
        from refill r left join wallet_transaction t on t.wallet_id = r.wallet_id and t.position = r.position
        left join wallet_failed f on f.wallet_id = r.wallet_id and f.position = r.position
        where r.wallet_id is not null
          and (t.kind is distinct from '{TransactionKind.REFILL}'::"char" or t.id <> r.id or f.position is not null) limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every voucher that was used has one refill, and every refill by voucher its voucher",
        f"""
        select case when r.id is null then format('voucher %s is used, refill %s is not its own', v.serial, v.refill_id)
                    else format('refill %s (%s) by voucher %s, which is %s for refill %s', r.id, r.reference, r.serial,
                                coalesce(v.state, 'not there'), coalesce(v.refill_id::text, 'nobody')) end
        from (select * from voucher where state = 'used') v
        full join (select * from refill where kind = '{RefillKind.VOUCHER}') r on r.serial = v.serial
        left join voucher_batch b on b.id = v.batch_id
        where r.id is null or v.serial is null or v.refill_id <> r.id or v.subscriber_id <> r.subscriber_id
           or (b.amount_minor, b.currency, b.mode) is distinct from (r.amount_minor, r.currency, r.mode) limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every refill has given something to its subscriber, and to nobody else",
        f"""
        select coalesce(format('refill %s (%s) for subscriber %s gave to %s', r.id, r.reference, r.subscriber_id,
                               coalesce(p.owners::text, 'nobody')),
                        format('a posting says refill %s, which is not there', p.cause))
        from refill r full join (
            select p.cause, array_agg(distinct b.subscriber_id) as owners
            from bucket_posting p join bucket b on b.id = p.bucket_id
            where p.kind = '{PostingKind.REFILL}' group by p.cause
        ) p on p.cause = r.reference
        where p.owners is distinct from array[r.subscriber_id] limit 10""",
        Scope.GIVEN,
    ),
    Invariant(
        "what a refill has given came once to each bucket",
        f"""
        select format('bucket %s got refill %s %s times', p.bucket_id, p.cause, count(*))
        from bucket_posting p where p.kind = '{PostingKind.REFILL}'
        group by p.bucket_id, p.cause having count(*) > 1 limit 10""",
        Scope.GIVEN,
    ),
)
