"""Takes play money out of live wallets: `telvend funding void`."""

from collections.abc import Sequence
from itertools import groupby

from telvend.database.connections import Database, Tx, increment_revision
from telvend.errors import InvalidInput, NotFound
from telvend.funding import store as funding_store
from telvend.funding.model import FundingState
from telvend.funding.play_money import store
from telvend.funding.play_money.guard import TOPIC
from telvend.funding.play_money.model import VOID_PREFIX, PlayFunding, PlayWallet, Voided, divide
from telvend.kit import log
from telvend.kit.ids import number_in, reference_of
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.ledger import store as ledger_store
from telvend.ledger.model import AccountKind
from telvend.ledger.service import Ledger
from telvend.wallets.journal import WalletJournal
from telvend.wallets.model import TransactionKind
from telvend.webhooks.outbox import Outbox

_log = log.get(__name__)


class PlayMoney:
    """The play money of one shop's live wallets."""

    def __init__(self, database: Database, ledger: Ledger, outbox: Outbox | None = None) -> None:
        self._database = database
        self._ledger = ledger
        self._outbox = outbox or Outbox()

    async def wallets(self) -> list[PlayWallet]:
        """The live wallets with play money. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.wallets(tx)

    async def void_all(self, reason: str, by_whom: str) -> list[Voided]:
        """Void every funding with play money, all in one transaction. Again it finds only what was left. Raises InvalidInput, Busy."""
        return await self._void(None, reason, by_whom)

    async def void(self, reference: str, reason: str, by_whom: str) -> list[Voided]:
        """Void one funding; empty where nothing of it is left to void.

        Raises NotFound, Busy, and InvalidInput for one that is no play money in a live wallet: those are credited or
        debited by hand, or paid back at the gateway.
        """
        number = number_in(reference)
        async with self._database.connection() as tx:
            funding = None if number is None else await funding_store.find(tx, number)
            if funding is None or funding.reference != reference:
                raise NotFound("Funding")
            if funding.state is not FundingState.COMPLETED:
                raise InvalidInput(
                    "", f"{reference} is {funding.state}: it has brought nothing that could be taken out."
                )
            if not await store.pretended(tx, funding.id):
                raise InvalidInput(
                    "", f"{reference} is real money, paid through {funding.gateway}; it is paid back there, not voided."
                )
            if funding.mode is not Mode.LIVE:
                raise InvalidInput("", f"{reference} is play money of a test wallet, where it belongs.")
        return await self._void(funding.id, reason, by_whom)

    async def _void(self, funding_id: int | None, reason: str, by_whom: str) -> list[Voided]:
        for name, text in (("reason", reason), ("by", by_whom)):
            if not text.strip() or len(text) > 500 or not text.isprintable():
                raise InvalidInput(name, "must be 1 to 500 printable characters")
        async with self._database.connection() as tx:
            expected = await store.fundings(tx, funding_id)
            salt = await ledger_store.installation_salt(tx)
        # Outside of the transaction below, which holds the wallets.
        for funding in expected:
            await self._accounts(funding)
        async with self._database.transaction() as tx:
            journal = await WalletJournal.begin(tx, {funding.wallet_id for funding in expected})
            # What others have voided since is seen under the locks. A wallet that was not locked is left for the next time.
            found = [one for one in await store.fundings(tx, funding_id) if one.wallet_id in journal.wallets]
            voided = await self._divided(tx, journal, found)
            causes = await ledger_store.next_causes(tx, len(voided))
            written = [
                await self._written(journal, one, cause, reference_of(VOID_PREFIX, cause, salt))
                for one, cause in zip(voided, causes, strict=True)
                if one.taken.minor + one.spent.minor
            ]
            if written:
                await store.write(tx, written, reason, by_whom)
                await journal.write(tx)
                await self._outbox.notice_balances(tx, journal)
                await increment_revision(tx, TOPIC)
        for one in voided:
            taken, spent, left = one.taken.minor, one.spent.minor, one.left.minor
            _log.info("play_money_voided", funding=one.funding.reference, taken=taken, spent=spent, left=left)
        return voided

    async def _divided(self, tx: Tx, journal: WalletJournal, found: Sequence[PlayFunding]) -> list[Voided]:
        in_flight = await store.in_flight(tx, list(journal.wallets)) if found else {}
        voided = []
        for wallet_id, group in groupby(found, lambda funding: funding.wallet_id):
            fundings = list(group)
            parts = divide(
                [funding.outstanding.minor for funding in fundings],
                journal.wallets[wallet_id].balance_minor,
                in_flight.get(wallet_id, 0),
            )
            for funding, (taken, spent) in zip(fundings, parts, strict=True):
                currency = funding.outstanding.currency
                voided.append(Voided(funding, Money(taken, currency), Money(spent, currency)))
        return voided

    async def _written(self, journal: WalletJournal, voided: Voided, cause: int, reference: str) -> store.VoidRow:
        funding = voided.funding
        account, loss = await self._accounts(funding)
        position = None
        if voided.taken.minor:
            journal.void(cause, funding.wallet_id, account, voided.taken)
            position = journal.enter(funding.wallet_id, TransactionKind.VOID, cause, credit=False)
        if voided.spent.minor:
            journal.write_off(cause, loss, account, voided.spent)
        return store.VoidRow(
            id=cause,
            reference=reference,
            funding_id=funding.id,
            wallet_id=funding.wallet_id,
            taken_minor=voided.taken.minor,
            spent_minor=voided.spent.minor,
            position=position,
            balance_after_minor=journal.wallets[funding.wallet_id].balance_minor,
        )

    async def _accounts(self, funding: PlayFunding) -> tuple[int, int]:
        """The account of the gateway, and that of losses; remembered after the first time."""
        currency = funding.outstanding.currency
        return (
            await self._ledger.house(AccountKind.FUNDING, currency, Mode.LIVE, owner=funding.gateway),
            await self._ledger.house(AccountKind.LOSS, currency, Mode.LIVE),
        )
