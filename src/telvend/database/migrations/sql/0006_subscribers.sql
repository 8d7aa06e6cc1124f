-- The operator's side: subscribers and what they have, what a product or a refill turns into, vouchers, refills, premiums.
--
-- Amounts of buckets are whole numbers: minor units of the subscriber's currency, bytes, seconds, messages.

-- Subscribers ----------------------------------------------------------------------------------------------------------

-- One row for each mode: play money must not make anything that is worth something.
-- Until usable_until the subscriber can spend, until reachable_until be refilled; refills move both ahead.
create table subscriber (
    id bigint generated always as identity primary key,
    mode text not null check (mode in ('live', 'test')),
    msisdn text not null,                  -- E.164: +2348031234567
    country text not null,
    currency text not null,
    billing text not null default 'Prepaid' check (billing in ('Prepaid', 'Postpaid', 'Hybrid')),
    status text not null default 'Active' check (status in ('Active', 'Suspended', 'Inactive', 'RICA Barred', 'Blacklisted')),
    tariff_plan text not null,
    language text not null default '1',
    usable_until timestamptz not null,
    reachable_until timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (msisdn, mode)
) with (fillfactor = 80);

-- A subscriber's other lines (a fixed line, a router at home), each with buckets of its own.
create table subscriber_line (
    mode text not null check (mode in ('live', 'test')),
    line text not null,
    subscriber_id bigint not null references subscriber,
    created_at timestamptz not null default now(),
    primary key (line, mode)
);
create index subscriber_line_owner on subscriber_line (subscriber_id);

-- Numbers of buckets: taken ahead, so that a bucket and its postings are written with one statement each.
create sequence bucket_number;

-- What a subscriber has of one kind from one source. starts_at null: unused, begins with its first use. expires_at null: never.
-- postings: how many there are; the number of the last one. open: still has something, or is the main account. A closed one
-- is neither shown nor used again.
create table bucket (
    id bigint primary key,
    subscriber_id bigint not null,
    line text not null default '',         -- empty: the subscriber's own
    kind text not null check (kind in ('money', 'data', 'minutes', 'sms', 'momo')),
    main boolean not null default false,   -- the main account: money, one for each subscriber
    name text not null,
    product text not null default '',      -- the product that it came from
    priority smallint not null default 100,
    balance bigint not null check (balance >= 0),
    reserved bigint not null default 0 check (reserved between 0 and balance),
    postings integer not null,
    validity_days integer check (validity_days > 0),
    starts_at timestamptz,
    expires_at timestamptz,
    open boolean not null default true,
    created_at timestamptz not null default now()
) with (fillfactor = 80);
create index bucket_open on bucket (subscriber_id) where open;
create unique index bucket_main on bucket (subscriber_id) where main;
create unique index bucket_momo on bucket (subscriber_id) where kind = 'momo';
create index bucket_expiring on bucket (expires_at) where open and expires_at is not null;

-- Every change of a bucket; its balance is the sum of them. cause: the reference of the delivery, the refill, the consumption.
create table bucket_posting (
    bucket_id bigint not null,
    number integer not null,               -- gap-free from 1 within the bucket
    kind text not null check (kind in ('grant', 'refill', 'consume', 'capture', 'expire', 'adjust')),
    change bigint not null check (change <> 0),
    balance_after bigint not null check (balance_after >= 0),
    cause text not null,
    created_at timestamptz not null default now(),
    primary key (bucket_id, number)
);
create trigger bucket_posting_is_insert_only before update or delete or truncate on bucket_posting
    for each statement execute function refuse_change();

-- What was consumed under which reference, so that a report that comes twice counts once.
create table consumption (
    subscriber_id bigint not null,
    reference text not null,
    kind text not null,
    amount bigint not null check (amount > 0),
    created_at timestamptz not null default now(),
    primary key (subscriber_id, reference)
);

