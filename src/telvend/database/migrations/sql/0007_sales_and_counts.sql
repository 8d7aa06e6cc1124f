-- What all sales have in common, as one view; and counts of a wallet's transactions, for pages of any filter.

-- Whatever is sold holds money and may stand under a caller's reference, which is one namespace for everything that the caller
-- buys. Who sells something new adds its table here, so that no room has to look into another one's. kind: as in
-- wallet_transaction. holds_reference: the reference is taken by it. may_lose: it may have cost more than it brought.
create view sale as
select 'o'::"char" as kind, id, reseller_id, dialect, mode, client_reference, true as holds_reference, currency, price_minor,
    state not in ('delivered', 'failed') as open, state = 'delivered' as may_lose
from orders
union all
select 'v'::"char", id, reseller_id, dialect, mode, client_reference, state <> 'unavailable', currency, price_minor,
    state = 'asking', true
from verification
union all
select 'r'::"char", id, reseller_id, dialect, mode, transaction_id, true, currency, amount_minor, false, false
from refill where wallet_id is not null;

-- How many transactions of each 1,024 positions of a wallet brought money in, and how many have failed. So a page of any filter
-- is found by adding up a few thousand small rows, whatever the wallet is full of, and no row of the list is read for it.
-- block: position >> 10. A block in which nothing came in and nothing failed has no row, so that a plain sale costs nothing.
create table wallet_block (
    wallet_id bigint not null,
    block bigint not null,
    credits integer not null default 0 check (credits >= 0),
    failed integer not null default 0 check (failed >= 0),
    failed_credits integer not null default 0 check (failed_credits >= 0),
    primary key (wallet_id, block)
) with (fillfactor = 70);

-- Counted by the database, since the version before knows nothing of it and may still be selling. Whoever writes these tables
-- holds the lock on the wallet, so that nobody waits here.
create function count_wallet_credit() returns trigger language plpgsql as $$
begin
    insert into wallet_block as b (wallet_id, block, credits) values (new.wallet_id, new.position >> 10, 1)
    on conflict (wallet_id, block) do update set credits = b.credits + 1;
    return null;
end $$;

create function count_wallet_failed() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into wallet_block as b (wallet_id, block, failed, failed_credits)
        select wallet_id, position >> 10, count(*), count(*) filter (where credit) from changed group by 1, 2 order by 1, 2
        on conflict (wallet_id, block) do update
            set failed = b.failed + excluded.failed, failed_credits = b.failed_credits + excluded.failed_credits;
    else
        update wallet_block b set failed = b.failed - c.failed, failed_credits = b.failed_credits - c.failed_credits
        from (
            select wallet_id, position >> 10 as block, count(*) as failed, count(*) filter (where credit) as failed_credits
            from changed group by 1, 2
        ) c
        where b.wallet_id = c.wallet_id and b.block = c.block;
    end if;
    return null;
end $$;

create trigger wallet_transaction_counts after insert on wallet_transaction
    for each row when (new.credit) execute function count_wallet_credit();
create trigger wallet_failed_counts after insert on wallet_failed
    referencing new table as changed for each statement execute function count_wallet_failed();
create trigger wallet_failed_counts_back after delete on wallet_failed
    referencing old table as changed for each statement execute function count_wallet_failed();

insert into wallet_block (wallet_id, block, credits, failed, failed_credits)
select wallet_id, block, sum(credits), sum(failed), sum(failed_credits)
from (
    select wallet_id, position >> 10 as block, 1 as credits, 0 as failed, 0 as failed_credits
    from wallet_transaction where credit
    union all
    select wallet_id, position >> 10, 0, 1, case when credit then 1 else 0 end from wallet_failed
) as counted
group by wallet_id, block;
