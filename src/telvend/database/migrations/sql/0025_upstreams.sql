-- Providers as the operator sees them. Each is named as in the settings: a table of providers there is none.

-- What the operator has said; one that is not here is on. A revision tells every process to read it again.
create table provider_switch (
    provider text primary key,
    state text not null check (state in ('on', 'drain', 'off')),
    reason text not null,
    by_whom text not null,
    changed_at timestamptz not null default now()
);

-- What a provider said last of our money there. `asked_at` also claims the question, so that one process asks for all.
create table provider_float (
    provider text primary key,
    asked_at timestamptz not null,
    minor bigint,
    currency text,
    read_at timestamptz,
    error text not null default '',
    not_allowed boolean not null default false,
    low boolean not null default false
);

-- What was paid into a float, as the operator has recorded it. The costs stand on the provider's account of the ledger.
create table provider_topup (
    id bigint generated always as identity primary key,
    provider text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    reference text not null,
    by_whom text not null,
    created_at timestamptz not null default now(),
    unique (provider, reference)
);
create trigger provider_topup_is_insert_only before update or delete or truncate on provider_topup
    for each statement execute function refuse_change();

-- The breakers of each process that delivers, written every few seconds.
create table provider_report (
    process text not null,
    provider text not null,
    in_flight integer not null,
    breakers text not null,
    reported_at timestamptz not null default now(),
    primary key (process, provider)
);

create view provider_attempt as
select o.id as order_id, o.mode, o.currency, a.provider, a.state, a.started_at, a.finished_at, a.cost_minor
from orders o join attempt a on a.order_id = o.id;
