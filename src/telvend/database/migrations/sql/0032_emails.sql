-- The outbox of e-mails: written by the transaction that causes them, sent afterwards.

-- facts: what the text is made from; it holds no secret, for a link is made when the e-mail is sent. due_at is null once nothing is
-- sent any more. kept: written to a file or left here, where no mail server is set up. dropped: nobody wanted it when it was its turn.
-- sealed: the text of one that is kept. about: what is told once; a second row with it is not written.
create table email (
    id bigint generated always as identity primary key,
    kind text not null,
    recipient text not null,
    person_id uuid references person,
    facts jsonb not null,
    about text unique,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'kept', 'failed', 'dropped')),
    due_at timestamptz,
    tries smallint not null default 0,
    failure text not null default '',
    subject text not null default '',
    sealed bytea,
    key_id text,
    created_at timestamptz not null,
    ended_at timestamptz,
    check ((sealed is null) = (key_id is null)),
    check ((due_at is null) = (state <> 'waiting'))
);
create index email_due on email (due_at) where due_at is not null;
create index email_failed on email (id) where state = 'failed';
create index email_end on email (ended_at);
