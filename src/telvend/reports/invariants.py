"""What must hold of the months that are closed, and of the days that are counted, for `telvend report months --check`.

They are not part of the audit, which reads rows that have changed: these read every closed month, every day and their transfers.
"""

from typing import Final

from telvend.database.invariants import Invariant
from telvend.ledger.model import AccountKind, TransferKind

_OF_WALLETS: Final = ", ".join(
    f"coalesce(sum(change_minor) filter (where kind in ({', '.join(str(int(kind)) for kind in kinds)})), 0)"
    for kinds in (
        (TransferKind.HOLD,),
        (TransferKind.RELEASE,),
        (TransferKind.CREDIT,),
        (TransferKind.REFUND,),
        (TransferKind.PROVISIONAL_CREDIT, TransferKind.REVERSAL),
        (TransferKind.DEBIT,),
        (TransferKind.VOID,),
    )
)

INVARIANTS: Final = (
    Invariant(
        "the figures of closed months are as they were sealed",
        """
        select format('%s was closed with digest %s, and has %s now', to_char(month, 'YYYY-MM'), left(digest, 12),
                      left(report_digest(month, zone, begins_at, ends_at, transfers), 12))
        from report_month where digest <> report_digest(month, zone, begins_at, ends_at, transfers) limit 10""",
    ),
    Invariant(
        "closed months moved in each account what the ledger says of their time",
        """
        select format('%s: account %s moved by %s, the ledger says %s', to_char(coalesce(s.month, l.month), 'YYYY-MM'),
                      coalesce(s.account_id, l.account_id), coalesce(s.minor, 0), coalesce(l.minor, 0))
        from (
            select month, account_id, sum(change_minor) as minor from report_movement group by month, account_id
        ) s full join (
            select t.month, side.id as account_id, sum(side.minor) as minor
            from (
                select m.month, t.debit, t.credit, sum(t.amount_minor) as minor
                from report_month m join report_transfer t on t.created_at >= m.begins_at and t.created_at < m.ends_at
                group by m.month, t.debit, t.credit
            ) t cross join lateral (values (t.credit, t.minor), (t.debit, -t.minor)) as side(id, minor)
            group by t.month, side.id
        ) l on l.month = s.month and l.account_id = s.account_id
        where coalesce(s.minor, 0) <> coalesce(l.minor, 0) limit 10""",
    ),
    Invariant(
        "the days that are counted moved in each account of the house, and in all wallets, what the ledger says of their time",
        """
        with progress as (select counted_until from report_progress where counted_until is not null)
        select format('%s %s %s %s, transfers of kind %s: the days moved %s with %s transfers, the ledger %s with %s',
                      coalesce(s.account_kind, l.account_kind), coalesce(s.owner, l.owner), coalesce(s.currency, l.currency),
                      coalesce(s.mode, l.mode), coalesce(s.kind, l.kind), coalesce(s.minor, 0), coalesce(s.transfers, 0),
                      coalesce(l.minor, 0), coalesce(l.transfers, 0))
        from (
            select account_kind, owner, currency, mode, kind, sum(transfers) as transfers, sum(change_minor) as minor
            from report_day_movement d
            where not exists (select from report_month m where d.day >= m.month and d.day < m.month + interval '1 month')
            group by 1, 2, 3, 4, 5
        ) s full join (
            select a.kind as account_kind, case a.kind when 'wallet' then '' else a.owner end as owner, a.currency, a.mode,
                t.kind, sum(t.transfers) as transfers, sum(side.minor) as minor
            from (
                select kind, debit, credit, count(*) as transfers, sum(amount_minor) as minor
                from report_transfer t join progress p on t.created_at < p.counted_until
                where not exists (select from report_month m where t.created_at >= m.begins_at and t.created_at < m.ends_at)
                group by 1, 2, 3
            ) t cross join lateral (values (t.credit, t.minor), (t.debit, -t.minor)) as side(id, minor)
            join report_account a on a.id = side.id
            group by 1, 2, 3, 4, 5
        ) l using (account_kind, owner, currency, mode, kind)
        where exists (select from progress)
            and (coalesce(s.minor, 0) <> coalesce(l.minor, 0) or coalesce(s.transfers, 0) <> coalesce(l.transfers, 0)) limit 10""",
    ),
    Invariant(
        "the sales of each day that is counted come to what its accounts moved, and to those of its resellers",
        f"""
        select format('%s %s %s: sold, released and cost are %s by the sales, %s by the resellers and %s by the accounts',
                      day, currency, mode, s.figures, r.figures, m.figures)
        from (
            select day, currency, mode, array[sum(sold_minor), sum(released_minor), sum(cost_minor)]::bigint[] as figures
            from report_day_sale group by 1, 2, 3
        ) s full join (
            select day, currency, mode, array[sum(sold_minor), sum(released_minor), sum(cost_minor)]::bigint[] as figures
            from report_day_wallet group by 1, 2, 3
        ) r using (day, currency, mode) full join (
            select day, currency, mode, array[
                coalesce(-sum(change_minor) filter (where account_kind = '{AccountKind.IN_FLIGHT}'
                    and kind in ({TransferKind.COST}, {TransferKind.MARGIN})), 0),
                coalesce(-sum(change_minor) filter (where account_kind = '{AccountKind.IN_FLIGHT}'
                    and kind = {TransferKind.RELEASE}), 0),
                coalesce(sum(change_minor) filter (where account_kind = '{AccountKind.PROVIDER}'), 0)
            ]::bigint[] as figures
            from report_day_movement group by 1, 2, 3
        ) m using (day, currency, mode)
        where coalesce(s.figures, '{{0,0,0}}') <> coalesce(m.figures, '{{0,0,0}}')
            or coalesce(s.figures, '{{0,0,0}}') <> coalesce(r.figures, '{{0,0,0}}') limit 10""",
    ),
    Invariant(
        "the days that are counted moved in each wallet what the ledger says of their time",
        """
        with progress as (select counted_until from report_progress where counted_until is not null)
        select format('wallet %s: the days moved %s with %s transfers, the ledger %s with %s', id, coalesce(s.minor, 0),
                      coalesce(s.transfers, 0), coalesce(l.minor, 0), coalesce(l.transfers, 0))
        from (
            select wallet_id as id, sum(change_minor) as minor, sum(transfers) as transfers
            from report_day_wallet d
            where not exists (select from report_month m where d.day >= m.month and d.day < m.month + interval '1 month')
            group by 1
        ) s full join (
            select side.id, sum(side.minor) as minor, sum(t.transfers) as transfers
            from (
                select debit, credit, count(*) as transfers, sum(amount_minor) as minor
                from report_transfer t join progress p on t.created_at < p.counted_until
                where not exists (select from report_month m where t.created_at >= m.begins_at and t.created_at < m.ends_at)
                group by 1, 2
            ) t cross join lateral (values (t.credit, t.minor), (t.debit, -t.minor)) as side(id, minor)
            join report_wallet w on w.wallet_id = side.id
            group by 1
        ) l using (id)
        where exists (select from progress)
            and (coalesce(s.minor, 0) <> coalesce(l.minor, 0) or coalesce(s.transfers, 0) <> coalesce(l.transfers, 0)) limit 10""",
    ),
    Invariant(
        "each day that is counted moved in its wallets, by kinds of transfers, what it moved in all of them together",
        f"""
        select format('%s %s %s: wallets moved %s one by one, and %s together', day, currency, mode, r.figures, m.figures)
        from (
            select day, currency, mode, array[
                -sum(held_minor), sum(released_minor), sum(credited_minor), sum(refunded_minor), sum(lent_minor), -sum(debited_minor),
                -sum(voided_minor)
            ]::bigint[] as figures
            from report_day_wallet group by 1, 2, 3
        ) r full join (
            select day, currency, mode, array[{_OF_WALLETS}]::bigint[] as figures
            from report_day_movement where account_kind = '{AccountKind.WALLET}' group by 1, 2, 3
        ) m using (day, currency, mode)
        where coalesce(r.figures, '{{0,0,0,0,0,0,0}}') <> coalesce(m.figures, '{{0,0,0,0,0,0,0}}') limit 10""",
    ),
)
