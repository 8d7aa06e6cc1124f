-- The serving processes to which something real is connected, as they say themselves every few seconds. While there is one, no
-- process of the shop takes play money into a live wallet; and while one delivers live orders, none that pretends does.

create table real_process (
    process uuid primary key,
    node text not null,
    pid integer not null,
    vendors text not null,
    delivers boolean not null,             -- whether live orders go to a real provider
    seen_at timestamptz not null default clock_timestamp()
);
