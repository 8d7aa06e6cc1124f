"""What a gateway is: somebody who takes a payer's money for us, and who can be asked about it.

Three verbs. Each answers with a value, because each of these is expected; a gateway never raises for what the far side does.

    start(payment)              Started | NotStarted | Unknown       the payer gets a page to pay on
    verify(reference)           Paid | Pending | Declined | Abandoned | NotFound | Unknown
    read_notice(headers, body)  Notice | Forged                      what the gateway sent by itself

A notice is a rumour: it says which payment to ask about, and nothing more. Only what `verify` answers moves money, and only
after it has been compared with what we had asked for. `Paid` therefore carries everything that has to be compared.

| word        | has the payer paid?                                  | what the funding does          |
|-------------|------------------------------------------------------|--------------------------------|
| `Paid`      | yes                                                  | compares, then credits once    |
| `Pending`   | not yet                                              | asks again, until it expires   |
| `Declined`  | no: refused, or the money went back                  | fails                          |
| `PaymentAbandoned` | no, and cannot any more: the payer has walked away   | fails                          |
| `PaymentNotFound`  | no: the gateway has never heard of it                | asks again, until it expires   |
| `PaymentUnknown`   | nobody knows                                         | asks again, and does not expire |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from telvend.kit.money import Money


class Method(StrEnum):
    """How the payer wants to pay."""

    CARD = "card"
    BANK_TRANSFER = "bank_transfer"
    USSD = "ussd"


@dataclass(frozen=True, slots=True)
class Start:
    """A payment to begin. `reference` is ours and unique; `owner` says whose wallet it is for, and comes back in `Paid`.

    `test`: play money. `base_url` is how this server is reached, without a slash at its end; `return_url` is where the
    payer's browser goes afterwards. `expires_s` is how many seconds the payer has.
    """

    reference: str
    owner: str
    email: str
    amount: Money
    method: Method
    test: bool
    base_url: str
    return_url: str
    expires_s: int


@dataclass(frozen=True, slots=True)
class Started:
    """The payer may pay at `payment_url`. `gateway_reference` is the gateway's own name of it."""

    payment_url: str
    gateway_reference: str | None = None


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Definitely not begun; nobody can pay it. `text` is for the operator."""

    text: str


@dataclass(frozen=True, slots=True)
class PaymentUnknown:
    """Nobody knows. `text` is for the operator."""

    text: str


Beginning = Started | NotStarted | PaymentUnknown


@dataclass(frozen=True, slots=True)
class Paid:
    """The payer has paid. Nothing here is believed before it equals what was asked for.

    `amount_minor` counts the minor unit of `currency`, an ISO 4217 code; `test`: it was play money. `owner` is what
    `Start` gave; None where the gateway does not say it. `gateway_reference` is unique to this one payment. `bank` is the
    payer's bank, where it is known.
    """

    amount_minor: int
    currency: str
    test: bool
    owner: str | None
    gateway_reference: str
    channel: str = ""
    bank: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """Not paid yet, and may still be."""

    text: str = "Not paid yet"


@dataclass(frozen=True, slots=True)
class Declined:
    """Not paid: the payment was refused, or the money went back to the payer."""

    text: str = "Declined"


@dataclass(frozen=True, slots=True)
class PaymentAbandoned:
    """Not paid: the payer has walked away, and the gateway takes no money for it any more."""

    text: str = "Abandoned"


@dataclass(frozen=True, slots=True)
class PaymentNotFound:
    """The gateway has never heard of this reference."""

    text: str = "Not known to the gateway"


Word = Paid | Pending | Declined | PaymentAbandoned | PaymentNotFound | PaymentUnknown

WORDS = (Paid, Pending, Declined, PaymentAbandoned, PaymentNotFound, PaymentUnknown)


@dataclass(frozen=True, slots=True)
class Notice:
    """What a gateway sent by itself, signed. `reference` is the one to ask about; None where it names none of ours.

    `event` is the gateway's word for what happened. `concern` is a sentence for the operator where a person has to look:
    a dispute, a refund. `kept` is what may be stored of it: no names, no addresses, no tokens.
    """

    reference: str | None
    event: str
    concern: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Forged:
    """The signature is missing or wrong. Nothing of it may be used. `text` is for the log."""

    text: str


@dataclass(frozen=True, slots=True)
class GatewayTraits:
    """What the funding must know of a gateway.

    `live_mode`, `test_mode`: whether it takes real money, and play money. `currencies`: ISO 4217 codes; None means every
    one. `timeout_s`: how long one call may take before it counts as `PaymentUnknown`. `pretends`: it moves no real money.
    """

    live_mode: bool
    test_mode: bool
    methods: frozenset[Method] = frozenset(Method)
    currencies: frozenset[str] | None = None
    timeout_s: float = 20.0
    pretends: bool = False

    def takes(self, *, test: bool) -> bool:
        """Whether it takes play money (`test`), or real money."""
        return self.test_mode if test else self.live_mode


class Gateway(Protocol):
    """Somebody who takes money. Implementations: `client.py` how to call, `wire.py` what they say."""

    @property
    def name(self) -> str:
        """The name on fundings, in the address of its notices and on the ledger's account: `paystack`."""

    @property
    def traits(self) -> GatewayTraits: ...

    async def start(self, payment: Start) -> Beginning:
        """Begin a payment. Called once for each reference, with no transaction open."""

    async def verify(self, reference: str) -> Word:
        """What has become of the payment that was begun under our reference. Changes nothing."""

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Notice | Forged:
        """Verify the signature of a notice, then read it. The names of headers are in lower case."""

    async def close(self) -> None:
        """Give connections back."""
