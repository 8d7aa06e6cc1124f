"""How the pretended gateway is called: the smallest complete gateway. Copy its shape to write another.

Beside a gateway's verbs it is a `Checkout`, since its page is served here: `payment` shows one to the payer, `decide` takes
the payer's decision, `notice` is what it then sends to the shop.
"""

from collections.abc import Mapping
from typing import Final

from telvend.database.connections import Database
from telvend.errors import Busy
from telvend.gateways.checkout import Decision, Payment, PaymentState
from telvend.gateways.contract import (
    Beginning,
    Forged,
    GatewayTraits,
    Method,
    Notice,
    NotStarted,
    PaymentNotFound,
    PaymentUnknown,
    Start,
    Started,
    Word,
)
from telvend.gateways.sandbox import store, wire
from telvend.kit.secret import Secret, random_text

PAGE: Final = "/pay/sandbox"
"""Where its page is served, below the address of this server."""

_TOKEN_LENGTH: Final = 32

_STATE_BY_DECISION: Final = {
    Decision.PAY: PaymentState.PAID,
    Decision.DECLINE: PaymentState.DECLINED,
    Decision.ABANDON: PaymentState.ABANDONED,
}


class Sandbox:
    """A gateway that pretends. With `live=False` it serves test keys only, as it must where real things are sold."""

    def __init__(self, database: Database, key: Secret, *, name: str = "sandbox", live: bool = True) -> None:
        self._database = database
        self._key = key
        self._name = name
        self._traits = GatewayTraits(live_mode=live, test_mode=True, timeout_s=10, pretends=True)

    @classmethod
    async def open(cls, database: Database, *, name: str = "sandbox", live: bool = True) -> "Sandbox":
        """The sandbox of this installation, with its signing key. Raises Busy."""
        async with database.connection() as tx:
            return cls(database, Secret((await store.signing_key(tx)).hex()), name=name, live=live)

    @property
    def name(self) -> str:
        return self._name

    @property
    def page(self) -> str:
        return PAGE

    @property
    def traits(self) -> GatewayTraits:
        return self._traits

    async def start(self, payment: Start) -> Beginning:
        if not self._traits.takes(test=payment.test):
            return NotStarted("the sandbox takes play money only")
        token = random_text(_TOKEN_LENGTH)
        try:
            async with self._database.transaction() as tx:
                begun = await store.insert(tx, token, payment)
        except Busy:
            return PaymentUnknown("the sandbox's book could not be written")
        if begun is None:
            return PaymentUnknown("this reference is known to the sandbox")
        return Started(f"{payment.base_url}{PAGE}/{token}", begun.gateway_reference)

    async def verify(self, reference: str) -> Word:
        try:
            async with self._database.connection() as tx:
                payment = await store.by_reference(tx, reference)
        except Busy:
            return PaymentUnknown("the sandbox's book could not be read")
        return PaymentNotFound() if payment is None else wire.word_of(payment)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Notice | Forged:
        return wire.webhook_event_of(self._key, headers, body)

    async def close(self) -> None:
        """Nothing to give back: the database belongs to whoever opened it."""

    async def payment(self, token: str) -> Payment | None:
        """The payment at this address; None where there is none. Raises Busy."""
        async with self._database.connection() as tx:
            return await store.by_token(tx, token)

    def refuses(self, payment: Payment) -> bool:
        """Whether this payment may not be paid any more: it is for a live wallet, and the shop has begun to sell real things."""
        return payment.state is PaymentState.OPEN and not self._traits.takes(test=payment.test)

    async def decide(self, token: str, decision: Decision, method: Method | None = None) -> Payment | None:
        """Decide a payment, once: one that was decided before, or too late, is answered as it stands. Raises Busy.

        One that is refused stays open.
        """
        async with self._database.transaction() as tx:
            payment = await store.by_token(tx, token)
            if payment is not None and self.refuses(payment):
                return payment
            return await store.decide(tx, token, _STATE_BY_DECISION[decision], method) or await store.by_token(
                tx, token
            )

    def notice(self, payment: Payment) -> tuple[dict[str, str], bytes]:
        """The notice about a decided payment: headers and body."""
        return wire.notice(self._key, payment)
