-- What the console shows of reconciliations, and the long work that is started there.

-- A line of a reconciliation: what our books have of it, and what the provider says. number counts from 1, what may be lost first. Texts
-- are empty, and amounts null, where a side has none. amount: the face value; cost: of our ledger; charged: what the provider took.
create table reconciliation_line (
    reconciliation_id bigint not null references reconciliation,
    number integer not null,
    side text not null check (side in ('only_here', 'only_there', 'different')),
    aspects text[] not null,
    at timestamptz,
    reference text not null,
    provider_reference text not null,
    order_reference text not null,
    reseller_id uuid,
    here text not null,
    there text not null,
    there_says text not null,
    times integer not null,
    subscriber text not null,
    there_subscriber text not null,
    product text not null,
    amount_minor bigint,
    amount_currency text,
    cost_minor bigint,
    cost_currency text,
    charged_minor bigint,
    charged_currency text,
    next_step text not null,
    primary key (reconciliation_id, number)
);
create trigger reconciliation_line_is_insert_only before update or delete or truncate on reconciliation_line
    for each statement execute function refuse_change();

-- What a person has started in the console and nobody waits for: the figures of a month, closing it, an audit of the books.

-- The row is the job. due_at: when a worker takes it up; the one that has it in hand moves it ahead (its lease); null once it has ended.
-- claims: how often it was taken up, by which a worker knows that it still holds it. subject: the month. done, total and step: how far
-- it is. result: JSON, whose shape its kind decides. error: why it failed.
create table console_job (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('figures', 'close', 'audit')),
    subject text not null,
    reason text not null,
    by_whom text not null,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
    claims integer not null default 0,
    done integer not null default 0,
    total integer not null default 0,
    step text not null default '',
    result text,
    error text not null default '',
    due_at timestamptz default now(),
    asked_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    started_at timestamptz,
    ended_at timestamptz,
    check ((due_at is null) = (state in ('done', 'failed'))),
    check ((ended_at is null) = (due_at is not null))
);
create unique index console_job_one_at_once on console_job (kind) where due_at is not null;
create index console_job_kind on console_job (kind, subject, id);
