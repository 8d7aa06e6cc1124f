-- Developers who look on with `telvend webhook listen`, and what waits for each of them.

-- One session. reseller_id: whose events it is shown; null for everybody's. It is over once `until` has passed: the command puts that
-- off while it lives, so that one that was killed ends by itself.
create table webhook_listener (
    id bigint generated always as identity primary key,
    reseller_id uuid,
    until timestamptz not null,
    created_at timestamptz not null default now()
);

-- A message for a session, removed when it was shown. Without foreign keys: a sale must not fail, nor wait, because a session ends.
create table webhook_listener_event (
    id bigint generated always as identity primary key,
    listener_id bigint not null,
    message text not null,
    reseller_id uuid not null,
    type text not null,
    body text not null,
    created_at timestamptz not null default now()
);
create index webhook_listener_event_of on webhook_listener_event (listener_id, id);
