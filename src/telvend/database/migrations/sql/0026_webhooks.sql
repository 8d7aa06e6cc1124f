-- Webhooks: where resellers are told of changes, what they are told, and every attempt to tell them.

-- An endpoint of a reseller. events: the types that it is sent; null for all. secret and previous_secret are sealed.
-- failing_since: of the first attempt that failed since one succeeded. A removed endpoint keeps its deliveries for their time.
create table webhook_endpoint (
    id bigint generated always as identity primary key,
    reseller_id uuid not null references reseller,
    url text not null,
    events text[],
    state text not null default 'active' check (state in ('active', 'paused', 'gone', 'removed')),
    key_id text not null,
    secret bytea not null,
    previous_secret bytea,
    previous_until timestamptz,
    failing_since timestamptz,
    failure text not null default '',
    changed_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    check ((previous_secret is null) = (previous_until is null))
);
create index webhook_endpoint_of on webhook_endpoint (reseller_id);

-- One message: message is its webhook-id, body what is signed and sent. Written by the transaction that it tells of, for resellers
-- with an endpoint alone. Without foreign keys, here and below: they would cost a look for every row of a sale's transaction.
create table webhook_event (
    id bigint generated always as identity primary key,
    message text not null,
    reseller_id uuid not null,
    type text not null,
    body text not null,
    created_at timestamptz not null default now()
);

-- A message for one endpoint. due_at is null once nothing is sent any more. tries counts attempts of the schedule, which a replay
-- begins anew; attempts counts all.
create table webhook_delivery (
    endpoint_id bigint not null,
    event_id bigint not null,
    state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
    due_at timestamptz,
    tries smallint not null default 0,
    attempts integer not null default 0,
    primary key (endpoint_id, event_id)
);
create index webhook_delivery_due on webhook_delivery (endpoint_id, due_at) where due_at is not null;

-- One attempt. status: of the answer, null where none came. answer: its first kilobyte.
create table webhook_attempt (
    endpoint_id bigint not null,
    event_id bigint not null,
    number integer not null,
    started_at timestamptz not null,
    duration_ms integer not null,
    status smallint,
    error text not null,
    answer text not null,
    primary key (endpoint_id, event_id, number)
);

-- Which process sends to an endpoint, one at a time. Another takes over when the lease has run out.
create table webhook_lease (
    endpoint_id bigint primary key,
    holder uuid not null,
    until timestamptz not null
);

-- The key that secrets of endpoints are sealed with.
create table webhook_key (
    only_one boolean primary key default true check (only_one),
    id text not null,
    created_at timestamptz not null default now()
);

-- Below which balance a wallet's owner is told. told_funded_minor: what the wallet had been funded with when that was last done.
create table webhook_threshold (
    wallet_id bigint primary key,
    threshold_minor bigint not null check (threshold_minor > 0),
    told_at timestamptz,
    told_funded_minor bigint
);

-- What webhooks may know of wallets.
create view webhook_wallet as
select w.account_id as wallet_id, w.reseller_id, w.currency, w.mode, w.balance_minor, w.funded_minor from wallet w;

insert into revision values ('webhooks', 1);
