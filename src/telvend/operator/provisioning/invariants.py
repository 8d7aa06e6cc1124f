"""What must hold between deliveries and what they gave."""

from typing import Final

from telvend.database.invariants import Invariant, Scope

INVARIANTS: Final = (
    Invariant(
        "a delivery gave each of its parts once, and nothing was given without one",
        """
        select format('delivery %s is %s with %s parts, %s were given', coalesce(d.reference, p.cause),
                      coalesce(d.state, 'not there'), coalesce(d.parts, 0), coalesce(p.count, 0))
        from network_delivery d full join (
            select b.subscriber_id, p.cause, count(*) as count
            from bucket_posting p join bucket b on b.id = p.bucket_id where p.kind = 'grant'
            group by b.subscriber_id, p.cause
        ) p on p.cause = d.reference and p.subscriber_id = d.subscriber_id
        where coalesce(d.parts, 0) <> coalesce(p.count, 0) or (coalesce(d.parts, 0) > 0 and d.state <> 'delivered')
        limit 10""",
        Scope.GIVEN,
    ),
)
