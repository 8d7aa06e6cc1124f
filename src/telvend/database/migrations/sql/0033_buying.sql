-- What a person who buys on pages keeps: named numbers, and links by which a receipt is passed on.

-- number: E.164.
create table beneficiary (
    id bigint generated always as identity primary key,
    reseller_id uuid not null references reseller,
    number text not null,
    name text not null,
    created_at timestamptz not null default now(),
    unique (reseller_id, number)
);

-- A link to the receipt of one order. digest: the SHA-256 of its token, which is kept nowhere.
create table receipt_link (
    digest bytea primary key,
    order_id bigint not null,
    reseller_id uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index receipt_link_order on receipt_link (order_id);
