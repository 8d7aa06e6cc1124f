"""Rows that are jobs: each has a `due_at`, and whoever works on one moves it ahead (its lease) and clears it when done.

The statement that claims is the same for every table, so it stands here. `for update skip locked` lets any number of
workers claim at once without meeting; a worker that dies leaves rows that become due again when their lease ends.
"""


def claim_sql(table: str, returning: str, assignments: str, condition: str = "true") -> str:
    """SQL that claims up to `$1` due rows of `table` for `$2` seconds (double precision), oldest first.

    `assignments` says what else changes on a claimed row (`state = 'delivering'`), `condition` which due rows count.
    The row as it was before is `before`, as it is after is `claimed`; `returning` may use both.
    """
    return f"""
        with before as materialized (
            select * from {table}
            where due_at <= now() and {condition}
            order by due_at
            limit $1
            for no key update skip locked
        )
        update {table} as claimed
        set due_at = now() + make_interval(secs => $2), {assignments}
        from before
        where claimed.id = before.id
        returning {returning}
    """


def renew_sql(table: str) -> str:
    """SQL that keeps the leases of rows `$1` (bigint[]) for `$2` more seconds, where they are still held.

    A row that is no longer due in the future has been lost to somebody else, or is done; it is left alone.
    """
    return f"""
        update {table} set due_at = now() + make_interval(secs => $2)
        where id = any($1::bigint[]) and due_at > now()
        returning id
    """
