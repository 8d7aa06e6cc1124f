-- How far old attempts have been removed, where a shop does not keep them for good (`attempt_retention_days`).

-- One row. Orders up to `order_id` have been looked at, once each; every attempt that was removed began before `removed_until`.
create table attempt_retention (
    one boolean primary key default true check (one),
    order_id bigint not null default 0,
    removed_until timestamptz
);
insert into attempt_retention default values;

-- From when on a day's attempts are all there; null where none was ever removed. For reconciliations.
create view attempts_kept as
select removed_until as since from attempt_retention;
