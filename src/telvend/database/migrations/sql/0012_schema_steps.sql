-- Which steps have brought the schema here, so that a program that does not know the last of them can tell whether it may go on.

-- oldest_reader: the oldest revision that a program may know to work with the schema after this step; null: the step only adds,
-- and any may. program: the version of Telvend that took the step. What came before this table is known to everybody who reads it.
create table schema_step (
    revision text primary key,
    oldest_reader text,
    program text not null,
    taken_at timestamptz not null default now()
);
