-- Figures of days by wallet: its sales, and how it changed. By both, lists of resellers are ranked and paged.

-- `sum` of bigint adds up in numeric. This one takes a third of the time for ten thousand wallets, and refuses what does not fit.
create aggregate sum_minor(bigint) (
    sfunc = int8pl, stype = bigint, initcond = '0', combinefunc = int8pl, parallel = safe
);

-- change_minor: by how much the wallet changed on this day, by `transfers` transfers: held_minor by holds, credited_minor by credits,
-- lent_minor by provisional credits less what was reversed of them, debited_minor by debits, voided_minor by voids; by releases and
-- refunds as by the figures of sales. What lists are ranked by stands in the key, which is read without the table.
create table report_day_wallet (
    day date not null,
    mode text not null,
    currency text not null,
    wallet_id bigint not null,
    change_minor bigint not null,
    transfers bigint not null,
    held_minor bigint not null,
    credited_minor bigint not null,
    lent_minor bigint not null,
    debited_minor bigint not null,
    voided_minor bigint not null,
    sold bigint not null,
    sold_minor bigint not null,
    failed bigint not null,
    released_minor bigint not null,
    cost_minor bigint not null,
    refunds bigint not null,
    refunded_minor bigint not null,
    written_off_minor bigint not null,
    primary key (day, mode, currency, wallet_id) include (sold_minor, change_minor)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);

-- Wallets as reports rank them.
create view report_wallet as
select account_id as wallet_id, reseller_id, currency, mode, balance_minor from wallet;
