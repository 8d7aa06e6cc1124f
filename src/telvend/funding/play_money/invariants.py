"""What must hold between voids of play money, their fundings and the ledger."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import AccountKind, TransferKind
from telvend.wallets.model import TransactionKind

_OF_FUNDING: Final = (
    f"a.kind = '{AccountKind.FUNDING}' and a.owner = f.gateway and a.currency = f.currency and a.mode = f.mode"
)

INVARIANTS: Final = (
    Invariant(
        "every void stands in the ledger with what it took and what was spent",
        f"""
        select format('void %s (%s): %s taken and %s written off in the ledger, it says %s and %s', v.id, v.reference,
                      coalesce(t.amount_minor, 0), coalesce(s.amount_minor, 0), v.taken_minor, v.spent_minor)
        from funding_void v join funding f on f.id = v.funding_id
        left join transfer t on t.cause = v.id and t.kind = {TransferKind.VOID}
        left join transfer s on s.cause = v.id and s.kind = {TransferKind.WRITE_OFF}
        where coalesce(t.amount_minor, 0) <> v.taken_minor or coalesce(s.amount_minor, 0) <> v.spent_minor
            or t.cause is not null and (t.wallet_id is distinct from f.wallet_id
                or t.debit <> f.wallet_id or t.wallet_balance_minor <> v.balance_after_minor
                or not exists (select from account a where a.id = t.credit and {_OF_FUNDING}))
            or s.cause is not null and (not exists (select from account a where a.id = s.credit and {_OF_FUNDING})
                or not exists (select from account a where a.id = s.debit and a.kind = '{AccountKind.LOSS}'))
            or v.position is distinct from (select x.position from wallet_transaction x
                where x.wallet_id = v.wallet_id and x.position = v.position and x.kind = '{TransactionKind.VOID}' and x.id = v.id)
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "nothing else was voided or written off",
        f"""
        select format('transfer %s of %s under cause %s', t.kind, t.amount_minor, t.cause)
        from transfer t where t.kind in ({TransferKind.VOID}, {TransferKind.WRITE_OFF})
            and not exists (select from funding_void v where v.id = t.cause) limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "only what a pretending gateway put into a live wallet was voided, and not more",
        """
        select format('funding %s (%s) of %s: %s voided', f.id, f.reference, f.amount_minor, v.minor)
        from (select funding_id, sum(taken_minor + spent_minor) as minor from funding_void group by funding_id) v
        join funding f on f.id = v.funding_id
        where f.mode <> 'live' or f.state <> 'completed' or not coalesce(f.pretended, f.gateway = 'sandbox')
            or v.minor > f.amount_minor
        limit 10""",
        Scope.SALE,
    ),
)
