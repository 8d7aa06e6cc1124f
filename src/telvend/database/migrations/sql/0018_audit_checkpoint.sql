-- An audit that takes up from a checkpoint.
--
-- A row that was written or changed since is known by the transaction that did so (its xmin); one that was removed leaves nothing
-- behind. So removals are noted here, and of tables whose rows never change each change too: none of these triggers fires when a
-- sale is made or ends.

-- Where the last audit that found nothing stopped, one row for each key that seals (a key for each data directory).
-- body: JSON; seal: its HMAC. telvend/audit/checkpoint.py.
create table audit_checkpoint (
    key_id text primary key,
    body text not null,
    seal bytea not null,
    sealed_at timestamptz not null default clock_timestamp()
);

-- Rows that were removed, or moved to another owner: their keys, and nothing else of them. Null: the table was emptied.
create table audit_removal (
    number bigint generated always as identity,    -- counted only, and never looked up
    source text not null,
    key jsonb,
    removed_at timestamptz not null default now()
);
create trigger audit_removal_is_insert_only before update or delete or truncate on audit_removal
    for each statement execute function refuse_change();

-- The arguments are the columns of the key. `enable always`: also for whoever writes as a replica does.
create function note_removal() returns trigger language plpgsql as $$
begin
    if tg_op = 'TRUNCATE' then
        insert into audit_removal (source) values (tg_table_name);
    else
        insert into audit_removal (source, key)
        select tg_table_name, jsonb_object_agg(name, to_jsonb(old) -> name) from unnest(tg_argv) as name;
    end if;
    return null;
end $$;

do $$
declare
    guarded record;
begin
    for guarded in select * from (values
        ('orders', 'delete', '', 'id'),
        ('verification', 'delete', '', 'id'),
        ('identity_sealed', 'delete', '', 'id'),
        ('funding', 'delete', '', 'id'),
        ('wallet_failed', 'delete or update of wallet_id, position', '', 'wallet_id, position'),
        ('wallet_block', 'delete', '', 'wallet_id, block'),
        ('subscriber', 'delete', '', 'id'),
        ('bucket', 'delete or update of subscriber_id', '', 'id'),
        ('reservation', 'delete', '', 'id'),
        -- A reference that is claimed and given back in one transaction has given nothing: `now()` is the transaction's.
        ('network_delivery', 'delete', 'when (old.created_at <> now())', 'reference'),
        ('voucher', 'delete', '', 'serial'),
        ('voucher_batch', 'delete', '', 'id'),
        ('account', 'delete or update', '', 'id'),
        ('transfer', 'delete or update', '', 'cause, kind'),
        ('wallet_transaction', 'delete or update', '', 'wallet_id, position'),
        ('wallet_credit', 'delete or update', '', 'id'),
        ('wallet_debit', 'delete or update', '', 'id'),
        ('order_refund', 'delete or update', '', 'id'),
        ('funding_void', 'delete or update', '', 'id'),
        ('refill', 'delete or update', '', 'id'),
        ('bucket_posting', 'delete or update', '', 'bucket_id, number'),
        ('consumption', 'delete or update', '', 'subscriber_id, reference'),
        ('reservation_part', 'delete or update', '', 'reservation_id, place')
    ) as listed (name, events, condition, key) loop
        execute format('create trigger %1$I after %2$s on %3$I for each row %4$s execute function note_removal(%5$s)',
                       guarded.name || '_removal', guarded.events, guarded.name, guarded.condition, guarded.key);
        execute format('create trigger %1$I after truncate on %2$I for each statement execute function note_removal()',
                       guarded.name || '_emptied', guarded.name);
        execute format('alter table %1$I enable always trigger %2$I, enable always trigger %3$I',
                       guarded.name, guarded.name || '_removal', guarded.name || '_emptied');
    end loop;
end $$;
