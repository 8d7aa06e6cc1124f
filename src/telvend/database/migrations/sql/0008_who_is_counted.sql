-- What a repeat is recognised by, and whom a limit counts: nothing that the one who is counted can multiply.

-- pin_guard: a partner is counted at each source now; subject has the source's address behind the reseller. A source is not
-- locked any more. `shares` is read by the version before only, and goes in a later release.

-- Resellers that sweep numbers, in one mode, with whichever of their keys; key_id is the one that asked last. `strikes` counts the
-- delays since it began this time, `delays` all of them. identity_sweep, by key, and the index verification_key are used by the
-- version before only, and go in a later release.
create table identity_pace (
    reseller_id uuid not null,
    mode text not null check (mode in ('live', 'test')),
    key_id uuid not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    not_before timestamptz not null,
    strikes integer not null check (strikes >= 0),
    delays integer not null check (delays >= 0),
    unknown integer not null,
    numbers integer not null,
    primary key (reseller_id, mode)
);
insert into identity_pace (reseller_id, mode, key_id, first_at, last_at, not_before, strikes, delays, unknown, numbers)
select s.reseller_id, k.mode, (array_agg(s.key_id order by s.last_at desc))[1], min(s.first_at), max(s.last_at),
    max(s.not_before), max(s.strikes), sum(s.delays), max(s.unknown), max(s.numbers)
from identity_sweep s join api_key k on k.id = s.key_id
group by s.reseller_id, k.mode;
create index verification_pace on verification (reseller_id, mode, created_at);

-- What the partner called a refill, where transaction_id stands in for it: 21 to 128 characters, too long to be echoed.
-- Last, since it locks everybody out for as long as this transaction lasts.
alter table refill add column sent_id text;
