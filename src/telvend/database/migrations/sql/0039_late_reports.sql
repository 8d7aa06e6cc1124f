-- A provisional credit may wait for a second person; providers are asked again about what a person has decided.

alter table proposal drop constraint proposal_kind_check;
alter table proposal add constraint proposal_kind_check
    check (kind in ('credit', 'debit', 'refund', 'delivered', 'failed', 'provisional_credit')) not valid;

-- Attempts that a person has decided and of which no late report was entered. due_at: when their provider is asked again; null: only
-- when it calls back, or a person asks. The references are those of the attempt, to find it when the provider calls back.
-- Without foreign keys: the order is locked when a row is written.
create table late_requery (
    id bigint generated always as identity primary key,
    order_id bigint not null,
    attempt smallint not null,
    provider text not null,
    reference text not null,
    provider_reference text not null,
    asked smallint not null default 0,
    due_at timestamptz,
    updated_at timestamptz not null default now(),
    unique (order_id, attempt)
);
create index late_requery_due on late_requery (due_at) where due_at is not null;
create index late_requery_ours on late_requery (provider, reference);
create index late_requery_theirs on late_requery (provider, provider_reference);

create index late_report_made on late_report (created_at);

-- What 0028 says of this view holds; two columns more. `unbooked`: delivered, and the ledger has no cost of it, because a person has
-- decided the order otherwise or for another attempt. `decided`: a late report may still be entered.
create or replace view reconciled_attempt as
select o.id as order_id, o.reference as order_reference, o.state as order_state, o.reseller_id::text as reseller_id, a.number,
    a.provider, a.reference, coalesce(a.provider_reference, '') as provider_reference,
    case when l.delivered is null then a.state when l.delivered then 'delivered' else 'refused' end as state,
    a.started_at, o.kind, o.country, o.network, o.product, o.size, o.validity_days, a.type, a.provider_code, o.subscriber,
    o.currency, o.face_minor, case when l.delivered then l.amount_minor else a.cost_minor end as cost_minor,
    posting.missing as unbooked,
    posting.missing or (a.by_hand and l.id is null and o.state in ('delivered', 'failed')) as decided
from attempt a
join orders o on o.id = a.order_id
left join late_report l on l.order_id = a.order_id and l.attempt = a.number
cross join lateral (
    select a.state = 'delivered' and l.id is null and (o.state = 'failed' or (o.state = 'delivered' and exists (
        select from attempt b where b.order_id = a.order_id and b.number > a.number and b.state = 'delivered'))) as missing
) as posting
union all
select null, '', '', '', 1, provider, reference, coalesce(provider_reference, ''), state, started_at, kind, country, network,
    product, size, validity_days, type, provider_code, subscriber, currency, face_minor, coalesce(charged_minor, cost_minor), false, false
from provider_trial;
