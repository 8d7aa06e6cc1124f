-- Figures of days by wallet: how each wallet changed, beside its sales. By both, lists of resellers are ranked and paged.

-- `transfers`: how many moved the wallet on this day. By kinds of transfers: `held_minor` by holds, `credited_minor` by credits,
-- `lent_minor` by provisional credits less what was reversed of them, `debited_minor` by debits, `voided_minor` by voids. Releases and
-- refunds are `released_minor` and `refunded_minor`.
alter table report_day_reseller
    add column transfers bigint not null default 0,
    add column held_minor bigint not null default 0,
    add column credited_minor bigint not null default 0,
    add column lent_minor bigint not null default 0,
    add column debited_minor bigint not null default 0,
    add column voided_minor bigint not null default 0;

-- Until when wallets are counted. The version before moves `counted_until` alone: where both differ, everything is counted anew.
alter table report_progress add column wallets_until timestamptz;

-- Wallets as reports rank them.
create view report_wallet as
select account_id as wallet_id, reseller_id, currency, mode, balance_minor from wallet;
