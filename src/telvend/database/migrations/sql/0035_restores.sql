-- A book that was restored: an earlier state of the shop. What was delivered after `known_until` is not in it.

-- Sales are halted by `halt`. backup: what was restored, as people call it. With the release of the halt the restore is answered.
create table book_restore (
    id bigint generated always as identity primary key,
    halt bigint not null unique references book_halt,
    backup text not null,
    known_until timestamptz not null,
    restored_at timestamptz not null default clock_timestamp()
);
