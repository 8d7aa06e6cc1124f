-- What the console shows of reconciliations, long work that is started there, payments that resellers claim, prices on receipts.

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

-- Payments that resellers say they have made and that no wallet has. reference: what the gateway calls the payment, as its payer was
-- told; note: the reseller's. state: open; waiting (for a second person, as proposal_id); credited, by `funding` (our reference of the
-- funding that it was) or by a credit by hand under reference; refused, as `answer` tells the reseller. gateway_reference: the gateway's
-- own name of the payment. cause: the number of the funding or of the credit, once it is credited.
create table funding_claim (
    id bigint generated always as identity primary key,
    reseller_id uuid not null references reseller,
    gateway text not null,
    reference text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    note text not null,
    by_whom text not null,
    state text not null default 'open' check (state in ('open', 'waiting', 'credited', 'refused')),
    made_at timestamptz not null default now(),
    paid_minor bigint,
    gateway_reference text,
    funding text,
    cause bigint,
    proposal_id bigint,
    answer text not null default '',
    settled_by text,
    settled_at timestamptz,
    check ((settled_at is null) = (state in ('open', 'waiting'))),
    check ((settled_by is null) = (state = 'open')),
    check ((proposal_id is not null) or state <> 'waiting'),
    check ((state = 'credited') = (cause is not null)),
    check (state <> 'credited' or funding is not null or gateway_reference is not null and paid_minor is not null)
);
create index funding_claim_open on funding_claim (id) where state in ('open', 'waiting');
create index funding_claim_reseller on funding_claim (reseller_id, id);
create index funding_claim_cause on funding_claim (cause) where cause is not null;
create index funding_claim_reference on funding_claim (reference);
-- The same is claimed once by a reseller, unless it was refused; a payment at a gateway is credited to one claim.
create unique index funding_claim_once on funding_claim (reseller_id, gateway, reference) where state <> 'refused';
create unique index funding_claim_paid_once on funding_claim (gateway, gateway_reference) where state in ('waiting', 'credited');

-- What a reseller has charged a customer for an order, as it says itself, for the receipt; in the order's currency. Never a price of ours.
create table receipt_price (
    order_id bigint primary key,
    price_minor bigint not null check (price_minor > 0),
    written_at timestamptz not null default now()
);
