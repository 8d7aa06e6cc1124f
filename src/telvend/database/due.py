"""Rows that are jobs: each has a `due_at`, and whoever works on one moves it ahead (its lease) and clears it when done.

The statement that claims is the same for every table, so it stands here. `for update skip locked` lets any number of
workers claim at once without meeting; a worker that dies leaves rows that become due again when their lease ends.
"""

from collections.abc import Sequence


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


def correct_jumped_clock_sql(table: str, *, written: Sequence[str] = ("updated_at",), also: str = "false") -> str:
    """SQL that corrects rows of `table` whose due time was set by a clock that has jumped.

    A row that was written in the future was written while the clock was ahead, or the clock has been set back since. How long it
    was to wait is kept, and counted from now. `written` names the columns that say when a row was written; `also` is a
    condition for rows that are due now whatever they say.
    """
    latest = f"greatest({', '.join(written)})"
    # Not `least`, which would make a time of null.
    clamped = ", ".join(f"{column} = case when {column} > now() then now() else {column} end" for column in written)
    return f"""
        update {table} set {clamped},
            due_at = case when {also} then now() else now() + greatest(due_at - {latest}, interval '0') end
        where due_at > now() + interval '{_CLOCK_SLACK}'
            and ({latest} > now() + interval '{_CLOCK_SLACK}' or {also})
    """


_CLOCK_SLACK = "5 seconds"
"""How far the clocks of two servers may be apart before it counts as a jump."""


def renew_sql(table: str) -> str:
    """SQL that keeps the leases of rows `$1` (bigint[]) for `$2` more seconds, where they are still held.

    A row that is no longer due in the future has been lost to somebody else, or is done; it is left alone.
    """
    return f"""
        update {table} set due_at = now() + make_interval(secs => $2)
        where id = any($1::bigint[]) and due_at > now()
        returning id
    """
