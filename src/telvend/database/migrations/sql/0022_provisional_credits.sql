-- Provisional credits: the price of an order, lent to its wallet while nobody knows the outcome. And what providers say of an
-- attempt after a person has decided it.

alter table account drop constraint account_kind_check;
alter table account add constraint account_kind_check
    check (kind in ('wallet', 'in_flight', 'provider', 'margin', 'loss', 'funding', 'provisional_credit', 'write_off')) not valid;

-- 'p': a provisional credit, which brings money in; 'q': its reversal.
alter table wallet_transaction drop constraint wallet_transaction_kind_check;
alter table wallet_transaction add constraint wallet_transaction_kind_check
    check (kind in ('o', 'c', 'f', 'v', 'r', 'x', 'd', 'b', 'p', 'q')) not valid;

-- How the provisional credit of an order stands; null: it has none. An order with an open one cannot end: a program that does not
-- know of it would release the hold and pay the wallet twice.
alter table orders add column provisional text;
alter table orders add constraint orders_provisional_check
    check (provisional is null or provisional in ('reversed', 'written_off')
           or provisional = 'open' and state not in ('delivered', 'failed')) not valid;

-- Once for each order. Never changed or removed. our_reference: what the owner of the wallet sees.
create table provisional_credit (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfers too
    our_reference text not null,
    order_id bigint not null unique references orders,
    wallet_id bigint not null references wallet,
    amount_minor bigint not null check (amount_minor > 0),
    position bigint not null,              -- among the wallet's transactions
    reason text not null,
    by_whom text not null,
    created_at timestamptz not null default clock_timestamp()
);
create trigger provisional_credit_is_insert_only before update or delete or truncate on provisional_credit
    for each statement execute function refuse_change();
create trigger provisional_credit_removal after delete or update on provisional_credit
    for each row execute function note_removal('id');
create trigger provisional_credit_emptied after truncate on provisional_credit
    for each statement execute function note_removal();
alter table provisional_credit enable always trigger provisional_credit_removal,
    enable always trigger provisional_credit_emptied;

-- A provisional credit that was taken back, because its order has failed and the wallet has its price from the hold.
create table provisional_reversal (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfer too
    our_reference text not null,
    credit_id bigint not null unique references provisional_credit,
    order_id bigint not null,
    wallet_id bigint not null,
    amount_minor bigint not null check (amount_minor > 0),
    position bigint not null,              -- among the wallet's transactions
    created_at timestamptz not null default clock_timestamp()
);
create trigger provisional_reversal_is_insert_only before update or delete or truncate on provisional_reversal
    for each statement execute function refuse_change();
create trigger provisional_reversal_removal after delete or update on provisional_reversal
    for each row execute function note_removal('id');
create trigger provisional_reversal_emptied after truncate on provisional_reversal
    for each statement execute function note_removal();
alter table provisional_reversal enable always trigger provisional_reversal_removal,
    enable always trigger provisional_reversal_emptied;

-- Whether a person has said how this attempt ended, and no provider.
alter table attempt add column by_hand boolean not null default false;

-- What a provider said of an attempt that a person had decided otherwise; the first time only. Never changed or removed.
-- amount_minor: what it takes for it (delivered), or gives back (not delivered).
create table late_report (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfer too
    order_id bigint not null references orders,
    attempt smallint not null,
    provider text not null,
    delivered boolean not null,
    amount_minor bigint not null check (amount_minor >= 0),
    text text not null,
    created_at timestamptz not null default clock_timestamp(),
    unique (order_id, attempt)
);
create trigger late_report_is_insert_only before update or delete or truncate on late_report
    for each statement execute function refuse_change();
create trigger late_report_removal after delete or update on late_report
    for each row execute function note_removal('id');
create trigger late_report_emptied after truncate on late_report
    for each statement execute function note_removal();
alter table late_report enable always trigger late_report_removal, enable always trigger late_report_emptied;

-- What 0015 says of this view holds; two branches more.
create or replace view wallet_entry as
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
from order_refund
union all
-- The reason and the name are the operator's, as those of a refund.
select 'p'::"char", id, wallet_id, position, our_reference, amount_minor, 'completed', null, null, 'provisional_credit',
    json_build_object('order_reference', (select o.reference from orders o where o.id = order_id)), created_at, created_at
from provisional_credit
union all
select 'q'::"char", id, wallet_id, position, our_reference, amount_minor, 'completed', null, null, 'provisional_credit',
    json_build_object('order_reference', (select o.reference from orders o where o.id = order_id)), created_at, created_at
from provisional_reversal;

-- What 0019 says of this view holds: also what was written off of provisional credits, and what providers said late.
create or replace view report_correction as
select f.id, f.wallet_id, o.kind as service, o.network, o.product,
    (select a.provider from attempt a where a.order_id = o.id order by a.number desc limit 1) as provider
from order_refund f join orders o on o.id = f.order_id
union all
select x.id, x.wallet_id, 'play money', '', '', '' from funding_void x
union all
select c.id, c.wallet_id, o.kind, o.network, o.product,
    (select a.provider from attempt a where a.order_id = o.id order by a.number desc limit 1)
from provisional_credit c join orders o on o.id = c.order_id
union all
select l.id, o.wallet_id, o.kind, o.network, o.product, l.provider
from late_report l join orders o on o.id = l.order_id;
