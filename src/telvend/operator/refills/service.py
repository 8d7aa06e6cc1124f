"""The verbs of refills: make one, find one, look at many."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from telvend.database.connections import Database
from telvend.errors import InvalidInput, NotFound
from telvend.kit.ids import number_named
from telvend.kit.log import get
from telvend.kit.mode import Mode
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.kit.secret import Secret
from telvend.kit.text import require_text
from telvend.ledger.service import Ledger
from telvend.operator.entitlements.service import Entitlements
from telvend.operator.refills import store
from telvend.operator.refills.decisions import Item
from telvend.operator.refills.model import OPERATOR, OPERATOR_DIALECT, Refill, Refilled, RefillKind, RefillRequest
from telvend.operator.refills.placement import RefillPlacement
from telvend.operator.subscribers.balances.model import BucketKind, PostingKind
from telvend.operator.subscribers.balances.store import given_by
from telvend.operator.subscribers.store import find_currencies
from telvend.operator.vouchers import store as voucher_store
from telvend.operator.vouchers.guard.model import LIMITS, Guarded
from telvend.operator.vouchers.metrics import WRONG_PINS
from telvend.operator.vouchers.model import LockedOut, PinRefused
from telvend.operator.vouchers.pins import PinKeys
from telvend.sales.gate import SalesGate
from telvend.sales.kind import KindOfSale
from telvend.sales.model import KindsByDialect, SaleKind, fingerprint_of
from telvend.webhooks.outbox import Outbox

SHORTEST_PIN: Final = 8
LONGEST_PIN: Final = 20
LARGEST_PAGE: Final = 100_000
_LONGEST_TEXT: Final = 128

_log = get(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """What a refill turned into: so much of a kind, in a bucket of this name that lasts until `expires_at`."""

    kind: BucketKind
    name: str
    amount: int
    expires_at: datetime | None


class Refills:
    """Refills of one shop. `start` it inside the event loop of a process that serves."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        offering: Entitlements,
        keys: PinKeys,
        *,
        runtime: Runtime = NO_RUNTIME,
        gate: SalesGate | None = None,
        kinds: KindsByDialect | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._refilling = RefillPlacement(
            database, ledger, offering, KindOfSale(SaleKind.REFILL, gate, kinds), outbox or Outbox(), runtime=runtime
        )

    def start(self) -> None:
        """Serve those together who come together."""
        self._refilling.start()

    async def close(self) -> None:
        """Answer who is waiting, then give the connection back."""
        await self._refilling.close()

    async def refill(self, request: RefillRequest) -> Refilled:
        """Refill a subscriber by voucher, or from the partner's wallet: once for each transactionId of the partner.

        Returns when it is durable. The same request again answers with the refill of the first, whatever has become of voucher,
        profile and balance. A refusal takes nothing and leaves the transactionId free; a wrong PIN is counted.
        Raises InvalidInput (a PIN that is none, an unknown profile, an amount), ReferenceReused, NotFound (no such subscriber),
        SubscriberBarred, MaximumCredit, InsufficientBalance, PinRefused, LockedOut, Busy.
        """
        item = await self._item(request)
        try:
            return await self._refilling.lane.serve(item)
        except PinRefused as error:
            # The true reason is told to nobody but the log.
            _log.info("voucher_refused", reason=error.reason, **_who(request))
            for kind in error.reached:
                WRONG_PINS.count(kind)
                if kind == Guarded.SOURCE:
                    _log.warning("wrong_pins_from_source", wrong_in_a_row=LIMITS[Guarded.SOURCE], **_who(request))
                else:
                    _log.warning("voucher_locked", locked=kind, **_who(request))
            raise
        except LockedOut as error:
            _log.warning("voucher_locked_out", retry_after_s=error.retry_after_s, **_who(request))
            raise

    async def commit(self, mode: Mode, pin: Secret, name: str, msisdn: str) -> Refilled:
        """Load a voucher that is reserved under `name` for a subscriber. Again: the same answer.

        Raises InvalidInput, NotFound, SubscriberBarred, MaximumCredit, PinRefused (also after the deadline), Busy.
        """
        require_pin(pin)
        key = await self._keys.ready_or_busy()
        async with self._database.connection() as tx:
            serial = await voucher_store.serial_of(tx, key.hash(pin.reveal()))
        if serial is None:
            raise PinRefused("unknown")
        return await self.refill(
            RefillRequest(
                reseller_id=OPERATOR,
                dialect=OPERATOR_DIALECT,
                mode=mode,
                # A voucher is loaded once: its own name for the transaction makes committing it again harmless.
                transaction_id=f"{name} {serial}",
                kind=RefillKind.VOUCHER,
                msisdn=msisdn,
                wallets={},
                source="",
                pin=pin,
                reservation=name,
            )
        )

    async def _item(self, request: RefillRequest) -> Item:
        require_text("transaction_id", request.transaction_id, _LONGEST_TEXT)
        if request.sent_id is not None:
            require_text("sent_id", request.sent_id, _LONGEST_TEXT)
        if request.kind is RefillKind.VOUCHER:
            if request.pin is None:
                raise InvalidInput("pin", "must be given for a refill by voucher")
            require_pin(request.pin)
            if request.serial is not None:
                require_text("serial", request.serial, _LONGEST_TEXT)
            pin_hash = (await self._keys.ready_or_busy()).hash(request.pin.reveal())
            serial = (request.serial or "").strip()
            return Item(request, fingerprint_of("voucher", request.msisdn, pin_hash.hex(), serial), pin_hash)
        if request.units is None or request.units <= 0:
            raise InvalidInput("amount", "must be a whole number of units, more than nothing")
        if not request.profile:
            raise InvalidInput("profile", "must be given for a voucherless refill")
        require_text("profile", request.profile, _LONGEST_TEXT)
        asked = fingerprint_of("voucherless", request.msisdn, request.profile, str(request.units))
        return Item(request, asked, None)

    async def find(self, reseller_id: UUID, dialect: str, mode: Mode, transaction_id: str) -> Refill:
        """The partner's refill under this transactionId. Raises NotFound, Busy."""
        key = (reseller_id, dialect, str(mode), transaction_id)
        async with self._database.connection() as tx:
            found = await store.find_by_transaction(tx, [key])
        if key not in found:
            raise NotFound("Refill")
        return found[key][0]

    async def history(self, reference: str) -> tuple[Refill, list[Given]]:
        """The refill with our reference (or its number), and what it turned into. Raises NotFound."""
        number = number_named(reference)
        if number is None:
            raise NotFound("Refill")
        async with self._database.connection() as tx:
            refill = (await store.by_ids(tx, [number])).get(number)
            if refill is None or reference not in (refill.reference, str(number)):
                raise NotFound("Refill")
            subscriber_id = await store.subscriber_of(tx, number)
            given = await given_by(tx, subscriber_id, PostingKind.REFILL, refill.reference)
        return refill, [Given(BucketKind(row["kind"]), row["name"], row["change"], row["expires_at"]) for row in given]

    async def listed(
        self,
        *,
        reseller_id: UUID | None = None,
        mode: Mode | None = None,
        msisdn: str | None = None,
        kind: RefillKind | None = None,
        transaction_id: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Refill]:
        """Refills, newest first; `before` is the number of the last one seen.

        `transaction_id` is what the partner sent, or what was echoed for it. Raises InvalidInput.
        """
        if transaction_id is not None:
            require_text("transaction", transaction_id, _LONGEST_TEXT)
        async with self._database.connection() as tx:
            subscribers = None
            if msisdn is not None:
                found = await find_currencies(tx, [(one, msisdn) for one in Mode])
                subscribers = [number for number, _ in found.values()]
            return await store.listed(
                tx,
                reseller_id=reseller_id,
                mode=mode,
                subscribers=subscribers,
                kind=kind,
                transaction_id=transaction_id,
                before=before,
                limit=min(limit, LARGEST_PAGE),
            )


def _who(request: RefillRequest) -> dict[str, Any]:
    """From whom a PIN came, for the log."""
    return {
        "reseller": request.reseller_id,
        "msisdn": request.msisdn,
        "source": request.source,
        "system": request.system,
    }


def require_pin(pin: Secret) -> None:
    """Whether it can be a PIN at all; what cannot does not count as a try. Raises InvalidInput."""
    text = pin.reveal()
    if not (SHORTEST_PIN <= len(text) <= LONGEST_PIN and text.isascii() and text.isdigit()):
        raise InvalidInput("pin", f"must be {SHORTEST_PIN} to {LONGEST_PIN} digits")