-- Something kept for a session that is under way, out of one bucket or several; at due_at it goes back by itself.
create table reservation (
    id bigint generated always as identity primary key,
    subscriber_id bigint not null,
    reference text not null,
    kind text not null,
    amount bigint not null check (amount > 0),
    captured bigint not null default 0 check (captured between 0 and amount),
    state text not null check (state in ('held', 'captured', 'released', 'expired')),
    due_at timestamptz,
    created_at timestamptz not null default now(),
    unique (subscriber_id, reference),
    check ((due_at is not null) = (state = 'held'))
);
create index reservation_due on reservation (due_at) where due_at is not null;
create index reservation_held on reservation (subscriber_id) where due_at is not null;
create table reservation_part (
    reservation_id bigint not null references reservation,
    place smallint not null,               -- the order in which it is captured
    bucket_id bigint not null,
    amount bigint not null check (amount > 0),
    primary key (reservation_id, place)
);

-- Mobile money of those who have it; the balance is that of a bucket of kind momo. What partners send as x-authorization is
-- kept as a digest. positive: on its way in; negative: held for an outgoing payment, beside what is reserved of the bucket.
create table momo_account (
    subscriber_id bigint primary key references subscriber,
    positive_minor bigint not null default 0 check (positive_minor >= 0),
    negative_minor bigint not null default 0 check (negative_minor >= 0),
    loyalty_generated_minor bigint not null default 0 check (loyalty_generated_minor >= 0),
    loyalty_consumed_minor bigint not null default 0 check (loyalty_consumed_minor >= 0),
    loyalty_balance_minor bigint not null default 0 check (loyalty_balance_minor >= 0),
    overdraft_balance_minor bigint not null default 0 check (overdraft_balance_minor >= 0),
    overdraft_limit_minor bigint not null default 0 check (overdraft_limit_minor >= 0),
    overdraft_fee_minor bigint not null default 0 check (overdraft_fee_minor >= 0),
    overdraft_interest_minor bigint not null default 0 check (overdraft_interest_minor >= 0),
    blocked boolean not null default false,
    authorization_digest bytea not null,
    created_at timestamptz not null default now()
);

-- What the network did with a delivery of the shop, or with what an operator gave: the book that own_network is asked about.
-- closed: asked about before it came; it is never taken. parts: how many postings it made. fingerprint: what was to be
-- given, where a reference may come from people who use one twice.
create table network_delivery (
    reference text collate "C" primary key,
    state text not null check (state in ('delivered', 'refused', 'closed')),
    subscriber_id bigint,
    parts smallint not null default 0 check (parts >= 0),
    fingerprint text not null default '',
    reason text,
    created_at timestamptz not null default now()
);

-- Offering: what a product or a refill turns into ------------------------------------------------------------------------

-- A bundle that is defined here credits its parts; any other product of the catalogue credits what its size says.
create table network_bundle (
    code text primary key check (code ~ '^[A-Za-z0-9_.-]{1,64}$'),
    name text not null,
    validity_days integer check (validity_days > 0),
    first_use boolean not null default false,  -- begins with its first use instead of at once
    priority smallint not null default 100
);
create table network_bundle_part (
    code text not null references network_bundle on delete cascade,
    kind text not null check (kind in ('money', 'data', 'minutes', 'sms')),
    amount bigint not null check (amount > 0),
    primary key (code, kind)
);

-- What an amount of money turns into. main_basis_points: the share that goes to the main account.
create table refill_profile (
    id text primary key check (id ~ '^[A-Za-z0-9]{1,4}$'),
    description text not null,
    main_basis_points integer not null default 10000 check (main_basis_points between 0 and 10000),
    usable_days integer not null check (usable_days between 0 and 3650),
    reachable_days integer not null check (reachable_days between usable_days and 3650),
    active boolean not null default true
);
-- On top, from an amount of from_minor: a fixed amount, and so much for every whole unit of the currency.
create table refill_bonus (
    profile text not null references refill_profile on delete cascade,
    kind text not null check (kind in ('money', 'data', 'minutes', 'sms')),
    from_minor bigint not null default 0 check (from_minor >= 0),
    flat bigint not null default 0 check (flat >= 0),
    per_unit bigint not null default 0 check (per_unit >= 0),
    validity_days integer not null check (validity_days > 0),
    primary key (profile, kind, from_minor),
    check (flat + per_unit > 0)
);
insert into refill_profile (id, description, main_basis_points, usable_days, reachable_days) values
    ('DB00', 'The whole amount to the main account', 10000, 90, 180);

