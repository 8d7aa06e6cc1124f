-- What a reseller's pages for developers need: when a key was used last, and consent to identity checks.

-- When a request was last made with a key. A table of its own: what authenticates keys is never rewritten for it.
create table api_key_use (
    key_id uuid primary key references api_key,
    used_at timestamptz not null
) with (fillfactor = 50);

-- The consent of the person whose number is looked up, as the reseller's person has stated it on the page; written before anybody is
-- asked. client_reference: of the check. wording: the sentence that was agreed to.
create table identity_consent (
    reseller_id uuid not null,
    mode text not null check (mode in ('live', 'test')),
    client_reference text not null,
    person_id uuid not null,
    wording text not null,
    given_at timestamptz not null default clock_timestamp(),
    primary key (reseller_id, mode, client_reference)
);
create trigger identity_consent_is_insert_only before update or delete or truncate on identity_consent
    for each statement execute function refuse_change();

-- 'portal': a person, on a page.
alter table identity_access drop constraint identity_access_reader_kind_check;
alter table identity_access add constraint identity_access_reader_kind_check
    check (reader_kind in ('key', 'command line', 'portal')) not valid;
