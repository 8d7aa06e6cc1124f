-- What lets pages answer at once in a large shop: figures of days that are counted once, and indexes that few rows are in.

-- When transfers were made. A summary of block ranges: of a few bytes for a thousand sales, and written once for each range.
create index transfer_created on transfer using brin (created_at) with (pages_per_range = 64, autosummarize = on);

-- Lists of failed orders. Failures are few.
create index orders_failed on orders (id) where state = 'failed';

-- Lines of a wallet's list other than purchases and refills, newest first: credits among them, which had an index of their own.
create index wallet_transaction_rare on wallet_transaction (wallet_id, position) where kind not in ('o', 'r');
drop index wallet_transaction_credit;

-- What a list of bought lines has come to, once every line has ended; null before.
alter table bulk_list add column delivered integer, add column failed integer;

-- What resellers are searched by.
alter table reseller add column searched text not null generated always as (lower(email) || ' ' || lower(name)) stored;

-- One row. `counted_until`: every transfer of before is in the figures of its day; null before the first time. `zone`: whose days
-- they are. `step_s`: how much time the next step takes.
create table report_progress (
    one boolean primary key default true check (one),
    counted_until timestamptz,
    zone text not null default '',
    step_s double precision not null default 3600
);
insert into report_progress default values;

-- The figures of days that are in no closed month, without and by reseller: those of report_sale, added up.
create table report_day_sale (
    day date not null,
    currency text not null,
    mode text not null,
    service text not null,
    network text not null,
    product text not null,
    provider text not null,
    sold bigint not null,
    sold_minor bigint not null,
    failed bigint not null,
    released_minor bigint not null,
    cost_minor bigint not null,
    refunds bigint not null,
    refunded_minor bigint not null,
    written_off_minor bigint not null,
    primary key (day, currency, mode, service, network, product, provider)
);

-- How accounts changed, by the kind of the transfer: each account of the house by its owner, all wallets of a currency and mode
-- together.
create table report_day_movement (
    day date not null,
    account_kind text not null,
    owner text not null,
    currency text not null,
    mode text not null,
    kind smallint not null,
    transfers bigint not null,
    change_minor bigint not null,
    primary key (day, account_kind, owner, currency, mode, kind)
);