-- Faults of the sandbox: a part of a subscriber's plans that cannot be read.
create table network_fault (
    msisdn text not null,
    part text not null check (part in ('plan', 'balance', 'momo', 'loyalty')),
    how text not null check (how in ('down', 'slow')),
    primary key (msisdn, part)
);
insert into revision values ('network', 1);

-- Vouchers -----------------------------------------------------------------------------------------------------------------

-- Which key the hashes of the PINs were made with. The key itself is not in the database.
create table voucher_key (
    only_one boolean primary key default true check (only_one),
    id text not null,
    created_at timestamptz not null default now()
);
-- Serials of a batch count up from first_serial, and the next batch goes on after its last one.
create table voucher_batch (
    id bigint generated always as identity primary key,
    mode text not null check (mode in ('live', 'test')),
    currency text not null,
    amount_minor bigint not null check (amount_minor > 0),
    profile text not null references refill_profile,
    first_serial bigint not null,
    count integer not null check (count > 0),
    issued integer not null default 0 check (issued between 0 and count),
    -- unavailable: not all PINs have been handed over yet; stopped: none can be loaded any more.
    state text not null default 'unavailable' check (state in ('unavailable', 'available', 'stopped')),
    why text not null default '',
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now()
);
-- A voucher is usable while it is available, its batch is available, and the batch has not expired.
create table voucher (
    serial bigint primary key,
    batch_id bigint not null,
    pin_hash bytea not null unique,
    state text not null default 'available' check (state in ('available', 'reserved', 'used', 'damaged', 'stolen')),
    reservation text,                      -- who reserved it, by a name of theirs
    reserved_until timestamptz,
    subscriber_id bigint,
    refill_id bigint,
    changed_at timestamptz not null default now(),
    check ((state = 'reserved') = (reserved_until is not null) and (state = 'reserved') = (reservation is not null)),
    check ((state = 'used') = (subscriber_id is not null) and (state = 'used') = (refill_id is not null))
) with (fillfactor = 90);
create index voucher_reserved on voucher (reserved_until) where state = 'reserved';

-- Who has sent wrong PINs, in a row. strikes: how often he was locked since the last right one. shares: of those that came
-- from a source, how many each partner sent, as an object. Who has no row has sent none lately.
create table pin_guard (
    kind text not null check (kind in ('subscriber', 'partner', 'source')),
    subject text not null,
    wrong integer not null default 0 check (wrong >= 0),
    strikes integer not null default 0 check (strikes >= 0),
    locked_until timestamptz,
    shares jsonb not null default '{}',
    last_at timestamptz not null default now(),
    primary key (kind, subject)
);

-- Refills ------------------------------------------------------------------------------------------------------------------

-- The row is the idempotency record: one for each (partner, mode, transactionId). fingerprint holds no PIN, only its keyed hash.
-- A voucherless one is a sale: wallet, position and balances are those of the partner's wallet.
create table refill (
    id bigint primary key,                 -- from the sequence `cause`: the number of its transfers too
    reference text not null,
    reseller_id uuid not null,
    dialect text not null,
    mode text not null check (mode in ('live', 'test')),
    transaction_id text not null,
    fingerprint text not null,
    kind text not null check (kind in ('voucher', 'voucherless')),
    subscriber_id bigint not null,
    msisdn text not null,
    profile text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    capped boolean not null,               -- days that did not fit under the maximum were dropped
    serial bigint,
    wallet_id bigint,
    position bigint,
    balance_before_minor bigint,
    balance_after_minor bigint,
    created_at timestamptz not null,
    check ((kind = 'voucher') = (serial is not null)),
    check ((kind = 'voucherless') = (wallet_id is not null)),
    check ((wallet_id is null) = (position is null)),
    check (balance_after_minor = balance_before_minor - amount_minor)
);
create unique index refill_transaction on refill (reseller_id, dialect, mode, transaction_id);
create unique index refill_voucher on refill (serial) where serial is not null;
create index refill_subscriber on refill (subscriber_id, id);

