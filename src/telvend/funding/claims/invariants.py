"""What must hold between claims, and the credits and fundings that they were settled by."""

from typing import Final

from telvend.database.invariants import Invariant

INVARIANTS: Final = (
    Invariant(
        "every claim that was credited has its own credit or funding, with what was paid",
        """
        select format('claim %s of payment %s at %s is credited, and nothing of it stands in a wallet', c.id, c.reference, c.gateway)
        from funding_claim c
        where c.state = 'credited' and c.funding is null and not exists (
                select from wallet w join wallet_credit k on k.wallet_id = w.account_id
                where w.reseller_id = c.reseller_id and w.mode = 'live' and w.currency = c.currency
                    and k.reference = c.reference and k.amount_minor = c.paid_minor)
            or c.state = 'credited' and c.funding is not null and not exists (
                select from funding f where f.id = split_part(c.funding, '-', 2)::bigint and f.reference = c.funding
                    and f.reseller_id = c.reseller_id and f.state = 'completed' and f.mode = 'live')
        limit 10""",
    ),
)
