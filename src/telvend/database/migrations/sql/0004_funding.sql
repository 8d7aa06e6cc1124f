-- Money that comes in through a gateway: fundings, what gateways said by themselves, and the sandbox's own book.

-- The row is the job as well: due_at is when the gateway has to be asked next; a worker that is asking moves it ahead (its
-- lease); null when nothing is left to ask. balance_before and _after are the wallet's spendable balance around the credit;
-- while there is none, what it was when the funding began. notices counts what the gateway sent, so that one that comes
-- while it is being asked is not forgotten. attention: something does not fit, and a person has to look.
create table funding (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfer too
    reference text not null,
    reseller_id uuid not null,
    wallet_id bigint not null,
    mode text not null check (mode in ('live', 'test')),
    gateway text not null,
    method text not null check (method in ('card', 'bank_transfer', 'ussd')),
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    redirect_url text,
    state text not null check (state in ('pending', 'completed', 'failed', 'expired')),
    attention boolean not null default false,
    payment_url text,
    gateway_reference text,
    channel text not null default '',
    bank text not null default '',
    position bigint not null,
    balance_before_minor bigint not null,
    balance_after_minor bigint not null,
    asked integer not null default 0,
    asked_at timestamptz,
    notices integer not null default 0,
    due_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    completed_at timestamptz,
    check ((state = 'completed') = (completed_at is not null)),
    check (balance_after_minor = balance_before_minor + case when state = 'completed' then amount_minor else 0 end)
) with (fillfactor = 80);

create index funding_due on funding (due_at) where due_at is not null;
create index funding_pending on funding (wallet_id, position) where state = 'pending';
create index funding_attention on funding (id) where attention;
-- One payment at a gateway fills one wallet once, whatever the gateway says afterwards.
create unique index funding_paid_once on funding (gateway, gateway_reference) where state = 'completed';

-- What does not fit about a funding, and what people decided. The same is said once.
create table funding_note (
    id bigint generated always as identity primary key,
    funding_id bigint not null references funding,
    text text not null,
    created_at timestamptz not null default now(),
    unique (funding_id, text)
);

-- What a gateway sent, signed. kept: the fields that may be kept, as JSON; no names, addresses or tokens of payers.
-- digest: of the whole body, so that a copy is seen to be one.
create table gateway_notice (
    id bigint generated always as identity primary key,
    gateway text not null,
    digest bytea not null,
    event text not null,
    funding_id bigint,                     -- null: about nothing of ours
    concern text,                          -- a sentence for the shop-keeper
    kept text not null,
    times integer not null default 1,
    received_at timestamptz not null default now(),
    last_at timestamptz not null default now(),
    unique (gateway, digest)
);
create index gateway_notice_funding on gateway_notice (funding_id);

-- The sandbox's own book. A schema of its own, since a real gateway's books stand in another company: nothing of the shop may
-- refer to it or share a transaction with it.
create schema if not exists sandbox;

-- The key that signs the sandbox's notices: 244 random bits of this installation.
create table sandbox.signing_key (
    only_one boolean primary key default true check (only_one),
    secret bytea not null default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);
insert into sandbox.signing_key default values;

create table sandbox.payment (
    id bigint generated always as identity primary key,
    token text not null unique,
    reference text not null unique,
    owner text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    test boolean not null,
    method text not null check (method in ('card', 'bank_transfer', 'ussd')),
    state text not null default 'open' check (state in ('open', 'paid', 'declined', 'abandoned')),
    return_url text not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    decided_at timestamptz,
    check ((state = 'open') = (decided_at is null))
);
