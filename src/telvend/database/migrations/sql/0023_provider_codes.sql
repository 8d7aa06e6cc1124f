-- What a provider calls a product. `follows_cost`: the provider takes what the product itself costs; cost_minor is then what that
-- was when the offer was made, for programs that do not know the column.
alter table provider_offer
    add column code text not null default '',
    add column follows_cost boolean not null default false;

-- The same for what is sold by amount: airtime, billers' products. `product_id` is the number of either; billers' products are in no
-- table. A null cost is the catalogue's.
create table provider_offer_by_amount (
    product_id integer not null,
    provider text not null,
    cost_basis_points integer check (cost_basis_points between 0 and 10000),
    active boolean not null default true,
    code text not null default '',
    primary key (product_id, provider)
);

-- What the provider was sent, so that it is asked about the same: its code for the product, and the product's type.
alter table attempt
    add column provider_code text not null default '',
    add column type text not null default '';

-- Deliveries that the operator makes by hand to try a provider (`telvend provider try`). They are no orders: no wallet pays. A row
-- is committed before anything is sent.
create table provider_trial (
    id bigint generated always as identity primary key,
    provider text not null,
    reference text not null unique,
    kind text not null,
    country text not null,
    network text not null,
    product text not null,
    size text not null,
    validity_days integer,
    type text not null,
    provider_code text not null,
    subscriber text not null,
    currency text not null,
    face_minor bigint not null check (face_minor > 0),
    cost_minor bigint not null check (cost_minor >= 0),
    state text not null
        check (state in ('started', 'accepted', 'unknown', 'delivered', 'refused', 'not_sent')),
    asked smallint not null default 0,
    text text not null default '',
    provider_reference text,
    charged_minor bigint,                  -- what the provider says that it took
    by_whom text not null,
    started_at timestamptz not null,
    finished_at timestamptz
);
