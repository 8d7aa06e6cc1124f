-- Lists of purchases that were uploaded on a page, checked, and are bought in the background.

-- The row is the job. due_at: when a worker takes it up; one that has it in hand moves it ahead (its lease); null when nothing is to
-- be done. claims: how often it was taken up, by which a worker knows that it still holds it. code: random; the references of the
-- lines are made of it. state: checked (nothing bought), buying, stopped (by its owner or because it cannot go on), done.
create table bulk_list (
    id bigint generated always as identity primary key,
    code text not null unique,
    reseller_id uuid not null references reseller,
    mode text not null check (mode in ('live', 'test')),
    name text not null,
    by_whom text not null,
    state text not null default 'checked' check (state in ('checked', 'buying', 'stopped', 'done')),
    reason text not null default '',
    lines integer not null,
    claims bigint not null default 0,
    due_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    started_at timestamptz,
    ended_at timestamptz,
    check ((due_at is not null) = (state = 'buying'))
);
create index bulk_list_due on bulk_list (due_at) where due_at is not null;
create index bulk_list_reseller on bulk_list (reseller_id, mode, id);

-- One line of a list, as it was checked: at this price, for this recipient. state: waiting, bought (order_id is its order), refused
-- (error says why; nothing was taken).
create table bulk_line (
    list_id bigint not null references bulk_list on delete cascade,
    line integer not null,
    product text not null,
    amount text not null,
    recipient text not null,
    note text not null,
    reference text not null,
    wallet_id bigint not null,
    price_minor bigint not null,
    currency text not null,
    state text not null default 'waiting' check (state in ('waiting', 'bought', 'refused')),
    order_id bigint,
    error text not null default '',
    primary key (list_id, line),
    check ((order_id is not null) = (state = 'bought'))
) with (fillfactor = 80);
create index bulk_line_waiting on bulk_line (list_id, line) where state = 'waiting';
