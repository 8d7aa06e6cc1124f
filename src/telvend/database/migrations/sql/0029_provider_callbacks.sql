-- What providers have posted to us: that something has become of a purchase. A rumour, which brings the next question to the
-- provider forward and says nothing else. `reference` is the one in the body, ours or theirs. `waits`: it was not looked at yet.
-- `used`: how many questions it has brought forward, the last one at `used_at`.
create table provider_callback (
    provider text not null,
    reference text not null,
    received_at timestamptz not null default now(),
    waits boolean not null default true,
    used smallint not null default 0,
    used_at timestamptz,
    primary key (provider, reference)
);
create index provider_callback_waits on provider_callback (received_at) where waits;

-- Attempts whose outcome is open, of orders that are.
create view open_attempt as
select o.id as order_id, a.number, a.provider, a.reference, coalesce(a.provider_reference, '') as provider_reference
from orders o
join attempt a on a.order_id = o.id
where (o.due_at is not null or o.state = 'review') and a.state in ('started', 'accepted', 'unknown');
