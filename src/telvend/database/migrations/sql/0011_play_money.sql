-- What pretending gateways put into live wallets, and how it is taken out.

-- Whether the gateway pretended when it said that the funding was paid. Null: not paid, or paid before this was written down; of
-- those, the sandbox pretended and nobody else did.
alter table funding add column pretended boolean;

-- Nearly empty in a shop that sells real things.
create index funding_play on funding (wallet_id, id)
    where mode = 'live' and state = 'completed' and coalesce(pretended, gateway = 'sandbox');

-- What was taken out of a live wallet of a funding that pretended, and what of it had been spent. Several may be about one
-- funding: what is held by sales that are not final is left for the next one. Never changed or removed.
create table funding_void (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfers too
    reference text not null,
    funding_id bigint not null references funding,
    wallet_id bigint not null,
    taken_minor bigint not null check (taken_minor >= 0),
    spent_minor bigint not null check (spent_minor >= 0),
    position bigint,                       -- among the wallet's transactions; null where nothing was taken
    balance_after_minor bigint not null,
    reason text not null,
    by_whom text not null,
    created_at timestamptz not null default clock_timestamp(),
    check (taken_minor + spent_minor > 0),
    check ((position is null) = (taken_minor = 0))
);
create index funding_void_funding on funding_void (funding_id);
create trigger funding_void_is_insert_only before update or delete or truncate on funding_void
    for each statement execute function refuse_change();

-- Play money in live wallets: what a funding that pretended has brought, without what was voided of it.
create view play_money as
select f.id, f.reference, f.reseller_id, f.wallet_id, f.gateway, f.currency, f.amount_minor - v.minor as outstanding_minor
from funding f cross join lateral (
    select coalesce(sum(taken_minor + spent_minor), 0)::bigint as minor from funding_void where funding_id = f.id
) as v
where f.mode = 'live' and f.state = 'completed' and coalesce(f.pretended, f.gateway = 'sandbox') and f.amount_minor > v.minor;

-- A void that took something is a transaction of the wallet.
alter table wallet_transaction drop constraint wallet_transaction_kind_check;
alter table wallet_transaction add constraint wallet_transaction_kind_check
    check (kind in ('o', 'c', 'f', 'v', 'r', 'x')) not valid;

insert into revision values ('play money', 1);