alter table wallet_transaction drop constraint wallet_transaction_kind_check;
alter table wallet_transaction add constraint wallet_transaction_kind_check check (kind in ('o', 'c', 'f', 'v', 'r')) not valid;

-- Premiums -----------------------------------------------------------------------------------------------------------------

-- basis_points of the amount, at least the floor and at most the cap. A quote is forgotten 90 days after it at the earliest.
create table premium_rate (
    product text not null check (product ~ '^[A-Za-z0-9_.-]{1,64}$'),
    transaction_type text not null check (transaction_type ~ '^[A-Z0-9_]{1,32}$'),
    currency text not null,
    basis_points integer not null check (basis_points between 0 and 10000),
    floor_minor bigint not null default 0 check (floor_minor >= 0),
    cap_minor bigint check (cap_minor >= floor_minor),
    loyalty_basis_points integer not null default 0 check (loyalty_basis_points between 0 and 10000),
    quote_valid_s integer not null default 900 check (quote_valid_s between 1 and 7776000),
    to_oneself boolean not null default false,  -- whether sender and receiver may be the same
    momo_only boolean not null default false,   -- whether the sender must have mobile money
    message text not null default '',
    active boolean not null default true,
    primary key (product, transaction_type, currency)
);
-- What a fresh shop has: cover for whoever sends. Floors and caps are round sums of about the same worth in each currency.
insert into premium_rate
    (product, transaction_type, currency, basis_points, floor_minor, cap_minor, loyalty_basis_points, to_oneself, message)
select 'AYO_SWC', kind.transaction_type, market.currency, kind.basis_points, market.floor_minor, market.cap_minor, 5,
       kind.to_oneself, kind.message
from (values ('GHS', 50, 2000), ('NGN', 5000, 200000), ('SZL', 100, 4000), ('UGX', 200, 8000), ('ZAR', 100, 4000))
         as market(currency, floor_minor, cap_minor),
     (values ('TRANSFER', 250, false, 'Cover for 120 days'), ('AIRTIME', 100, true, 'Cover for 30 days'),
             ('BILL', 150, true, 'Cover for 60 days')) as kind(transaction_type, basis_points, to_oneself, message);

-- Every answer is kept: the same request again gets it, and as a quote it may be used once. used_by: the answer that used it;
-- no foreign key, since old answers are deleted by the thousand. loyalty_balance_minor null: it could not be read.
create sequence premium_number;
create table premium_quote (
    id bigint primary key,                 -- from premium_number; also in the reference
    reference text not null,               -- PRM-…, what the partner sees
    reseller_id uuid not null,
    mode text not null check (mode in ('live', 'test')),
    transaction_id text,                   -- null: made at the command line
    fingerprint text not null,
    product text not null,
    transaction_type text not null,
    sender text not null,
    receiver text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    premium_minor bigint not null check (premium_minor >= 0),
    loyalty_generated_minor bigint not null check (loyalty_generated_minor >= 0),
    loyalty_balance_minor bigint check (loyalty_balance_minor >= loyalty_generated_minor),
    message text not null default '',
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_by bigint
) with (fillfactor = 90);
create unique index premium_quote_transaction on premium_quote (reseller_id, mode, transaction_id)
    where transaction_id is not null;

-- Tokens -------------------------------------------------------------------------------------------------------------------

-- What OAuth gives for a key and its secret. A token dies with its key.
create table access_token (
    digest bytea primary key,
    key_id uuid not null references api_key,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index access_token_expired on access_token (expires_at);

-- Orders -------------------------------------------------------------------------------------------------------------------

-- How long the bundle lasts that was sold, whatever the catalogue says when it is delivered; null: it does not expire, or it
-- is airtime. Orders from before that are still open get what the catalogue says now.
alter table orders add column validity_days integer;
update orders set validity_days = product.validity_days from product
where product.id = orders.product_id and orders.kind = 'data' and (orders.due_at is not null or orders.state = 'review');
