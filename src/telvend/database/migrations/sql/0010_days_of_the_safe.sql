-- Days of the safe: what is wrapped for a day opens no more once a purge has moved the master key past it.

-- first_day: nothing is wrapped for an earlier day from now on. purged_day: the last day that something was purged of.
-- destroyed_before: every node forgets the keys of earlier days. All three mean nothing for a key without days.
alter table identity_master
    add column first_day integer not null default 0,
    add column purged_day integer,
    add column destroyed_before integer;

-- The day that wrapped_key and number_hash of the check belong to; null where the key knows no days.
alter table identity_sealed add column day integer;

-- Pictures of resellers are found by a random name, and every new picture gets a new one, also from the version before.
alter table reseller add column avatar_token text;
update reseller set avatar_token = replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '') where avatar is not null;
create unique index reseller_avatar_token on reseller (avatar_token) where avatar_token is not null;

create function reseller_new_avatar_token() returns trigger language plpgsql as $$
begin
    new.avatar_token := case when new.avatar is not null
        then replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '') end;
    return new;
end $$;
create trigger reseller_new_avatar before insert or update of avatar on reseller
    for each row execute function reseller_new_avatar_token();
