-- Identity checks: what they cost, the sales, and the safe. No number, name or picture stands here in the clear.

-- What is asked for a check. id counts from 1 within the kind, as the networkdatasub document prints it.
create table identity_price (
    kind text not null check (kind in ('nin', 'bvn')),
    id integer not null,
    card_type text not null,
    currency text not null,
    price_minor bigint not null check (price_minor > 0),
    active boolean not null default true,
    description text not null,
    primary key (kind, id),
    unique (kind, card_type)
);
insert into identity_price (kind, id, card_type, currency, price_minor, description) values
    ('nin', 1, 'standard', 'NGN', 10000, 'Standard verification'),
    ('nin', 2, 'regular', 'NGN', 15000, 'Regular verification'),
    ('nin', 3, 'premium', 'NGN', 20000, 'Premium verification with enhanced features'),
    ('bvn', 1, 'standard', 'NGN', 30000, 'Standard BVN verification'),
    ('bvn', 2, 'premium', 'NGN', 50000, 'Premium BVN verification with enhanced data');

-- What an authority takes: for a record, and for the answer that there is none. No row: nothing.
create table identity_cost (
    source text not null,
    kind text not null check (kind in ('nin', 'bvn')),
    currency text not null,
    found_minor bigint not null check (found_minor >= 0),
    without_minor bigint not null check (without_minor >= 0),
    primary key (source, kind)
);

-- Which master key wraps what is written now. The keys themselves are not in the database.
create table identity_master (
    id text primary key,
    current boolean not null default true,
    created_at timestamptz not null default clock_timestamp(),
    retired_at timestamptz
);
create unique index identity_master_current on identity_master (current) where current;

-- The sales. The row is the idempotency record and the job: due_at is when a check whose process has died is given up.
-- number_hash: a keyed hash, empty after a purge. cost_minor: what the ledger says that the authority took.
create table verification (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfers too
    reference text not null,
    reseller_id uuid not null,
    key_id uuid not null,
    dialect text not null,
    mode text not null check (mode in ('live', 'test')),
    client_reference text,
    wallet_id bigint not null,
    position bigint not null,
    kind text not null check (kind in ('nin', 'bvn')),
    card_type text not null,
    provider text,
    force_new boolean not null,
    use_real_api boolean not null,
    source text not null,
    reused_id bigint,
    number_hash bytea,
    currency text not null,
    price_minor bigint not null check (price_minor > 0),
    cost_minor bigint not null default 0 check (cost_minor >= 0),
    state text not null check (state in ('asking', 'verified', 'not_on_record', 'blocked', 'unavailable')),
    text text not null default '',
    balance_before_minor bigint not null,
    balance_after_minor bigint not null,
    due_at timestamptz,
    expires_at timestamptz,
    purged_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    check ((due_at is not null) = (state = 'asking')),
    check ((expires_at is not null) = (state = 'verified')),
    check ((number_hash is null) = (purged_at is not null)),
    check (balance_after_minor = balance_before_minor - case when state in ('asking', 'verified') then price_minor else 0 end)
) with (fillfactor = 80);

-- Without an answer nothing was sold, and the reference may be used again.
create unique index verification_client_reference on verification (reseller_id, dialect, mode, client_reference)
    where client_reference is not null and state <> 'unavailable';
create index verification_due on verification (due_at) where due_at is not null;
create index verification_open on verification (wallet_id, position) where due_at is not null;
create index verification_history on verification (reseller_id, mode, kind, id);
create index verification_on_file on verification (number_hash, reseller_id, mode, kind, source, id)
    where state = 'verified' and purged_at is null;
create index verification_key on verification (key_id, created_at);

-- The safe: a check's own key, wrapped by the master key that `master` names, and what it seals. A purge removes the row.
create table identity_sealed (
    id bigint primary key references verification,
    master text not null references identity_master,
    wrapped_key bytea not null,
    number bytea not null,
    record bytea
);
create index identity_sealed_master on identity_sealed (master, id);

-- Who took what out of the safe.
create table identity_access (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    reader_kind text not null check (reader_kind in ('key', 'command line')),
    reader text not null,
    action text not null,
    verification_ids bigint[] not null
);
create index identity_access_verification on identity_access using gin (verification_ids);

-- Keys that sweep numbers. `strikes` counts the delays since it began this time, `delays` all of them.
create table identity_sweep (
    key_id uuid primary key,
    reseller_id uuid not null,
    first_at timestamptz not null default clock_timestamp(),
    last_at timestamptz not null default clock_timestamp(),
    not_before timestamptz not null,
    strikes integer not null,
    delays integer not null,
    unknown integer not null,
    numbers integer not null
);
