-- The search index of orders takes a tenth of the room: what is older than the last few hundred thousand orders is packed.

-- A key and an order in `order_search` take ninety bytes with their index, and an order has two keys or three: as much as half of the
-- order itself. Here they take six. An entry is the second to fourth piece of a key and the place of the order in its segment:
-- `segment`: order_id >> 18. `bucket`: the first twelve bits of the key. `entries`: 24 bits of the key, 24 bits of place, and again.
create table order_search_packed (
    bucket integer not null,
    segment integer not null,
    entries bytea not null,
    primary key (bucket, segment)
);
alter table order_search_packed alter column entries set storage external;  -- nothing in it can be compressed

create function search_bucket(key bigint) returns integer language sql immutable parallel safe as $$
    select (key >> 52)::integer
$$;

-- The entry of an order under a key; the first three bytes are those of the key.
create function search_entry(key bigint, order_id bigint) returns bytea language sql immutable parallel safe as $$
    select substring(int8send(((key >> 28) & 16777215) << 24 | (order_id & 262143)) from 3)
$$;

-- What is packed next: a segment, and of it the buckets from this one on.
alter table order_search_progress
    add column segment integer not null default 0,
    add column bucket integer not null default -2048;

-- Of an order the hold is written first, at the end of this index, and what settles it later, among those that are there by then. With
-- pages left nine tenths full that split each of them in halves; a third leaves the room that is needed.
alter index transfer_pkey set (fillfactor = 33);
