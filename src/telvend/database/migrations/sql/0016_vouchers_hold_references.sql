-- A refill by voucher takes its partner's transactionId as one that is paid does, though none of its money: no other kind of sale
-- may be sold under it. The version before reads the new rows as sales that cost nothing and are final, which is what they are.
create or replace view sale as
select 'o'::"char" as kind, id, reseller_id, dialect, mode, client_reference, true as holds_reference, currency, price_minor,
    state not in ('delivered', 'failed') as open, state = 'delivered' as may_lose
from orders
union all
select 'v'::"char", id, reseller_id, dialect, mode, client_reference, state <> 'unavailable', currency, price_minor,
    state = 'asking', true
from verification
union all
select 'r'::"char", id, reseller_id, dialect, mode, transaction_id, true, currency,
    case when wallet_id is null then 0 else amount_minor end, false, false
from refill;
