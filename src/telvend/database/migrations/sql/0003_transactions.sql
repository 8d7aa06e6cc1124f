-- A wallet's transactions as its owner counts them, airtime, and what a reseller's profile shows.

-- transactions: how many the wallet has; the position of the last one. funded_minor: all that ever came in, so that what
-- went out is funded_minor - balance_minor, exact and at no cost.
alter table wallet
    add column transactions bigint not null default 0,
    add column funded_minor bigint not null default 0,
    add column last_funded_at timestamptz;

-- One row for each sale, credit, funding and verification, in the order of the wallet. Positions have no gaps, so a page of
-- ten million is found as quickly as the first one. kind: 'o' order, 'c' credit, 'f' funding, 'v' verification; id is theirs.
create table wallet_transaction (
    wallet_id bigint not null,
    position bigint not null,
    kind "char" not null check (kind in ('o', 'c', 'f', 'v')),
    id bigint not null,
    credit boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (wallet_id, position)
);
create index wallet_transaction_credit on wallet_transaction (wallet_id, position) where credit;

-- The ones that came to nothing. Everything that is neither here nor open was completed.
create table wallet_failed (
    wallet_id bigint not null,
    position bigint not null,
    credit boolean not null,
    primary key (wallet_id, position)
);

-- Where a transaction stands in its wallet's list.
alter table orders add column position bigint;
alter table wallet_credit add column position bigint;

insert into wallet_transaction (wallet_id, position, kind, id, credit, created_at)
select wallet_id, row_number() over (partition by wallet_id order by created_at, id), kind, id, kind = 'c', created_at
from (
    select wallet_id, 'o'::"char" as kind, id, created_at from orders
    union all
    select wallet_id, 'c'::"char", id, created_at from wallet_credit
) as everything;
update orders o set position = t.position from wallet_transaction t where t.kind = 'o' and t.id = o.id;
update wallet_credit c set position = t.position from wallet_transaction t where t.kind = 'c' and t.id = c.id;
insert into wallet_failed (wallet_id, position, credit)
select wallet_id, position, false from orders where state = 'failed';
update wallet w set
    transactions = (select count(*) from wallet_transaction t where t.wallet_id = w.account_id),
    funded_minor = (select coalesce(sum(amount_minor), 0) from wallet_credit c where c.wallet_id = w.account_id),
    last_funded_at = (select max(created_at) from wallet_credit c where c.wallet_id = w.account_id);
alter table orders alter column position set not null;
alter table wallet_credit alter column position set not null;

-- Airtime: any amount within a range. The numbers are taken from those of the bundles, so that a number says what it is.
-- cost_basis_points: what a provider takes, in hundredths of a percent of the amount.
create table airtime (
    id integer primary key default nextval('product_id_seq'),
    code text not null unique check (code ~ '^[A-Za-z0-9_.-]{1,64}$'),
    network_id integer not null unique references network,
    minimum_minor bigint not null check (minimum_minor > 0),
    maximum_minor bigint not null check (maximum_minor >= minimum_minor),
    cost_basis_points integer not null check (cost_basis_points between 0 and 10000),
    active boolean not null default true
);

-- What a reseller pays less for airtime of a network, in hundredths of a percent.
create table reseller_discount (
    reseller_id uuid not null references reseller,
    airtime_id integer not null references airtime,
    basis_points integer not null check (basis_points between 0 and 5000),
    primary key (reseller_id, airtime_id)
);

-- face_minor: what the subscriber gets in money's worth; for a bundle the same as its price.
alter table orders
    add column kind text not null default 'data' check (kind in ('data', 'airtime')),
    add column face_minor bigint;
update orders set face_minor = price_minor;
alter table orders alter column face_minor set not null, alter column kind drop default;

alter table network
    add column created_at timestamptz not null default now(),
    add column updated_at timestamptz not null default now();

-- How a provider spells a network.
create table network_provider_code (
    network_id integer not null references network,
    provider text not null,
    code text not null,
    primary key (network_id, provider)
);

-- What a shop-keeper fills in about a reseller.
alter table reseller
    add column address text not null default '',
    add column gender text not null default '' check (gender in ('', 'Male', 'Female')),
    add column date_of_birth date,
    add column email_verified boolean not null default false,
    add column phone_verified boolean not null default false,
    add column id_verified boolean not null default false,
    add column avatar bytea,
    add column avatar_type text;
