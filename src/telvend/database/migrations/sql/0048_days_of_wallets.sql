-- Figures of days by wallet: how each wallet changed, beside its sales. By both, lists of resellers are ranked and paged.

-- `sum` of bigint adds up in numeric. This one takes a third of the time for ten thousand wallets, and refuses what does not fit.
create aggregate sum_minor(bigint) (
    sfunc = int8pl, stype = bigint, initcond = '0', combinefunc = int8pl, parallel = safe
);

-- Made anew, as everything in it is counted anew: what is added up of all wallets stands first. `change_minor`: by how much the wallet
-- changed on this day, by `transfers` transfers: `held_minor` by holds, `credited_minor` by credits, `lent_minor` by provisional credits
-- less what was reversed of them, `debited_minor` by debits, `voided_minor` by voids; by releases and refunds as by the figures of sales. The
-- version before writes those alone.
drop table report_day_reseller;
create table report_day_reseller (
    day date not null,
    wallet_id bigint not null,
    sold_minor bigint not null,
    change_minor bigint not null default 0,
    currency text not null default '',
    mode text not null default '',
    transfers bigint not null default 0,
    held_minor bigint not null default 0,
    credited_minor bigint not null default 0,
    lent_minor bigint not null default 0,
    debited_minor bigint not null default 0,
    voided_minor bigint not null default 0,
    sold bigint not null,
    failed bigint not null,
    released_minor bigint not null,
    cost_minor bigint not null,
    refunds bigint not null,
    refunded_minor bigint not null,
    written_off_minor bigint not null,
    primary key (day, wallet_id)
) with (fillfactor = 80);

-- Until when wallets are counted. The version before moves `counted_until` alone: where both differ, everything is counted anew.
alter table report_progress add column wallets_until timestamptz;
update report_progress set counted_until = null;

-- Wallets as reports rank them.
create view report_wallet as
select account_id as wallet_id, reseller_id, currency, mode, balance_minor from wallet;
