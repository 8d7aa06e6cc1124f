-- What can be sold is listed in the code (catalog/kinds). `orders.subscriber` is the recipient as its kind stores it.
alter table orders drop constraint orders_kind_check;
alter table product drop constraint product_kind_check;

-- What a delivery carries back: tokens, PINs. Only orders of kinds that carry something have a row. `id` is the order's; `attempt`
-- is the one that was delivered. While `sealed` is null the provider is asked again at due_at.
create table order_payload (
    id bigint primary key references orders,
    attempt smallint not null,
    key_id text,                           -- the payload key that it is sealed with
    sealed bytea,
    asked smallint not null default 0,
    due_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((sealed is null) = (key_id is null)),
    check (sealed is null or due_at is null)
);
create index order_payload_due on order_payload (due_at) where due_at is not null;

-- Which key new payloads are sealed with. The key itself is not in the database.
create table order_payload_key (
    only_one boolean primary key default true check (only_one),
    id text not null,
    created_at timestamptz not null default now()
);

-- Who was shown a payload, and when.
create table order_payload_reading (
    id bigint generated always as identity primary key,
    order_id bigint not null references order_payload,
    reader text not null,
    created_at timestamptz not null default now()
);
create index order_payload_reading_order on order_payload_reading (order_id);
