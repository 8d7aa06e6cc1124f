"""What must hold of the months that are closed, for `telvend report months --check`.

They are not part of the audit, which reads rows that have changed: these read every closed month and its transfers.
"""

from typing import Final

from telvend.database.invariants import Invariant

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
)
