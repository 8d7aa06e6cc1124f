"""What must hold between consumptions, reservations and what was taken for them."""

from typing import Final

from telvend.database.invariants import Invariant, Scope

INVARIANTS: Final = (
    Invariant(
        "what was consumed under a reference was taken once",
        """
        select format('%s of %s consumed under %s, %s taken', coalesce(c.amount, 0), coalesce(c.kind, p.kind),
                      coalesce(c.reference, p.cause), coalesce(p.sum, 0))
        from consumption c full join (
            select b.subscriber_id, p.cause, min(b.kind) as kind, -sum(p.change) as sum
            from bucket_posting p join bucket b on b.id = p.bucket_id where p.kind = 'consume'
            group by b.subscriber_id, p.cause
        ) p on p.subscriber_id = c.subscriber_id and p.cause = c.reference
        where coalesce(c.amount, 0) <> coalesce(p.sum, 0) or c.kind <> p.kind limit 10""",
        Scope.GIVEN,
    ),
    Invariant(
        "a reservation keeps what it says, and what was captured was taken once",
        """
        select format('reservation %s of subscriber %s (%s): %s in parts of %s, %s taken of %s captured', r.reference,
                      r.subscriber_id, r.state, coalesce(k.sum, 0), r.amount, coalesce(p.sum, 0), r.captured)
        from reservation r
        left join (
            select reservation_id, sum(amount) as sum from reservation_part group by reservation_id
        ) k on k.reservation_id = r.id
        full join (
            select b.subscriber_id, p.cause, -sum(p.change) as sum
            from bucket_posting p join bucket b on b.id = p.bucket_id where p.kind = 'capture'
            group by b.subscriber_id, p.cause
        ) p on p.subscriber_id = r.subscriber_id and p.cause = r.reference
        where r.id is null or r.amount <> coalesce(k.sum, 0) or r.captured <> coalesce(p.sum, 0) limit 10""",
        Scope.GIVEN,
    ),
)
