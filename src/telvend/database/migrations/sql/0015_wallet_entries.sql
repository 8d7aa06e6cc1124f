-- What a line of a wallet's list shows of a sale, a credit, a funding, a void, a debit or a refund, and which lines are open.
-- wallets/ reads these views and no table behind them. A new kind adds a branch with `create or replace view`; columns may be
-- added at the end, and none may change.

-- kind: as in wallet_transaction; id: unique among all kinds, so that a look-up by it costs one look-up in the primary key of each
-- table, and by kind and id in one table alone.
-- before_minor, after_minor: the spendable balance around it; null where it is what the first transfer on the wallet says.
-- service: what it was for. facts: what is particular to the kind, in the order in which an API shows it; amounts end in _minor.
-- created_at: null where it is the time of the line.
-- No branch joins: a join would be planned as a scan while its tables are small, and a look-up in one of them cannot be.
create view wallet_entry as
select 'o'::"char" as kind, id, wallet_id, position, reference, price_minor as amount_minor,
    case state when 'delivered' then 'completed' when 'failed' then 'failed' else 'pending' end as status,
    null::bigint as before_minor, null::bigint as after_minor, kind as service,
    json_build_object('subscriber', subscriber, 'network', network, 'size', size, 'product_id', product_id,
                      'face_minor', face_minor) as facts,
    created_at, updated_at
from orders
union all
select 'c'::"char", id, wallet_id, position, reference, amount_minor, 'completed', null, null, 'funding',
    json_build_object('payment_method', 'bank_transfer', 'bank_name', null, 'payment_reference', reference), null, null
from wallet_credit
union all
select 'f'::"char", id, wallet_id, position, reference, amount_minor,
    case state when 'pending' then 'pending' when 'completed' then 'completed' else 'failed' end,
    balance_before_minor, balance_after_minor, 'funding',
    json_build_object('payment_method', method, 'bank_name', nullif(bank, ''), 'payment_reference', gateway_reference),
    created_at, updated_at
from funding
union all
-- Nothing out of the safe: no number and no name.
select 'v'::"char", id, wallet_id, position, reference, price_minor,
    case state when 'asking' then 'pending' when 'verified' then 'completed' else 'failed' end,
    balance_before_minor, balance_after_minor, kind, json_build_object('card_type', card_type), created_at, updated_at
from verification
union all
-- A refill knows no network of the catalogue: it went to a subscriber of our own.
select 'r'::"char", id, wallet_id, position, reference, amount_minor, 'completed', null, null, 'airtime',
    json_build_object('subscriber', msisdn, 'network', '', 'face_minor', amount_minor), created_at, created_at
from refill where wallet_id is not null
union all
select 'x'::"char", id, wallet_id, position, reference, taken_minor, 'completed', balance_after_minor + taken_minor,
    balance_after_minor, 'funding',
    json_build_object('funding_reference', (select f.reference from funding f where f.id = funding_id)), created_at, created_at
from funding_void where position is not null
union all
-- The reason and the name are the operator's, and not shown to the owner.
select 'd'::"char", id, wallet_id, position, our_reference, amount_minor, 'completed', null, null, 'funding',
    json_build_object('payment_reference', reference), created_at, created_at
from wallet_debit
union all
select 'b'::"char", id, wallet_id, position, our_reference, amount_minor, 'completed', null, null, 'refund',
    json_build_object('order_reference', (select o.reference from orders o where o.id = order_id)), created_at, created_at
from order_refund;

-- The lines whose money is held, or has not come yet. Each branch is the condition of a partial index.
create view wallet_open as
select wallet_id, position from orders where due_at is not null
union all
select wallet_id, position from orders where state = 'review'
union all
select wallet_id, position from funding where state = 'pending'
union all
select wallet_id, position from verification where due_at is not null;
