-- Where orders are found by what people read out: the number that was to receive, and the references of callers and providers.
--
-- An index on `orders` would be written three times for every sale, while somebody waits. This one is written once, a minute
-- later, by whichever process has time. Orders of after `placed_until` are looked through directly.

-- The key of a text that people look for. `kind`: `number` or `reference`. Sixteen digits of MD5 are enough: what is found is
-- compared with the order itself.
create function search_key(kind text, value text) returns bigint language sql immutable parallel safe as $$
    select ('x' || left(md5(kind || ':' || value), 16))::bit(64)::bigint
$$;

create table order_search (
    key bigint not null,
    order_id bigint not null,
    primary key (key, order_id)
);

-- Indexed orders that were not final then: their attempts are looked through directly, and indexed when they are.
create table order_search_open (
    order_id bigint primary key
);

-- One row. `placed_until`: every order of before is indexed; null before the first time. `step_s`: how much time the next step takes.
create table order_search_progress (
    one boolean primary key default true check (one),
    placed_until timestamptz,
    step_s double precision not null default 3600
);
insert into order_search_progress default values;
