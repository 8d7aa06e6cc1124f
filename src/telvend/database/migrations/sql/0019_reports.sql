-- Reports: what is read of other rooms, and the months that are closed.

-- A sale counts in the day in which it became final: the moment of its transfers, which for an order is that of its last change
-- too, since both are written by one transaction. Neither time has an index: even a summary of block ranges (BRIN) on both took a
-- tenth off the rate of purchases and a sixth off that of refills.

-- Orders that are final. `provider`: who was asked last. Ask for it only where it is needed: it costs a look-up.
create view report_order as
select o.id, o.wallet_id, o.kind as service, o.network, o.product, o.price_minor, o.state = 'delivered' as delivered,
    o.updated_at as ended_at,
    (select a.provider from attempt a where a.order_id = o.id order by a.number desc limit 1) as provider
from orders o where o.state in ('delivered', 'failed');

-- Sales that are no orders: identity checks, and refills from a wallet. They know no network of the catalogue. When they became
-- final is what their transfers say.
create view report_other_sale as
select v.id, v.wallet_id, v.kind as service, v.kind || ' ' || v.card_type as product, v.source as provider
from verification v
union all
select r.id, r.wallet_id, 'refill', 'refill ' || r.profile, 'own_network'
from refill r where r.wallet_id is not null;

-- What takes from the margin afterwards: orders refunded, and play money that was spent. id is the cause of the transfer.
create view report_correction as
select f.id, f.wallet_id, o.kind as service, o.network, o.product,
    (select a.provider from attempt a where a.order_id = o.id order by a.number desc limit 1) as provider
from order_refund f join orders o on o.id = f.order_id
union all
select x.id, x.wallet_id, 'play money', '', '', '' from funding_void x;

create view report_transfer as
select cause, kind, debit, credit, amount_minor, created_at from transfer;

-- Accounts; of a wallet also whose it is and what it holds now.
create view report_account as
select a.id, a.kind, a.owner, a.currency, a.mode, w.reseller_id, w.balance_minor
from account a left join wallet w on w.account_id = a.id;

-- Sales that are not final. Each branch is the condition of a partial index.
create view report_open_sale as
select id, reference, mode, created_at from orders where due_at is not null
union all
select id, reference, mode, created_at from orders where state = 'review'
union all
select id, reference, mode, created_at from verification where due_at is not null;

-- A month that is closed, with its figures by day. Never changed or removed. `zone`: whose days they are. `digest`: of this row
-- and all rows of its figures, by report_digest.
create table report_month (
    month date primary key check (extract(day from month) = 1),
    zone text not null,
    begins_at timestamptz not null,
    ends_at timestamptz not null check (ends_at > begins_at),
    transfers bigint not null,
    digest text not null,
    by_whom text not null,
    closed_at timestamptz not null default clock_timestamp()
);
create table report_sale (
    month date not null,
    day date not null,
    wallet_id bigint not null,
    service text not null,
    network text not null,
    product text not null,
    provider text not null,
    sold bigint not null,
    sold_minor bigint not null,
    failed bigint not null,
    released_minor bigint not null,
    cost_minor bigint not null,            -- with what the house paid beyond the price
    refunds bigint not null,
    refunded_minor bigint not null,
    written_off_minor bigint not null,
    primary key (month, day, wallet_id, service, network, product, provider)
);
-- What an account held when the month began, and how it changed, by the kind of the transfer.
create table report_balance (
    month date not null,
    account_id bigint not null,
    opening_minor bigint not null,
    primary key (month, account_id)
);
create table report_movement (
    month date not null,
    day date not null,
    account_id bigint not null,
    kind smallint not null,
    transfers bigint not null,
    change_minor bigint not null,
    primary key (month, day, account_id, kind)
);

create function report_digest(month date, zone text, begins_at timestamptz, ends_at timestamptz, transfers bigint)
returns text language sql stable as $$
    select encode(sha256(convert_to(coalesce(string_agg(line, E'\n' order by line collate "C"), ''), 'UTF8')), 'hex')
    from (
        select concat_ws('|', 'month', $1, $2, extract(epoch from $3), extract(epoch from $4), $5) as line
        union all
        select concat_ws('|', 'sale', day, wallet_id, service, network, product, provider, sold, sold_minor, failed,
            released_minor, cost_minor, refunds, refunded_minor, written_off_minor) from report_sale where month = $1
        union all
        select concat_ws('|', 'balance', account_id, opening_minor) from report_balance where month = $1
        union all
        select concat_ws('|', 'movement', day, account_id, kind, transfers, change_minor) from report_movement where month = $1
    ) as lines
$$;

create trigger report_month_is_insert_only before update or delete or truncate on report_month
    for each statement execute function refuse_change();
create trigger report_sale_is_insert_only before update or delete or truncate on report_sale
    for each statement execute function refuse_change();
create trigger report_balance_is_insert_only before update or delete or truncate on report_balance
    for each statement execute function refuse_change();
create trigger report_movement_is_insert_only before update or delete or truncate on report_movement
    for each statement execute function refuse_change();
