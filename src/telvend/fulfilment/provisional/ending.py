"""The end of provisional credits, inside the transaction that settles their orders."""

from collections.abc import Sequence

from telvend.database.connections import Tx
from telvend.errors import InvariantBroken
from telvend.fulfilment.model import LockedOrder
from telvend.fulfilment.provisional import store
from telvend.fulfilment.provisional.model import REVERSAL_PREFIX
from telvend.kit.ids import reference_of
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind


async def end_credits(
    tx: Tx, locked_orders: Sequence[LockedOrder], journal: WalletJournal, ledger: Ledger
) -> dict[int, int]:
    """End the credits of orders that have become final: take them back where the hold was released, else write them off.

    After the release in `journal`, so that the wallet always has what is taken back. Returns the wallets' balances after the
    reversals, by order.
    """
    credits_ = await store.of_orders(tx, [locked.id for locked in locked_orders])
    if len(credits_) != len(locked_orders):
        raise InvariantBroken(
            f"{len(locked_orders)} orders say that they have a provisional credit, {len(credits_)} have one"
        )
    released = [locked for locked in locked_orders if locked.releases]
    salt = await ledger_store.installation_salt(tx) if released else b""
    causes = iter(await ledger_store.next_causes(tx, len(released)) if released else ())
    balances: dict[int, int] = {}
    reversals: list[store.ReversalRow] = []
    for locked in locked_orders:
        credit = credits_[locked.id]
        currency = locked.price.currency
        account = await ledger.house_of(tx, AccountKind.PROVISIONAL_CREDIT, currency, locked.mode)
        if not locked.releases:
            write_off = await ledger.house_of(tx, AccountKind.WRITE_OFF, currency, locked.mode)
            journal.write_off_credit(credit.id, write_off, account, credit.amount)
            continue
        cause = next(causes)
        balances[locked.id] = journal.reverse_credit(cause, locked.wallet_id, account, credit.amount).minor
        position = journal.enter(locked.wallet_id, TransactionKind.REVERSAL, cause, credit=False)
        reference = reference_of(REVERSAL_PREFIX, cause, salt)
        reversals.append(
            store.ReversalRow(cause, reference, credit.id, locked.id, locked.wallet_id, credit.amount.minor, position)
        )
    await store.end(
        tx,
        reversals,
        [locked.id for locked in released],
        [locked.id for locked in locked_orders if not locked.releases],
    )
    return balances
