-- What a day's reconciliation with a provider needs: attempts as they are compared, and the record of what was found.
-- A day's attempts are found by reading the table once: an index on their time would be paid by every delivery (0019_reports.sql).

-- Attempts and trials as they are compared with what their provider says. What a provider has said late against a person counts.
create view reconciled_attempt as
select o.id as order_id, o.reference as order_reference, o.state as order_state, o.reseller_id::text as reseller_id, a.number,
    a.provider, a.reference, coalesce(a.provider_reference, '') as provider_reference,
    case when l.delivered is null then a.state when l.delivered then 'delivered' else 'refused' end as state,
    a.started_at, o.kind, o.country, o.network, o.product, o.size, o.validity_days, a.type, a.provider_code, o.subscriber,
    o.currency, o.face_minor, case when l.delivered then l.amount_minor else a.cost_minor end as cost_minor
from attempt a
join orders o on o.id = a.order_id
left join late_report l on l.order_id = a.order_id and l.attempt = a.number
union all
select null, '', '', '', 1, provider, reference, coalesce(provider_reference, ''), state, started_at, kind, country, network,
    product, size, validity_days, type, provider_code, subscriber, currency, face_minor, coalesce(charged_minor, cost_minor)
from provider_trial;

-- What reconciliations have found. `statement_digest` is the SHA-256 of what was compared, empty where the provider was asked.
-- `costs` is JSON: by currency, what the ledger has and what the provider took, in minor units.
create table reconciliation (
    id bigint generated always as identity primary key,
    provider text not null,
    day date not null,
    zone text not null,
    source text not null check (source in ('statement', 'list', 'requery')),
    statement_digest text not null,
    lines integer not null,
    attempts integer not null,
    matched integer not null,
    only_here integer not null,
    only_there integer not null,
    different integer not null,
    costs text not null,
    by_whom text not null,
    made_at timestamptz not null default now()
);
create index reconciliation_provider on reconciliation (provider, day);
create trigger reconciliation_is_insert_only before update or delete or truncate on reconciliation
    for each statement execute function refuse_change();
