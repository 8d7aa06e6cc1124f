"""What must hold of batches and their vouchers."""

from typing import Final

from telvend.database.invariants import Invariant, Scope

INVARIANTS: Final = (
    Invariant(
        "every batch has as many vouchers as were issued",
        """
        select format('batch %s: %s issued, %s there', b.id, b.issued, coalesce(v.count, 0))
        from voucher_batch b left join (select batch_id, count(*) as count from voucher group by batch_id) v on v.batch_id = b.id
        where b.issued <> coalesce(v.count, 0) or (b.state = 'available' and b.issued <> b.count) limit 10""",
        Scope.BATCH,
    ),
)
