"""What must hold between claims, and the credits and fundings that they were settled by."""

from typing import Final

from telvend.database.invariants import Invariant, Scope

INVARIANTS: Final = (
    Invariant(
        "every claim that was credited has its own credit or funding, with what was paid",
        """
        select format('claim %s of payment %s at %s is credited, and nothing of it stands in a wallet', c.id, c.reference, c.gateway)
        from funding_claim c
        left join funding f on f.id = c.cause and f.reference = c.funding and f.reseller_id = c.reseller_id
            and f.state = 'completed' and f.mode = 'live'
        left join wallet_credit k on k.id = c.cause and c.funding is null and k.reference = c.reference
            and k.amount_minor = c.paid_minor
        left join wallet w on w.account_id = k.wallet_id and w.reseller_id = c.reseller_id and w.mode = 'live'
            and w.currency = c.currency
        where c.cause is not null and f.id is null and w.account_id is null
        limit 10""",
        Scope.SALE,
    ),
)
