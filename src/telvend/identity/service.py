"""The verbs of identity: buy a check, read what was bought, and keep shop."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from telvend.authorities.contract import Authority, VerificationKind
from telvend.database.connections import Database, Tx
from telvend.errors import InvalidInput, NotFound
from telvend.identity import store
from telvend.identity.custody import Custody, Purged
from telvend.identity.jobs import KeyRetention, StaleVerificationReaper
from telvend.identity.model import (
    Access,
    Consent,
    Cost,
    Opened,
    Price,
    Sweep,
    Verification,
    VerificationPolicy,
    VerificationRequest,
    VerificationResult,
    VerificationState,
    masked_number,
)
from telvend.identity.store import Sealed
from telvend.identity.verification import CURRENCY, VerificationSale
from telvend.kit.clock import Clock, SystemClock
from telvend.kit.mode import Mode
from telvend.kit.money import Money
from telvend.kit.runtime import NO_RUNTIME, Runtime
from telvend.kit.secret import Secret
from telvend.ledger.service import Ledger
from telvend.resellers.model import Caller
from telvend.sales.gate import SalesGate
from telvend.sales.kind import KindOfSale
from telvend.sales.model import KindsByDialect, SaleKind
from telvend.webhooks.outbox import Outbox

LARGEST_PAGE = 1000


class Identity:
    """Identity checks of one shop.

    `authorities` are the configured real ones by their names (`prembly`, `dojah`); `default_authority` is the one of them that is
    asked where a request names none, by default the first of them. `start` it inside the event loop of a process that serves.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        custody: Custody,
        personas: Authority,
        authorities: Mapping[str, Authority] | None = None,
        *,
        default_authority: str | None = None,
        clock: Clock | None = None,
        policy: VerificationPolicy | None = None,
        gate: SalesGate | None = None,
        kinds: KindsByDialect | None = None,
        runtime: Runtime = NO_RUNTIME,
        outbox: Outbox | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._database = database
        self._ledger = ledger
        self._authorities = dict(authorities or {})
        if default_authority is None:
            default_authority = next(iter(self._authorities), None)
        self.custody = custody
        self._checking = VerificationSale(
            database,
            ledger,
            custody,
            personas,
            self._authorities,
            default_authority,
            clock,
            policy or VerificationPolicy(),
            KindOfSale(SaleKind.VERIFICATION, gate, kinds),
            outbox or Outbox(),
        )
        self.giving_up = StaleVerificationReaper(database, self._checking, clock, runtime)
        self.forgetting_keys = KeyRetention(custody, clock, runtime)

    def start(self) -> None:
        """Begin to give up checks whose process has died, and to destroy keys when a purge somewhere says so."""
        self.giving_up.start()
        self.forgetting_keys.start()

    async def close(self) -> None:
        """Wait for the authorities that are being asked. They are closed by whoever has made them."""
        await self.giving_up.close()
        await self.forgetting_keys.close()
        await self._checking.close()

    # What resellers do ------------------------------------------------------------------------------------------------

    async def check(self, caller: Caller, request: VerificationRequest) -> VerificationResult:
        """Buy one check from the caller's NGN wallet.

        The answer says by its verification's `state` what came of it: VERIFIED (paid, `record` is there), NOT_ON_RECORD, BLOCKED
        or UNAVAILABLE (nothing paid; `retry_after_s`). The same request again under its reference answers with the check
        as it stands, `replayed`, after waiting for one that is being asked. One without an answer leaves its reference free.
        Raises InvalidInput, ReferenceReused, NotFound (purged; no wallet), NotConfigured, ProductUnavailable, SweepSlowed,
        InsufficientBalance, Busy.
        """
        return await self._checking.check(caller, request)

    async def check_by_person(
        self, caller: Caller, request: VerificationRequest, consent: Consent
    ) -> VerificationResult:
        """Buy one check on a page: as `check`, after the consent was written down. `request` has a reference of its own.

        Raises InvalidInput without a consent in words, or without a reference, and what `check` raises.
        """
        if not consent.wording.strip():
            raise InvalidInput("consent", "is required: nobody is looked up who has not agreed")
        if request.client_reference is None:
            raise InvalidInput("reference", "is required")
        async with self._database.transaction() as tx:
            await store.write_consent(
                tx, caller.reseller_id, caller.mode, request.client_reference, consent.person_id, consent.wording
            )
        return await self._checking.check(caller, request)

    async def consent(self, verification: Verification) -> tuple[UUID, str, datetime] | None:
        """Who has stated the consent to a check on a page, in which words and when; None of a check that a program made."""
        if verification.client_reference is None:
            return None
        async with self._database.connection() as tx:
            return await store.consent_of(
                tx, verification.reseller_id, verification.mode, verification.client_reference
            )

    @property
    def asks_authority(self) -> bool:
        """Whether a real authority is set up; without one only the personas answer."""
        return bool(self._authorities)

    async def own_listed(
        self,
        reader: str,
        reseller_id: UUID,
        mode: Mode,
        *,
        kind: VerificationKind | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[tuple[Verification, str]]:
        """A reseller's checks in any state, newest first, with their numbers masked (empty after a purge).

        `reader` is the person who looks at the page; it is noted.
        """
        await self.custody.ready()
        kinds = [str(one) for one in ([kind] if kind else VerificationKind)]
        async with self._database.transaction() as tx:
            found = await store.own_listed(tx, reseller_id, mode, kinds, before, min(limit, LARGEST_PAGE))
            sealed = await store.sealed(tx, [item.id for item in found], records=False)
            await store.note_access(tx, "portal", reader, "list, masked", list(sealed))
            return [(item, self._masked(sealed.get(item.id))) for item in found]

    def _masked(self, sealed: Sealed | None) -> str:
        number = self._number(sealed)
        return "" if number is None else masked_number(number.reveal())

    async def prices(self, kind: VerificationKind) -> list[Price]:
        """The price list, in the order in which it is printed, inactive lines included."""
        async with self._database.connection() as tx:
            return await store.prices(tx, kind)

    async def history(
        self, caller: Caller, kind: VerificationKind, *, before: int | None = None, limit: int = LARGEST_PAGE
    ) -> list[Opened]:
        """The caller's checks that have a record on file, with their numbers and without records, newest first.

        `before` is the id of the last one seen. It is noted who read it.
        """
        async with self._database.transaction() as tx:
            found = await store.history(tx, caller.reseller_id, caller.mode, kind, before, min(limit, LARGEST_PAGE))
            sealed = await store.sealed(tx, [item.id for item in found], records=False)
            numbers = [(item, self._number(sealed.get(item.id))) for item in found]
            opened = [Opened(item, number) for item, number in numbers if number is not None]
            await store.note_access(tx, "key", str(caller.key_id), "history", [item.verification.id for item in opened])
        return opened

    async def detail(self, caller: Caller, kind: VerificationKind, verification_id: int) -> Opened:
        """One of the caller's checks with its record. It is noted who read it.

        Raises NotFound: also for somebody else's, for one of the other kind or mode, without a record, or purged.
        """
        async with self._database.transaction() as tx:
            found = await self._own(tx, caller, kind, verification_id)
            sealed = (await store.sealed(tx, [verification_id], records=True)).get(verification_id)
            if sealed is None:
                raise NotFound("Verification")
            number, record = self.custody.number_and_record(sealed)
            await store.note_access(tx, "key", str(caller.key_id), "detail", [verification_id])
        return Opened(found, number, record)

    async def _own(self, tx: Tx, caller: Caller, kind: VerificationKind, verification_id: int) -> Verification:
        found = (
            (await store.by_ids(tx, [verification_id])).get(verification_id) if 0 < verification_id < 2**63 else None
        )
        if (
            found is None
            or (found.reseller_id, found.mode, found.kind) != (caller.reseller_id, caller.mode, kind)
            or found.state is not VerificationState.VERIFIED
            or found.purged_at is not None
        ):
            raise NotFound("Verification")
        return found

    async def by_ids(self, tx: Tx, ids: Sequence[int]) -> dict[int, Verification]:
        """The checks with these numbers, for lists of transactions: nothing of it is out of the safe."""
        return await store.by_ids(tx, ids)

    # What the operator does ----------------------------------------------------------------------------------------

    async def listed(
        self,
        reader: str,
        *,
        reseller_id: UUID | None = None,
        kind: VerificationKind | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[tuple[Verification, str]]:
        """Checks of everybody, newest first, with their numbers masked (`123*****901`; empty after a purge).

        `reader` is who sits at the command line; it is noted.
        """
        await self.custody.ready()
        async with self._database.transaction() as tx:
            found = await store.listed(tx, reseller_id, kind, before, min(limit, LARGEST_PAGE))
            sealed = await store.sealed(tx, [item.id for item in found], records=False)
            await store.note_access(tx, "command line", reader, "list, masked", list(sealed))
            return [(item, self._masked(sealed.get(item.id))) for item in found]

    def _number(self, sealed: Sealed | None) -> Secret | None:
        """None where it was purged."""
        if sealed is None:
            return None
        try:
            return self.custody.number(sealed)
        except NotFound:
            return None

    async def set_price(self, kind: VerificationKind, card_type: str, price: Money, *, active: bool = True) -> None:
        """Change a line of the price list. Checks that were sold keep their price. Raises InvalidInput, NotFound."""
        if price.currency != CURRENCY or price.minor <= 0:
            raise InvalidInput("price", f"must be more than nothing, in {CURRENCY}")
        async with self._database.transaction() as tx:
            if not await store.write_price(tx, kind, card_type, price.minor, active):
                raise NotFound("Price")

    async def set_costs(self, authority: str, kind: VerificationKind, found: Money, without: Money) -> None:
        """Say what an authority takes for a record, and for an answer that there is none. Raises InvalidInput."""
        if {found.currency, without.currency} != {CURRENCY} or found.minor < 0 or without.minor < 0:
            raise InvalidInput("cost", f"must be nothing or more, in {CURRENCY}")
        async with self._database.transaction() as tx:
            await store.write_costs(tx, authority, kind, CURRENCY.code, found.minor, without.minor)

    async def costs(self) -> list[Cost]:
        """What every authority takes, as far as anybody has said; the others take nothing, as far as the books know."""
        async with self._database.connection() as tx:
            return await store.all_costs(tx)

    async def purge(self, older_than: timedelta) -> Purged:
        """Destroy what is known of people from checks older than that, in copies of the database too.

        Raises InvalidInput (less than a day), VaultRefused, Busy.
        """
        return await self.custody.purge(older_than)

    async def count_listed(
        self, *, reseller_id: UUID | None = None, kind: VerificationKind | None = None, before: int, limit: int
    ) -> int:
        """How many of these checks there are, up to `limit`. Looks at no number, so it is not noted."""
        async with self._database.connection() as tx:
            return len(await store.listed(tx, reseller_id, kind, before, limit))

    async def accesses(self, verification_id: int | None = None, *, limit: int = 100) -> list[Access]:
        """Who took what out of the safe, newest first; of one check or of all."""
        async with self._database.connection() as tx:
            return await store.accesses(tx, verification_id, limit)

    async def sweeps(self) -> list[Sweep]:
        """Resellers that ever looked numbers up as nobody does who knows whose they are, the last one first."""
        async with self._database.connection() as tx:
            return await store.sweeps(tx)
