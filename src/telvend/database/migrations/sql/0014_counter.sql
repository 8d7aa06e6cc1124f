-- What a counter needs: credits taken back, delivered orders refunded, resellers suspended, and orders found by who and when.

-- `order list` by day: orders are written in the order of their time, so that a summary of each block range is enough, and costs
-- a sale nothing. By subscriber or reseller the table is read: a quarter of a second for a million orders. An index for each
-- would be paid by every sale.
create index orders_created on orders using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- Money that was credited by mistake, and taken out of the wallet again. Never changed or removed.
-- our_reference: what the owner of the wallet sees; reference: the operator's, in a name space of debits.
create table wallet_debit (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfer too
    our_reference text not null,
    wallet_id bigint not null references wallet,
    reference text not null,
    amount_minor bigint not null check (amount_minor > 0),
    position bigint not null,              -- among the wallet's transactions
    reason text not null,
    by_whom text not null,
    created_at timestamptz not null default clock_timestamp(),
    unique (wallet_id, reference)
);
create trigger wallet_debit_is_insert_only before update or delete or truncate on wallet_debit
    for each statement execute function refuse_change();

-- The price of a delivered order, given back at the cost of the house. Once for each order. Never changed or removed.
create table order_refund (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfer too
    our_reference text not null,
    order_id bigint not null unique references orders,
    wallet_id bigint not null references wallet,
    amount_minor bigint not null check (amount_minor > 0),
    position bigint not null,              -- among the wallet's transactions
    reason text not null,
    by_whom text not null,
    created_at timestamptz not null default clock_timestamp()
);
create trigger order_refund_is_insert_only before update or delete or truncate on order_refund
    for each statement execute function refuse_change();

-- While this is set none of the reseller's keys works.
alter table reseller add column suspended_at timestamptz;
alter table reseller add column suspended_reason text not null default '';

-- 'd': a debit; 'b': a refund, which brings money back.
alter table wallet_transaction drop constraint wallet_transaction_kind_check;
alter table wallet_transaction add constraint wallet_transaction_kind_check
    check (kind in ('o', 'c', 'f', 'v', 'r', 'x', 'd', 'b')) not valid;
