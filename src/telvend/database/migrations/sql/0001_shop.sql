-- The shop: who buys, what is sold, whose money is where, and the sales.
--
-- Money is a bigint of the currency's minor unit. Tables of the hot path carry no foreign keys: each would look a row up
-- again for every order. `telvend ledger check` looks for what they would have refused.

-- One row that says which shop this is. Its id salts the checks in references.
create table installation (
    only_one boolean primary key default true check (only_one),
    id uuid not null default gen_random_uuid(),
    created_at timestamptz not null default now()
);
insert into installation default values;

-- Counts the changes of what every process keeps in memory; processes look here several times a second.
create table revision (
    topic text primary key,
    number bigint not null
);
insert into revision values ('keys', 1), ('catalogue', 1);

-- Who buys -----------------------------------------------------------------------------------------------------------

create table reseller (
    id uuid primary key,
    number bigint generated always as identity unique,
    email text not null,
    name text not null,
    phone text not null,
    created_at timestamptz not null default now()
);
create unique index reseller_email on reseller (lower(email));

create table api_key (
    id uuid primary key,
    reseller_id uuid not null references reseller,
    api text not null,
    mode text not null check (mode in ('live', 'test')),
    digest bytea not null unique,          -- what is stored of the key cannot be turned back into it
    secret_digest bytea,                   -- of the second half of a key that is for OAuth, kept in the same way
    hint text not null,                    -- its first and last letters, so that a person can tell keys apart
    read_limit integer not null check (read_limit > 0),
    purchase_limit integer not null check (purchase_limit > 0),
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);
create index api_key_reseller on api_key (reseller_id);

-- Whose money is where -----------------------------------------------------------------------------------------------

-- owner: the reseller's id for a wallet, the provider's name for a provider, else empty.
create table account (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('wallet', 'in_flight', 'provider', 'margin', 'loss', 'funding')),
    owner text not null,
    currency text not null,
    mode text not null check (mode in ('live', 'test')),
    unique (kind, owner, currency, mode)
);

-- Only wallets store a balance. A row is rewritten with every sale: the free half of its page keeps that in place.
create table wallet (
    account_id bigint primary key references account,
    reseller_id uuid not null references reseller,
    currency text not null,
    mode text not null check (mode in ('live', 'test')),
    balance_minor bigint not null default 0 check (balance_minor >= 0),
    sequence bigint not null default 0,    -- of the last transfer on this wallet; gap-free from 1
    created_at timestamptz not null default now(),
    unique (reseller_id, currency, mode)
) with (fillfactor = 50);

-- The numbers of everything that moves money: orders, credits.
create sequence cause;

-- One movement: one debit, one credit, one positive amount. `cause` is the order or credit it belongs to; the primary
-- key lets each happen once. A transfer on a wallet carries its place in the wallet's statement and the balance after.
create table transfer (
    cause bigint not null,
    kind smallint not null,                -- ledger/model.py: TransferKind
    debit bigint not null,
    credit bigint not null,
    amount_minor bigint not null check (amount_minor > 0),
    wallet_id bigint,
    wallet_sequence bigint,
    wallet_balance_minor bigint check (wallet_balance_minor >= 0),
    created_at timestamptz not null default now(),
    primary key (cause, kind),
    check (debit <> credit),
    check ((wallet_id is null) = (wallet_sequence is null) and (wallet_id is null) = (wallet_balance_minor is null)),
    check (wallet_id is null or wallet_id in (debit, credit))
);
create unique index transfer_wallet on transfer (wallet_id, wallet_sequence) where wallet_id is not null;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed or removed; a mistake is corrected by another transfer', tg_table_name;
end $$;
create trigger transfer_is_insert_only before update or delete or truncate on transfer
    for each statement execute function refuse_change();

-- Money that the shop-keeper put into a wallet by hand.
create table wallet_credit (
    id bigint primary key,
    wallet_id bigint not null references wallet,
    reference text not null,
    amount_minor bigint not null check (amount_minor > 0),
    created_at timestamptz not null default now(),
    unique (wallet_id, reference)
);

-- What is sold -------------------------------------------------------------------------------------------------------

create table network (
    id integer generated always as identity primary key,
    country text not null,
    code text not null,                    -- the word that requests use: MTN, Telecel, AirtelTigo
    name text not null,
    active boolean not null default true
);
create unique index network_code on network (country, lower(code));

create table product (
    id integer generated always as identity primary key,
    code text not null unique check (code ~ '^[A-Za-z0-9_.-]{1,64}$'),
    network_id integer not null references network,
    kind text not null check (kind in ('data')),
    type text not null default '',         -- SME, Corporate, Direct, Gifting; empty where a market knows no types
    size text not null,                    -- 1GB: what requests call it
    validity_days integer check (validity_days > 0),
    currency text not null,
    price_minor bigint not null check (price_minor > 0),
    cost_minor bigint not null check (cost_minor >= 0),
    active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index product_network on product (network_id);

-- The built-in lists that this shop was given once. What the shop-keeper has made of them since does not come back.
create table builtin_catalogue (
    name text primary key,
    installed_at timestamptz not null default now()
);

-- What a provider takes for a product where that differs from the product's own cost, and whether it sells it.
create table provider_offer (
    product_id integer not null references product,
    provider text not null,
    cost_minor bigint not null check (cost_minor >= 0),
    active boolean not null default true,
    primary key (product_id, provider)
);

-- The sales ----------------------------------------------------------------------------------------------------------

-- The order row is the idempotency record and the job. due_at: when a worker has to look at it next; a worker that has
-- it in hand moves it ahead (its lease); null when there is nothing to do.
create table orders (
    id bigint primary key,
    reference text not null,
    reseller_id uuid not null,
    dialect text not null,
    mode text not null check (mode in ('live', 'test')),
    client_reference text,
    fingerprint text not null,
    wallet_id bigint not null,
    country text not null,
    network text not null,
    product_id integer not null,
    product text not null,
    size text not null,
    subscriber text not null,
    price_minor bigint not null check (price_minor > 0),
    cost_minor bigint not null check (cost_minor >= 0),
    currency text not null,
    state text not null check (state in ('accepted', 'delivering', 'waiting', 'review', 'delivered', 'failed')),
    attempts smallint not null default 0,
    balance_after_minor bigint not null,
    due_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    check ((due_at is null) = (state in ('review', 'delivered', 'failed')))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

create unique index orders_client_reference on orders (reseller_id, dialect, mode, client_reference)
    where client_reference is not null;
create index orders_due on orders (due_at) where due_at is not null;
create index orders_review on orders (id) where state = 'review';

-- One row for each time that a provider was asked to deliver, written before the call. `reference` is what it sees.
create table attempt (
    order_id bigint not null,
    number smallint not null,
    provider text not null,
    reference text not null,
    state text not null
        check (state in ('started', 'accepted', 'unknown', 'delivered', 'refused', 'not_sent')),
    elsewhere boolean not null default false,  -- a refusal after which another provider may be tried
    asked smallint not null default 0,
    text text not null default '',
    provider_reference text,
    cost_minor bigint not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    primary key (order_id, number)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- What a person decided about an order in review, and why.
create table order_note (
    id bigint generated always as identity primary key,
    order_id bigint not null references orders,
    text text not null,
    created_at timestamptz not null default now()
);
create index order_note_order on order_note (order_id);
