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

create trigger orders_removal after delete on orders
    for each row execute function note_removal('id');
create trigger orders_emptied after truncate on orders
    for each statement execute function note_removal();
alter table orders enable always trigger orders_removal, enable always trigger orders_emptied;
create trigger verification_removal after delete on verification
    for each row execute function note_removal('id');
create trigger verification_emptied after truncate on verification
    for each statement execute function note_removal();
alter table verification enable always trigger verification_removal, enable always trigger verification_emptied;
create trigger identity_sealed_removal after delete on identity_sealed
    for each row execute function note_removal('id');
create trigger identity_sealed_emptied after truncate on identity_sealed
    for each statement execute function note_removal();
alter table identity_sealed enable always trigger identity_sealed_removal, enable always trigger identity_sealed_emptied;
create trigger funding_removal after delete on funding
    for each row execute function note_removal('id');
create trigger funding_emptied after truncate on funding
    for each statement execute function note_removal();
alter table funding enable always trigger funding_removal, enable always trigger funding_emptied;
create trigger wallet_failed_removal after delete or update of wallet_id, position on wallet_failed
    for each row execute function note_removal('wallet_id', 'position');
create trigger wallet_failed_emptied after truncate on wallet_failed
    for each statement execute function note_removal();
alter table wallet_failed enable always trigger wallet_failed_removal, enable always trigger wallet_failed_emptied;
create trigger wallet_block_removal after delete on wallet_block
    for each row execute function note_removal('wallet_id', 'block');
create trigger wallet_block_emptied after truncate on wallet_block
    for each statement execute function note_removal();
alter table wallet_block enable always trigger wallet_block_removal, enable always trigger wallet_block_emptied;
create trigger subscriber_removal after delete on subscriber
    for each row execute function note_removal('id');
create trigger subscriber_emptied after truncate on subscriber
    for each statement execute function note_removal();
alter table subscriber enable always trigger subscriber_removal, enable always trigger subscriber_emptied;
create trigger bucket_removal after delete or update of subscriber_id on bucket
    for each row execute function note_removal('id');
create trigger bucket_emptied after truncate on bucket
    for each statement execute function note_removal();
alter table bucket enable always trigger bucket_removal, enable always trigger bucket_emptied;
create trigger reservation_removal after delete on reservation
    for each row execute function note_removal('id');
create trigger reservation_emptied after truncate on reservation
    for each statement execute function note_removal();
alter table reservation enable always trigger reservation_removal, enable always trigger reservation_emptied;
-- A reference that is claimed and given back in one transaction has given nothing: `now()` is the transaction's.
create trigger network_delivery_removal after delete on network_delivery
    for each row when (old.created_at <> now()) execute function note_removal('reference');
create trigger network_delivery_emptied after truncate on network_delivery
    for each statement execute function note_removal();
alter table network_delivery enable always trigger network_delivery_removal, enable always trigger network_delivery_emptied;
create trigger voucher_removal after delete on voucher
    for each row execute function note_removal('serial');
create trigger voucher_emptied after truncate on voucher
    for each statement execute function note_removal();
alter table voucher enable always trigger voucher_removal, enable always trigger voucher_emptied;
create trigger voucher_batch_removal after delete on voucher_batch
    for each row execute function note_removal('id');
create trigger voucher_batch_emptied after truncate on voucher_batch
    for each statement execute function note_removal();
alter table voucher_batch enable always trigger voucher_batch_removal, enable always trigger voucher_batch_emptied;
create trigger account_removal after delete or update on account
    for each row execute function note_removal('id');
create trigger account_emptied after truncate on account
    for each statement execute function note_removal();
alter table account enable always trigger account_removal, enable always trigger account_emptied;
create trigger transfer_removal after delete or update on transfer
    for each row execute function note_removal('cause', 'kind');
create trigger transfer_emptied after truncate on transfer
    for each statement execute function note_removal();
alter table transfer enable always trigger transfer_removal, enable always trigger transfer_emptied;
create trigger wallet_transaction_removal after delete or update on wallet_transaction
    for each row execute function note_removal('wallet_id', 'position');
create trigger wallet_transaction_emptied after truncate on wallet_transaction
    for each statement execute function note_removal();
alter table wallet_transaction enable always trigger wallet_transaction_removal, enable always trigger wallet_transaction_emptied;
create trigger wallet_credit_removal after delete or update on wallet_credit
    for each row execute function note_removal('id');
create trigger wallet_credit_emptied after truncate on wallet_credit
    for each statement execute function note_removal();
alter table wallet_credit enable always trigger wallet_credit_removal, enable always trigger wallet_credit_emptied;
create trigger wallet_debit_removal after delete or update on wallet_debit
    for each row execute function note_removal('id');
create trigger wallet_debit_emptied after truncate on wallet_debit
    for each statement execute function note_removal();
alter table wallet_debit enable always trigger wallet_debit_removal, enable always trigger wallet_debit_emptied;
create trigger order_refund_removal after delete or update on order_refund
    for each row execute function note_removal('id');
create trigger order_refund_emptied after truncate on order_refund
    for each statement execute function note_removal();
alter table order_refund enable always trigger order_refund_removal, enable always trigger order_refund_emptied;
create trigger funding_void_removal after delete or update on funding_void
    for each row execute function note_removal('id');
create trigger funding_void_emptied after truncate on funding_void
    for each statement execute function note_removal();
alter table funding_void enable always trigger funding_void_removal, enable always trigger funding_void_emptied;
create trigger refill_removal after delete or update on refill
    for each row execute function note_removal('id');
create trigger refill_emptied after truncate on refill
    for each statement execute function note_removal();
alter table refill enable always trigger refill_removal, enable always trigger refill_emptied;
create trigger bucket_posting_removal after delete or update on bucket_posting
    for each row execute function note_removal('bucket_id', 'number');
create trigger bucket_posting_emptied after truncate on bucket_posting
    for each statement execute function note_removal();
alter table bucket_posting enable always trigger bucket_posting_removal, enable always trigger bucket_posting_emptied;
create trigger consumption_removal after delete or update on consumption
    for each row execute function note_removal('subscriber_id', 'reference');
create trigger consumption_emptied after truncate on consumption
    for each statement execute function note_removal();
alter table consumption enable always trigger consumption_removal, enable always trigger consumption_emptied;
create trigger reservation_part_removal after delete or update on reservation_part
    for each row execute function note_removal('reservation_id', 'place');
create trigger reservation_part_emptied after truncate on reservation_part
    for each statement execute function note_removal();
alter table reservation_part enable always trigger reservation_part_removal, enable always trigger reservation_part_emptied;
