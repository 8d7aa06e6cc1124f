-- Pauses of networks, and the failed attempts by which a network is paused by itself.

-- A pause, kept after its end. `automatic`: nobody decided it, and it ends by itself. `retry_at`: when sales are let through on
-- trial next; `trial_left` of the current trial are left. A person's pause has no trials.
create table network_pause (
    id bigint generated always as identity primary key,
    network_id integer not null references network,
    automatic boolean not null,
    reason text not null,
    by_whom text not null,
    paused_at timestamptz not null default clock_timestamp(),
    retry_at timestamptz,
    trial integer not null default 0,
    trial_left integer not null default 0 check (trial_left >= 0),
    ended_at timestamptz,
    ended_by text not null default '',
    end_reason text not null default '',
    check (automatic or (retry_at is null and trial = 0 and trial_left = 0)),
    check ((ended_at is null) = (ended_by = ''))
);
create unique index network_pause_open on network_pause (network_id) where ended_at is null;

-- The failed live attempts of a network since it last delivered, as processes report them every few seconds.
create table network_streak (
    network_id integer primary key references network,
    failures bigint not null default 0,
    failing_since timestamptz,
    last_failed_at timestamptz,
    why text not null default '',
    delivered_at timestamptz,
    check ((failures = 0) = (failing_since is null) and (failures = 0) = (last_failed_at is null))
);
