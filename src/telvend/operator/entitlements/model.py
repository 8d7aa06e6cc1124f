"""What a product or a refill turns into: the records, and the calculations, which are pure.

Amounts are in the units of `BucketKind`: minor units of the subscriber's currency, bytes, seconds, messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from telvend.errors import InvalidInput
from telvend.kit.money import Currency, Money
from telvend.operator.subscribers.balances.amounts import parse_amount
from telvend.operator.subscribers.balances.model import BucketKind, Grant

WHOLE: Final = 10_000
"""All of it, in basis points."""

_BONUS_NAMES: Final = {
    BucketKind.MONEY: "Bonus airtime",
    BucketKind.DATA: "Bonus data",
    BucketKind.MINUTES: "Bonus minutes",
    BucketKind.SMS: "Bonus SMS",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a product of the network credits: each of `parts` gets a bucket of its own.

    `validity_days` None: as long as the catalogue says. `first_use`: it begins with its first use instead of at once.
    """

    code: str
    name: str
    validity_days: int | None
    first_use: bool
    priority: int
    parts: tuple[tuple[BucketKind, int], ...]

    def grants(self, validity_days: int | None) -> list[Grant]:
        """What a subscriber is given; `validity_days` is the catalogue's word, where the bundle has none of its own."""
        days = self.validity_days if self.validity_days is not None else validity_days
        return [
            Grant(kind, amount, self.name, self.code, days, self.first_use and days is not None, self.priority)
            for kind, amount in self.parts
        ]


@dataclass(frozen=True, slots=True)
class Bonus:
    """What comes on top of a refill of `from_minor` or more: `flat`, and `per_unit` for every whole unit of the currency."""

    kind: BucketKind
    from_minor: int
    flat: int
    per_unit: int
    validity_days: int


@dataclass(frozen=True, slots=True)
class RefillProfile:
    """What an amount of money turns into, and by how many days it moves the two clocks.

    Of several bonuses of one kind the one with the highest threshold that is reached is given.
    """

    id: str
    description: str
    main_basis_points: int
    active_days: int
    grace_days: int
    active: bool
    bonuses: tuple[Bonus, ...] = ()


class FaultyPart(StrEnum):
    """What can be made to fail, for one subscriber, so that partners see what their programs do then."""

    PLAN = "plan"
    BALANCE = "balance"
    MOMO = "momo"
    LOYALTY = "loyalty"


class Fault(StrEnum):
    """How it fails."""

    DOWN = "down"
    """At once."""
    SLOW = "slow"
    """It does not answer in time."""


@dataclass(frozen=True, slots=True)
class EntitlementSnapshot:
    """Everything of the offering at one revision. Never changed; a new one takes its place."""

    bundles: Mapping[str, Bundle] = field(default_factory=dict)
    profiles: Mapping[str, RefillProfile] = field(default_factory=dict)
    faults: Mapping[tuple[str, FaultyPart], Fault] = field(default_factory=dict)

    def bundle(self, code: str) -> Bundle | None:
        """The bundle of this product code, where one is defined."""
        return self.bundles.get(code)

    def profile(self, profile_id: str) -> RefillProfile | None:
        """The refill profile of this id, active or not."""
        return self.profiles.get(profile_id)

    def fault(self, msisdn: str, part: FaultyPart) -> Fault | None:
        """How this part of a subscriber is to fail, if it is. `msisdn` in E.164."""
        return self.faults.get((msisdn, part)) if self.faults else None

    def grants_of(self, product: str, size: str, validity_days: int | None, currency: Currency) -> list[Grant]:
        """What a product of the catalogue credits: what its bundle says, else what its size says.

        `size` is what is printed on a bundle (`1GB`), or airtime's face value (`5.00`), which goes to the main account.
        Raises InvalidInput for a size that says nothing.
        """
        bundle = self.bundles.get(product)
        if bundle is not None:
            return bundle.grants(validity_days)
        kind, amount = parse_amount(size, currency)
        if kind is BucketKind.MONEY:
            return [Grant(kind, amount, "", product, main=True)]
        return [Grant(kind, amount, size, product, validity_days)]


def grants_of_refill(profile: RefillProfile, amount: Money) -> list[Grant]:
    """What `amount` turns into: the main account's share, and the bonuses that it reaches.

    Raises InvalidInput where that is nothing at all.
    """
    grants = []
    main = amount.minor * profile.main_basis_points // WHOLE
    if main > 0:
        grants.append(Grant(BucketKind.MONEY, main, "", main=True))
    for bonus in _reached(profile, amount.minor):
        more = bonus.flat + bonus.per_unit * (amount.minor // 10**amount.currency.digits)
        if more > 0:
            grants.append(Grant(bonus.kind, more, _BONUS_NAMES[bonus.kind], validity_days=bonus.validity_days))
    if not grants:
        raise InvalidInput("amount", "is too small for this refill profile")
    return grants


def _reached(profile: RefillProfile, minor: int) -> list[Bonus]:
    best: dict[BucketKind, Bonus] = {}
    for bonus in sorted(profile.bonuses, key=lambda bonus: bonus.from_minor):
        if bonus.from_minor <= minor:
            best[bonus.kind] = bonus
    return [best[kind] for kind in BucketKind if kind in best]
