"""What must hold of subscribers' buckets: what was posted to them, and what is reserved of them."""

from typing import Final

from telvend.database.invariants import Invariant, Scope

INVARIANTS: Final = (
    Invariant(
        "what a bucket holds is the sum of its postings",
        """
        select format('bucket %s of subscriber %s holds %s, its postings add up to %s', b.id, b.subscriber_id, b.balance,
                      coalesce(p.sum, 0))
        from bucket b left join (
            select bucket_id, sum(change) as sum from bucket_posting group by bucket_id
        ) p on p.bucket_id = b.id
        where b.balance <> coalesce(p.sum, 0) limit 10""",
        Scope.BUCKET,
    ),
    Invariant(
        "postings of a bucket have no gaps",
        """
        select format('bucket %s has %s postings, %s are there, from %s to %s', coalesce(b.id, p.bucket_id), b.postings,
                      coalesce(p.count, 0), p.first, p.last)
        from bucket b full join (
            select bucket_id, count(*) as count, min(number) as first, max(number) as last
            from bucket_posting group by bucket_id
        ) p on p.bucket_id = b.id
        where b.id is null or b.postings <> coalesce(p.count, 0) or b.postings <> coalesce(p.last, 0)
           or coalesce(p.first, 1) <> 1
        limit 10""",
        Scope.BUCKET,
    ),
    Invariant(
        "what a bucket holds after each posting follows from the one before",
        """
        select format('bucket %s, posting %s: %s after %s', bucket_id, number, balance_after, before)
        from (
            select bucket_id, number, balance_after, change,
                   lag(balance_after, 1, 0::bigint) over (partition by bucket_id order by number) as before
            from bucket_posting
        ) p where balance_after <> before + change limit 10""",
        Scope.BUCKET,
    ),
    Invariant(
        "what is reserved of a bucket is what reservations keep of it",
        """
        select format('%s reserved of bucket %s, reservations keep %s', coalesce(b.reserved, 0),
                      coalesce(b.id, r.bucket_id), coalesce(r.sum, 0))
        from (select id, reserved from bucket where reserved > 0) b full join (
            select p.bucket_id, sum(p.amount) as sum
            from reservation r join reservation_part p on p.reservation_id = r.id where r.state = 'held'
            group by p.bucket_id
        ) r on r.bucket_id = b.id
        where coalesce(b.reserved, 0) <> coalesce(r.sum, 0) limit 10""",
        Scope.RESERVED,
    ),
    Invariant(
        "a closed bucket holds nothing, an open one something",
        """
        select format('bucket %s is %s and holds %s', id, case when open then 'open' else 'closed' end, balance)
        from bucket where open <> (balance > 0 or main or kind = 'momo') limit 10""",
        Scope.BUCKET,
    ),
    Invariant(
        "every bucket is a subscriber's",
        """
        select format('bucket %s belongs to subscriber %s, who is not there', b.id, b.subscriber_id)
        from bucket b left join subscriber s on s.id = b.subscriber_id where s.id is null limit 10""",
        Scope.BUCKET,
    ),
)
