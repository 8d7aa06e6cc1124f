"""What can go wrong for a caller, as one small tree. After a dot: the room that defines the class, where it is not this file.

    TelvendError
    ├── InvalidInput            a field has a value that it cannot have
    │   ├── InvalidFields       several of them, each with its problem
    │   ├── HostNotValid        a Host header that no answer could be built upon
    │   ├── BodyNotReadable     malformed JSON, or JSON that is not an object
    │   │   └── MediaTypeNotRead  a body whose Content-Type is not read here
    │   ├── PinRefused          the voucher cannot be loaded · operator.vouchers
    │   ├── PriceChanged        it costs something else than was agreed · orders
    │   ├── QuoteRefused        the quote cannot be used · operator.premiums
    │   ├── EmailTaken          somebody has an account with this address · people
    │   └── PurchasePinRefused  the PIN of a purchase by a person is wrong · people
    ├── BodyTooLarge            longer than the API reads
    ├── NotAuthenticated        no key, an unknown one, a revoked one
    │   ├── SignInRefused       the login and the password do not belong together · people
    │   ├── SecondFactorNeeded  the password was right, the code is missing · people
    │   └── CodeRefused         the code of the second factor is wrong, or was used before · people
    ├── NotPermitted            a valid key that may not do this
    │   ├── LockedOut           too many wrong PINs in a row · operator.vouchers
    │   ├── SubscriberBarred    the subscriber's status forbids it · operator.subscribers
    │   ├── MaximumCredit       the bucket would hold more than can be counted · operator.subscribers
    │   ├── WaitsForSecondPerson  nothing has moved: another person has to confirm it · approvals
    │   ├── NoMobileMoney       the sender has none, and the product needs it · operator.premiums
    │   ├── AccountSuspended    of a person, or of its reseller · people
    │   ├── SignUpRefused       nobody gets an account without an invitation, or at all · people
    │   ├── EmailNotVerified    nothing is bought with real money before the address is proven · people
    │   └── PurchasePinLocked   too many wrong PINs of purchases in a row · people
    ├── NotFound                nothing of that name that belongs to the caller
    │   ├── UnknownPath         no such address
    │   └── LinkEnded           a link that was used, is too old, or was replaced · people
    ├── MethodNotAllowed        the address exists, the method does not
    ├── ReferenceReused         another request already stands under this reference
    ├── TooManyRequests         the allowance of the key is used up
    │   ├── SweepSlowed         the reseller looks up too many different numbers · identity
    │   └── TooManyAttempts     to sign in, to sign up, to reset · people
    ├── InsufficientBalance     the wallet cannot pay for this
    ├── NotEnough               the subscriber's buckets cannot pay for this · operator.subscribers
    ├── ProductUnavailable      no such product on sale now
    │   └── NotConfigured       no authority is set up for this check · identity
    ├── AlreadyExists           the operator adds what is there already
    ├── Busy                    try again in a moment; nothing happened
    │   └── SalesHalted         the operator has to act before anything is sold again
    └── InvariantBroken         a bug: do not catch it
        └── SealBroken          sealed data does not open · kit

Each leaf holds the facts. Code that knows the cause raises; code that knows the audience renders: every dialect has one
table from these classes to its own statuses and bodies, and a test walks this tree so that none is without a row. A class
of a room has the row of its parent where the table has none of its own. Handlers do not catch what the table can render.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Only for the annotations: nothing stands below this file.
    from telvend.kit.money import Money


class TelvendError(Exception):
    """The root. `str()` of every leaf is one sentence that may be shown to the caller."""


class InvalidInput(TelvendError):
    """`field` cannot be what it is; `problem` completes the sentence "field: …"."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}" if field else problem)


class InvalidFields(InvalidInput):
    """Several fields cannot be what they are; `problems` maps each to what completes the sentence "field …"."""

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems
        super().__init__(*next(iter(problems.items())))


class HostNotValid(InvalidInput):
    """The Host header is missing, malformed or there twice. Nothing of it is repeated."""

    def __init__(self, problem: str) -> None:
        super().__init__("", f"The Host header {problem}.")


class BodyNotReadable(InvalidInput):
    """The body is not JSON, or is JSON but not an object."""

    def __init__(self, problem: str) -> None:
        super().__init__("", problem)


class MediaTypeNotRead(BodyNotReadable):
    """The body's Content-Type names a kind of body that is not read here."""

    def __init__(self) -> None:
        super().__init__("The Content-Type of the request body is none that is read here; send application/json.")


class BodyTooLarge(TelvendError):
    """The body is longer than `limit_bytes`; it was not read to its end."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"The request body is longer than {limit_bytes} bytes.")


class NotAuthenticated(TelvendError):
    """No key, an unknown key or a revoked one: the three are not told apart."""

    def __init__(self) -> None:
        super().__init__("Missing, invalid or revoked API key.")


class NotPermitted(TelvendError):
    """The key is valid, and may not do this."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"This key may not {what}.")


class NotFound(TelvendError):
    """Nothing of that name belongs to the caller. Somebody else's thing is not found either."""

    def __init__(self, what: str, sentence: str | None = None) -> None:
        self.what = what
        super().__init__(sentence or f"{what} not found.")


class UnknownPath(NotFound):
    """There is no such address."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__("path", "There is nothing at this path.")


class MethodNotAllowed(TelvendError):
    """The address exists; `allowed` lists the methods that it answers."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__(f"Method not allowed here; allowed: {', '.join(allowed)}.")


class ReferenceReused(TelvendError):
    """`reference` already names a different request of this caller."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__("This reference was already used for a different request.")


class TooManyRequests(TelvendError):
    """The key has used its allowance of `limit` a minute; `retry_after_s` seconds later there is room again."""

    def __init__(self, retry_after_s: int, limit: int) -> None:
        self.retry_after_s = retry_after_s
        self.limit = limit
        super().__init__(f"Rate limit of {limit} requests a minute exceeded; retry after {retry_after_s} s.")


class InsufficientBalance(TelvendError):
    """The wallet holds `available`, the purchase needs `required`. Nothing was taken."""

    def __init__(self, required: "Money", available: "Money") -> None:
        self.required = required
        self.available = available
        super().__init__(f"Insufficient wallet balance: {required} needed, {available} available.")


class ProductUnavailable(TelvendError):
    """No such product is on sale now: unknown, withdrawn, or its network is switched off."""

    def __init__(self, network: str, product: str) -> None:
        self.network = network
        self.product = product
        super().__init__(f"Unknown package: {product} is not on sale for {network}.")


class AlreadyExists(TelvendError):
    """What the operator wants to add is there already, and different."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} exists already.")


class Busy(TelvendError):
    """The server cannot take this now. Nothing happened, or what happened is found again under its reference."""

    def __init__(self, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"The service is busy; retry after {retry_after_s} s.")


class SalesHalted(Busy):
    """Nothing is sold until the operator has acted. Nothing happened; a sale that stands is still found."""

    def __init__(self, retry_after_s: int = 60) -> None:
        self.retry_after_s = retry_after_s
        TelvendError.__init__(self, f"Sales are halted for the moment; retry after {retry_after_s} s.")


class InvariantBroken(TelvendError):
    """An internal invariant was violated: a bug. Do not catch it."""
