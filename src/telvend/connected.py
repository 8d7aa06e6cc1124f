"""What serves live keys, which of it is real, and what follows from that for money. Pure: traits in, answers out.

Whether one provider, authority or gateway pretends is one of its traits. What follows from all of them together stands here
and nowhere else:

    a pretending provider beside a real one     refused: somebody would pay for what no phone gets
    play money in live wallets                  taken only while something that pretends is sold, and nothing live is real
    real money                                  taken only while something real is sold
    play money that is there already            halts live sales while anything live is real, until it is taken out

Test keys are not concerned: their wallets hold play money, and nothing real is reached with them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from telvend.authorities.contract import Authority
from telvend.gateways.contract import Gateway
from telvend.providers.contract import Provider


class Role(StrEnum):
    """What somebody outside does for the shop."""

    PROVIDER = "provider"
    AUTHORITY = "authority"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Vendor:
    """A provider, authority or gateway that serves live keys."""

    role: Role
    name: str
    pretends: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """Every vendor that serves live keys. A gateway that pretends is not among them: whether it may is decided here."""

    vendors: tuple[Vendor, ...]

    @classmethod
    def of(cls, providers: Iterable[Provider], authorities: Iterable[Authority], gateways: Iterable[Gateway]) -> Self:
        """Read the traits. Raises ValueError where a provider that pretends would serve live keys beside a real one."""
        found = [Vendor(Role.PROVIDER, p.name, p.traits.pretends) for p in providers if p.traits.live_mode]
        real = [vendor.name for vendor in found if not vendor.pretends]
        if real and len(real) < len(found):
            pretending = ", ".join(vendor.name for vendor in found if vendor.pretends)
            raise ValueError(f"{pretending} must not take live orders beside {', '.join(real)}")
        found += [Vendor(Role.AUTHORITY, a.name, a.traits.pretends) for a in authorities]
        found += [Vendor(Role.GATEWAY, g.name, False) for g in gateways if g.traits.live_mode and not g.traits.pretends]
        return cls(tuple(found))

    @property
    def real(self) -> tuple[Vendor, ...]:
        """What serves live keys and is real."""
        return tuple(vendor for vendor in self.vendors if not vendor.pretends)

    @property
    def sells_real(self) -> bool:
        """Whether a live key can buy anything real."""
        return any(vendor.role is not Role.GATEWAY for vendor in self.real)

    @property
    def delivers_real(self) -> bool:
        """Whether live orders go to a real provider."""
        return any(vendor.role is Role.PROVIDER for vendor in self.real)

    @property
    def takes_play_money(self) -> bool:
        """Whether a gateway that pretends may fund live wallets."""
        return not self.real and any(vendor.role is Role.PROVIDER for vendor in self.vendors)

    @property
    def takes_real_money(self) -> bool:
        """Whether a real gateway may begin to fund live wallets."""
        return self.sells_real

    @property
    def idle_gateways(self) -> tuple[str, ...]:
        """The real gateways that begin no live funding, because nothing real is sold."""
        if self.takes_real_money:
            return ()
        return tuple(vendor.name for vendor in self.real if vendor.role is Role.GATEWAY)
