-- The simulator's own book: what the pretended upstream delivered. A schema of its own, since a real upstream's books
-- stand in another company: nothing of the shop may refer to it or share a transaction with it.
create schema simulator;

-- One row for each reference (of an attempt) that was delivered, refused, accepted or asked about.
create table simulator.book (
    id bigint generated always as identity primary key,
    provider text collate "C" not null,
    reference text collate "C" not null,
    subscriber text collate "C" not null,
    country text not null,
    network text not null,
    product text not null,
    size text not null,
    cost_minor bigint not null,
    currency text not null,
    state text not null check (state in ('delivered', 'accepted', 'refused', 'closed')),
    becomes text check (becomes in ('delivered', 'refused')),
    settles_at timestamptz,
    reason text,
    requests integer not null,             -- deliveries that were taken; more than one: it was bought again
    late integer not null default 0,       -- deliveries that came after a question had closed the reference; not taken
    deliveries integer not null generated always as (case when state = 'delivered' then requests else 0 end) stored,
    first_at timestamptz not null,
    last_at timestamptz not null,
    -- The reference leads, so that an order's attempts are found by the beginning of theirs.
    unique (reference, provider),
    check ((becomes is null) = (settles_at is null)),
    check (becomes is null or state = 'accepted')
);
