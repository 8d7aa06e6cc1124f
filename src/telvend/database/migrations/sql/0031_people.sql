-- Who signs in: people, their sessions, the links that they are given, and the log of what they did.

-- A person. reseller_id: whose portal it opens; null for somebody of the console alone. phone may be shared. password and pin are
-- argon2 hashes. totp_secret is sealed; totp_confirmed_at is null until its owner has shown a code of it; totp_step is the last one
-- whose code was taken. pin_failures counts wrong PINs in a row.
create table person (
    id uuid primary key,
    email text not null,
    name text not null,
    phone text not null,
    zone text not null,
    reseller_id uuid references reseller,
    password text not null,
    password_changed_at timestamptz not null,
    email_verified_at timestamptz,
    signed_in_at timestamptz,
    suspended_at timestamptz,
    totp_secret bytea,
    totp_key_id text,
    totp_confirmed_at timestamptz,
    totp_step bigint not null default 0,
    pin text,
    pin_failures smallint not null default 0,
    created_at timestamptz not null,
    check ((totp_secret is null) = (totp_key_id is null)),
    check (totp_secret is not null or totp_confirmed_at is null)
);
create unique index person_email on person (lower(email));
create index person_phone on person (phone);
create index person_of_reseller on person (reseller_id) where reseller_id is not null;

-- What a person may do in the console.
create table person_role (
    person_id uuid not null references person,
    role text not null check (role in ('owner', 'finance', 'support')),
    given_at timestamptz not null,
    primary key (person_id, role)
);

-- A session: a row as long as it lasts. digest: SHA-256 of the token that the browser keeps.
create table person_session (
    id bigint generated always as identity primary key,
    digest bytea not null unique,
    person_id uuid not null references person,
    surface text not null check (surface in ('portal', 'console')),
    mode text not null default 'live' check (mode in ('live', 'test')),
    agent text not null,
    address text not null,
    made_at timestamptz not null,
    seen_at timestamptz not null,
    ends_at timestamptz not null
);
create index person_session_of on person_session (person_id);
create index person_session_end on person_session (ends_at);

-- What was given to somebody to be used once: a link, or the second step of signing in. digest: SHA-256 of its token.
-- ended_at: another one of the same purpose took its place. Kept for a while after its end, so that it is told from one that never was.
create table person_token (
    digest bytea primary key,
    purpose text not null check (purpose in ('verify', 'reset', 'invite', 'staff', 'console', 'second_step')),
    person_id uuid references person,
    reseller_id uuid references reseller,
    email text not null,
    roles text[] not null default '{}',
    made_at timestamptz not null,
    ends_at timestamptz not null,
    ended_at timestamptz,
    used_at timestamptz
);
create index person_token_of on person_token (purpose, lower(email)) where used_at is null and ended_at is null;
create index person_token_end on person_token (ends_at);

-- Codes for when the device of the second factor is lost; each counts once.
create table person_recovery_code (
    person_id uuid not null references person,
    digest bytea not null,
    used_at timestamptz,
    primary key (person_id, digest)
);

-- From where a person has signed in before. agent: the browser without its versions.
create table person_device (
    person_id uuid not null references person,
    agent text not null,
    network text not null,
    seen_at timestamptz not null,
    primary key (person_id, agent, network)
);

-- Attempts that are limited: empty_at is when the bucket of a key has drained. key: a digest, so that no address stands here.
create table person_attempt (
    key bytea primary key,
    empty_at timestamptz not null
);
create index person_attempt_empty on person_attempt (empty_at);

-- The key that secrets of people are sealed with.
create table people_key (
    only_one boolean primary key default true check (only_one),
    id text not null,
    created_at timestamptz not null default now()
);

-- What people did with money and access. Never changed or removed. who: the address as it was then.
-- thing, key: on what. before, after: without secrets, numbers masked.
create table act (
    id bigint generated always as identity primary key,
    done_at timestamptz not null,
    person_id uuid,
    who text not null,
    surface text not null check (surface in ('portal', 'console', 'command')),
    address text not null,
    what text not null,
    thing text not null,
    key text not null,
    reason text not null,
    before jsonb,
    after jsonb
);
create index act_of_thing on act (thing, key, id);
create index act_of_person on act (lower(who), id);
create index act_of_kind on act (what, id);
create trigger act_is_insert_only before update or delete or truncate on act
    for each statement execute function refuse_change();

-- What people may know of resellers.
create view person_reseller as
select r.id, r.number, r.email, r.name, r.phone, r.suspended_at from reseller r;
