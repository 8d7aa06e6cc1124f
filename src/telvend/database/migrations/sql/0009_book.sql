-- A database that was found to lack what it had acknowledged, or was loaded from a dump; and who let sales go on with it.

create table book_release (
    number bigint generated always as identity primary key,
    id uuid not null unique default gen_random_uuid(),  -- numbers go back with the book
    released_by text not null,
    reason text not null,
    released_at timestamptz not null default clock_timestamp()
);

-- Sales are halted while one has no release. node: where it was found. why: what is missing.
create table book_halt (
    number bigint generated always as identity primary key,
    node text not null,
    why text not null,
    detected_at timestamptz not null default clock_timestamp(),
    release bigint references book_release
);
create index book_halt_open on book_halt (number) where release is null;
