"""What must hold between provisional credits, late reports, their orders and the ledger."""

from typing import Final

from telvend.database.invariants import Invariant, Scope
from telvend.ledger.model import AccountKind, TransferKind
from telvend.wallets.model import TransactionKind

_CREDITS: Final = f"({TransferKind.PROVISIONAL_CREDIT}, {TransferKind.REVERSAL}, {TransferKind.CREDIT_WRITE_OFF})"
_LATE: Final = f"({TransferKind.LATE_COST}, {TransferKind.LATE_RETURN})"


def _account(id_: str, kind: AccountKind, owner: str = "''") -> str:
    """SQL: whether the account with this id is the house's one of a kind, in the currency and mode of the order `o`."""
    return (
        f"exists (select from account a where a.id = {id_} and a.kind = '{kind}' and a.owner = {owner}"
        " and a.currency = o.currency and a.mode = o.mode)"
    )


INVARIANTS: Final = (
    Invariant(
        "every provisional credit lends the price of one live order to its wallet, and no other",
        f"""
        select format('provisional credit %s (%s) of order %s: it says %s, the ledger %s, the price %s', coalesce(c.id, t.cause),
                      c.our_reference, c.order_id, coalesce(c.amount_minor, 0), coalesce(t.amount_minor, 0),
                      coalesce(o.price_minor, 0))
        from provisional_credit c
        full join (select * from transfer where kind = {TransferKind.PROVISIONAL_CREDIT}) t on t.cause = c.id
        left join orders o on o.id = c.order_id
        where c.id is null or t.cause is null or o.id is null or o.mode <> 'live' or c.amount_minor <> o.price_minor
            or t.amount_minor <> c.amount_minor or c.wallet_id <> o.wallet_id
            or t.wallet_id is distinct from c.wallet_id or t.credit <> c.wallet_id
            or not {_account("t.debit", AccountKind.PROVISIONAL_CREDIT)}
            or not exists (select from wallet_transaction x where x.wallet_id = c.wallet_id and x.position = c.position
                and x.kind = '{TransactionKind.PROVISIONAL_CREDIT}' and x.id = c.id and x.credit)
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "a provisional credit is open as long as its order, reversed if that has failed, and written off if it was delivered",
        """
        select format('order %s (%s) is %s, its provisional credit %s is %s', o.id, o.reference, o.state, c.id, o.provisional)
        from orders o left join provisional_credit c on c.order_id = o.id
        where o.provisional is distinct from case when c.id is null then null when o.state = 'failed' then 'reversed'
            when o.state = 'delivered' then 'written_off' else 'open' end
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "no order has two provisional credits",
        """
        select format('order %s has %s provisional credits', order_id, count(*)) from provisional_credit group by order_id
        having count(*) > 1 limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every provisional credit of a failed order was taken back from its wallet, and no other",
        f"""
        select format('reversal %s (%s) of provisional credit %s: it says %s, the ledger %s', coalesce(r.id, t.cause),
                      r.our_reference, c.id, coalesce(r.amount_minor, 0), coalesce(t.amount_minor, 0))
        from (select c.*, o.state, o.currency, o.mode from provisional_credit c join orders o on o.id = c.order_id) c
        full join provisional_reversal r on r.credit_id = c.id
        full join (select * from transfer where kind = {TransferKind.REVERSAL}) t on t.cause = r.id
        left join orders o on o.id = c.order_id
        where not (c.state <> 'failed' and r.id is null and t.cause is null) and (c.id is null or r.id is null or t.cause is null
            or c.state <> 'failed' or r.amount_minor <> c.amount_minor or t.amount_minor <> c.amount_minor
            or r.wallet_id <> c.wallet_id or r.order_id <> c.order_id or t.wallet_id is distinct from c.wallet_id
            or t.debit <> c.wallet_id or not {_account("t.credit", AccountKind.PROVISIONAL_CREDIT)}
            or not exists (select from wallet_transaction x where x.wallet_id = r.wallet_id and x.position = r.position
                and x.kind = '{TransactionKind.REVERSAL}' and x.id = r.id and not x.credit))
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "every provisional credit of a delivered order was written off, and no other",
        f"""
        select format('provisional credit %s of %s: %s written off, its order is %s', coalesce(c.id, t.cause),
                      coalesce(c.amount_minor, 0), coalesce(t.amount_minor, 0), o.state)
        from provisional_credit c
        full join (select * from transfer where kind = {TransferKind.CREDIT_WRITE_OFF}) t on t.cause = c.id
        left join orders o on o.id = c.order_id
        where c.id is null or (o.state = 'delivered') <> (t.cause is not null)
            or t.cause is not null and (t.amount_minor <> c.amount_minor
                or not {_account("t.debit", AccountKind.WRITE_OFF)}
                or not {_account("t.credit", AccountKind.PROVISIONAL_CREDIT)})
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "the account of provisional credits comes to those that are open",
        f"""
        select format('%s %s lent to wallets, open provisional credits come to %s', coalesce(a.minor, 0),
                      coalesce(a.currency, c.currency), coalesce(c.minor, 0))
        from (
            select account.currency, account.mode, sum(case when t.debit = account.id then t.amount_minor
                                                            else -t.amount_minor end) as minor
            from account join transfer t on account.id in (t.credit, t.debit)
            where account.kind = '{AccountKind.PROVISIONAL_CREDIT}' group by account.currency, account.mode
        ) a full join (
            select o.currency, o.mode, sum(c.amount_minor) as minor from provisional_credit c join orders o on o.id = c.order_id
            where o.provisional = 'open' group by o.currency, o.mode
        ) c on c.currency = a.currency and c.mode = a.mode
        where coalesce(a.minor, 0) <> coalesce(c.minor, 0)""",
        Scope.SALE,
    ),
    Invariant(
        "what a provider says against a person is a write-off, once for each attempt, and no other",
        f"""
        select format('late report %s of order %s: it says %s, the ledger %s', coalesce(l.id, t.cause), l.order_id,
                      coalesce(l.amount_minor, 0), coalesce(t.amount_minor, 0))
        from late_report l
        full join (select * from transfer where kind in {_LATE}) t on t.cause = l.id
        left join orders o on o.id = l.order_id
        left join attempt a on a.order_id = l.order_id and a.number = l.attempt
        where l.id is null or o.id is null or a.number is null or a.provider <> l.provider
            or o.state not in ('delivered', 'failed')
            -- Decided by hand against what it says; or delivered, and decided by hand for the others.
            or not case when a.by_hand then a.state = case when l.delivered then 'refused' else 'delivered' end
                else l.delivered and a.state = 'delivered' and (o.state = 'failed' or exists (select from attempt b
                    where b.order_id = a.order_id and b.number > a.number and b.state = 'delivered')) end
            or coalesce(t.amount_minor, 0) <> l.amount_minor
            or t.cause is not null and not (case when l.delivered
                then t.kind = {TransferKind.LATE_COST} and {_account("t.debit", AccountKind.WRITE_OFF)}
                    and {_account("t.credit", AccountKind.PROVIDER, "l.provider")}
                else t.kind = {TransferKind.LATE_RETURN} and {_account("t.debit", AccountKind.PROVIDER, "l.provider")}
                    and {_account("t.credit", AccountKind.WRITE_OFF)} end)
        limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "no attempt has two late reports",
        """
        select format('attempt %s of order %s has %s late reports', attempt, order_id, count(*)) from late_report
        group by order_id, attempt having count(*) > 1 limit 10""",
        Scope.SALE,
    ),
    Invariant(
        "nothing else moves what is lent and what is written off",
        f"""
        select format('transfer %s of %s under cause %s', t.kind, t.amount_minor, t.cause)
        from transfer t join account a on a.id in (t.debit, t.credit)
        where a.kind = '{AccountKind.PROVISIONAL_CREDIT}' and t.kind not in {_CREDITS}
            or a.kind = '{AccountKind.WRITE_OFF}' and t.kind not in {_LATE} and t.kind <> {TransferKind.CREDIT_WRITE_OFF}
        limit 10""",
        Scope.SALE,
    ),
)
