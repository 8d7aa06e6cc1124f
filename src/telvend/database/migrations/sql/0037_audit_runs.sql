-- Every audit that was run, with its result: how old the last one is, for the doctor and for alarms.

-- whole: everything was recomputed, not only what had changed since a checkpoint. findings: violations that it reported.
create table audit_run (
    id bigint generated always as identity primary key,
    ended_at timestamptz not null default clock_timestamp(),
    took_s double precision not null,
    whole boolean not null,
    transfers bigint not null,
    findings integer not null check (findings >= 0)
);
