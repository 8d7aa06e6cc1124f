"""What must hold between proposals and their deeds.

Only proposals can be checked: the limits are settings and are not stored, so it cannot be decided afterwards whether a deed
without a proposal needed one.
"""

from typing import Final

from telvend.approvals.model import ActKind, ProposalState
from telvend.database.invariants import Invariant, Scope

INVARIANTS: Final = (
    Invariant(
        "every confirmed proposal was confirmed by another person, and has exactly its deed",
        f"""
        select format('proposal %s (%s of %s %s in wallet %s) of %s was confirmed by %s: its deed would be %s', e.proposal_id,
                      p.kind, p.amount_minor, p.currency, p.wallet_id, p.proposed_by, e.ended_by, e.cause)
        from proposal_end e left join proposal p on p.id = e.proposal_id
        where e.state = '{ProposalState.CONFIRMED}' and (p.id is null or e.who = p.who
            or e.ended_at > p.expires_at + interval '1 minute'
            or exists (select from proposal_end o where o.cause = e.cause and o.proposal_id <> e.proposal_id)
            or not case p.kind
                when '{ActKind.CREDIT}' then exists (select from wallet_credit d where d.id = e.cause
                    and d.wallet_id = p.wallet_id and d.amount_minor = p.amount_minor and d.reference = p.reference)
                when '{ActKind.DEBIT}' then exists (select from wallet_debit d where d.id = e.cause
                    and d.wallet_id = p.wallet_id and d.amount_minor = p.amount_minor and d.reference = p.reference)
                when '{ActKind.REFUND}' then exists (select from order_refund d where d.id = e.cause
                    and d.wallet_id = p.wallet_id and d.amount_minor = p.amount_minor and d.order_id = p.order_id)
                when '{ActKind.PROVISIONAL_CREDIT}' then exists (select from provisional_credit d where d.id = e.cause
                    and d.wallet_id = p.wallet_id and d.amount_minor = p.amount_minor and d.order_id = p.order_id)
                else exists (select from orders o where o.id = e.cause and o.id = p.order_id and o.wallet_id = p.wallet_id
                    and o.price_minor = p.amount_minor and o.state = p.kind)
            end)
        limit 10""",
        Scope.SALE,
    ),
)
