"""What is sold: networks, products, and the snapshot of both that sales look things up in.

A size is what requests call a bundle (`1GB`, `500MB`, `1.5GB`); a validity is how long it lasts, as text (`30 Days`,
`1 Day`, `Non-expiry`). A product is sold in the currency of its network's country.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final
from uuid import UUID

from telvend.catalog.pauses.model import NetworkPause
from telvend.kit.money import GHS, NGN, SZL, UGX, ZAR, Currency, Money

CURRENCY_BY_COUNTRY: Final[Mapping[str, Currency]] = MappingProxyType(
    {"GH": GHS, "NG": NGN, "SZ": SZL, "UG": UGX, "ZA": ZAR}
)
"""The markets: ISO 3166 country to the currency that is paid in there."""

NON_EXPIRY: Final = "Non-expiry"

PRODUCT_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NETWORK_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .&-]{0,30}[A-Za-z0-9])?", re.ASCII)
_PROVIDER_CODE = re.compile(r"[!-~](?:[ -~]{0,126}[!-~])?", re.ASCII)
_TYPE = re.compile(r"(?:[A-Za-z][A-Za-z0-9 .&-]{0,31})?", re.ASCII)
_SIZE = re.compile(r"(0|[1-9][0-9]{0,5})(?:\.([0-9]{1,3}))?\s*([KMGT]B)", re.ASCII | re.IGNORECASE)
_VALIDITY = re.compile(r"([1-9][0-9]{0,3})(?:\s*days?)?", re.ASCII | re.IGNORECASE)
_NON_EXPIRY = re.compile(r"non[- ]?expir(?:y|ing)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Network:
    """A mobile network of one country. `code` is the word that requests use: `MTN`, `Telecel`, `mtn`.

    `active` is its own switch; `pause` the pause that has not ended, if there is one.
    """

    id: int
    country: str
    code: str
    name: str
    active: bool
    created_at: datetime | None = None
    updated_at: datetime | None = None
    pause: NetworkPause | None = None

    @property
    def on_sale(self) -> bool:
        """Whether it is sold now: switched on, and not paused or on trial."""
        return self.active and (self.pause is None or self.pause.on_trial)

    @property
    def currency(self) -> Currency:
        """What is paid in the network's country."""
        return CURRENCY_BY_COUNTRY[self.country]


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything about a product that the operator decides.

    `network` is the network's code as the catalogue spells it. `type` is the market's own word (`SME`, `Corporate`),
    empty where it knows none. `validity_days` is None for a bundle that does not expire. `price` is what the reseller
    pays, `cost` what the catalogue expects a provider to take; both are in the currency of the country.
    """

    code: str
    country: str
    network: str
    kind: str
    type: str
    size: str
    validity_days: int | None
    price: Money
    cost: Money
    active: bool

    @property
    def validity(self) -> str:
        """`30 Days`, `1 Day`, `Non-expiry`."""
        return validity_text(self.validity_days)

    @property
    def currency(self) -> Currency:
        return self.price.currency


@dataclass(frozen=True, slots=True)
class Product(Terms):
    """A product of the catalogue. `active` is its own switch; it is on sale when its network is too."""

    id: int
    network_id: int

    @property
    def terms(self) -> Terms:
        """The product without its numbers, to compare with what somebody wants it to be."""
        return Terms(
            self.code,
            self.country,
            self.network,
            self.kind,
            self.type,
            self.size,
            self.validity_days,
            self.price,
            self.cost,
            self.active,
        )


@dataclass(frozen=True, slots=True)
class Airtime:
    """Airtime of one network, sold in any amount from `minimum` to `maximum`.

    `cost_basis_points` is what a provider takes, in hundredths of a percent of the amount. `discounts` are what single
    resellers pay less, in the same unit, by their ids.
    """

    id: int
    code: str
    network_id: int
    country: str
    network: str
    minimum: Money
    maximum: Money
    cost_basis_points: int
    active: bool
    discounts: Mapping[UUID, int] = field(default_factory=dict)

    def cost(self, amount: Money) -> Money:
        """What a provider takes for `amount`; halves of a minor unit are ours to bear."""
        return Money(share_minor(amount.minor, self.cost_basis_points), amount.currency)

    def price(self, amount: Money, reseller_id: UUID) -> Money:
        """What this reseller pays for `amount`: never less than one minor unit."""
        off = amount.minor * self.discounts.get(reseller_id, 0) // 10_000
        return Money(max(1, amount.minor - off), amount.currency)


@dataclass(frozen=True, slots=True)
class Discount:
    """What one reseller pays less for airtime of a network. `product` is the airtime's code."""

    reseller_id: UUID
    country: str
    network: str
    product: str
    basis_points: int

    @property
    def percent(self) -> Decimal:
        return Decimal(self.basis_points) / 100


@dataclass(frozen=True, slots=True)
class Offer:
    """What one provider takes for a product, and what it calls it; `sold` False: it has not got it.

    `cost` is of a bundle; of what is sold by amount it is `basis_points`, in hundredths of a percent. Without either the
    catalogue's own cost counts. `code` is the provider's word for the product; empty where it needs none.
    """

    product_id: int
    provider: str
    cost: Money | None
    sold: bool
    code: str = ""
    basis_points: int | None = None


@dataclass(frozen=True, slots=True)
class ProductOffers:
    """Each provider's cost of one product, and its code for it. A provider that is missing takes the cost of the order.

    `fixed_minor` are costs in minor units, None where it is not sold; `basis_points` are shares of the amount; `as_catalogued`
    takes the cost of the order. `type` is the product's.
    """

    fixed_minor: Mapping[str, int | None] = field(default_factory=dict)
    basis_points: Mapping[str, int] = field(default_factory=dict)
    as_catalogued: frozenset[str] = frozenset()
    codes: Mapping[str, str] = field(default_factory=dict)
    type: str = ""

    def costs_minor(self, face_minor: int, cost_minor: int) -> Mapping[str, int | None]:
        """What providers take of an order for `face_minor` that is expected to cost `cost_minor`; None: not sold."""
        if not self.basis_points and not self.as_catalogued:
            return self.fixed_minor
        return {
            **self.fixed_minor,
            **{name: share_minor(face_minor, points) for name, points in self.basis_points.items()},
            **dict.fromkeys(self.as_catalogued, cost_minor),
        }

    @classmethod
    def of(cls, offers: Iterable[Offer], type_: str) -> "ProductOffers":
        """Arrange the offers for one product."""
        fixed: dict[str, int | None] = {}
        shares: dict[str, int] = {}
        catalogued = set()
        codes = {}
        for offer in offers:
            if not offer.sold:
                fixed[offer.provider] = None
            elif offer.cost is not None:
                fixed[offer.provider] = offer.cost.minor
            elif offer.basis_points is not None:
                shares[offer.provider] = offer.basis_points
            else:
                catalogued.add(offer.provider)
            if offer.code:
                codes[offer.provider] = offer.code
        return cls(fixed, shares, frozenset(catalogued), codes, type_)


NO_OFFERS: Final = ProductOffers()


def share_minor(amount_minor: int, basis_points: int) -> int:
    """Return so many hundredths of a percent of an amount; a part of a minor unit is ours to bear."""
    return -(-amount_minor * basis_points // 10_000)


@dataclass(frozen=True, slots=True)
class CatalogueSnapshot:
    """The catalogue at one revision, as sales see it. Never changed; a new one takes its place.

    Built by `Snapshot.of`. Each look-up is one or two dictionary reads.
    """

    revision: int
    _networks: Mapping[tuple[str, str], Network] = field(default_factory=dict)
    _cheapest: Mapping[tuple[str, str, str], Product] = field(default_factory=dict)
    _on_sale: Mapping[str, tuple[Product, ...]] = field(default_factory=dict)
    _products: Mapping[int, Product] = field(default_factory=dict)
    _products_by_code: Mapping[str, Product] = field(default_factory=dict)
    _offers: Mapping[int, ProductOffers] = field(default_factory=dict)
    _airtime: Mapping[tuple[str, str], Airtime] = field(default_factory=dict)
    _provider_codes: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    _airtime_by_code: Mapping[str, Airtime] = field(default_factory=dict)
    trials: frozenset[tuple[str, str]] = frozenset()
    """The networks of which single sales are let through, by country and code. Almost always empty."""
    recovers: bool = False
    """Whether a network waits for a delivery to be sold again."""

    @classmethod
    def of(
        cls,
        revision: int,
        networks: Iterable[Network],
        products: Iterable[Product],
        offers: Iterable["Offer"] = (),
        airtime: Iterable["Airtime"] = (),
        provider_codes: Iterable[tuple[int, str, str]] = (),
    ) -> "CatalogueSnapshot":
        """Arrange networks (kept in the order of their ids) and products."""
        all_airtime = list(airtime)
        in_order = sorted(networks, key=lambda network: network.id)
        everything = sorted(products, key=lambda product: (product.network_id, product.price.minor, product.id))
        active = {network.id for network in in_order if network.on_sale}
        cheapest: dict[tuple[str, str, str], Product] = {}
        on_sale: dict[str, list[Product]] = {}
        for product in everything:
            key = (product.country, product.network.casefold(), product.size)
            if product.active and product.network_id in active and key not in cheapest:
                cheapest[key] = product
                on_sale.setdefault(product.country, []).append(product)
        offered: dict[int, list[Offer]] = {product.id: [] for product in everything if product.type}
        for offer in offers:
            offered.setdefault(offer.product_id, []).append(offer)
        types = {product.id: product.type for product in everything}
        spelt: dict[int, dict[str, str]] = {}
        for network_id, provider, code in provider_codes:
            spelt.setdefault(network_id, {})[provider] = code
        return cls(
            revision,
            {(network.country, network.code.casefold()): network for network in in_order},
            cheapest,
            {country: tuple(found) for country, found in on_sale.items()},
            {product.id: product for product in everything},
            {product.code: product for product in everything},
            {number: ProductOffers.of(found, types.get(number, "")) for number, found in offered.items()},
            {
                (item.country, item.network.casefold()): item
                for item in all_airtime
                if item.active and item.network_id in active
            },
            spelt,
            {item.code: item for item in all_airtime},
            frozenset((n.country, n.code) for n in in_order if n.pause is not None and n.on_sale),
            any(network.pause is not None and network.pause.automatic for network in in_order),
        )

    def find(self, country: str, network: str, size: str) -> Product | None:
        """The cheapest product of exactly this size that is on sale; `network` in any case."""
        return self._cheapest.get((country, network.casefold(), size))

    def network(self, country: str, word: str) -> Network | None:
        """The network of this code in any case, on sale or not."""
        return self._networks.get((country, word.casefold()))

    def networks(self, country: str) -> tuple[Network, ...]:
        """The networks of a country in catalogue order, on sale or not."""
        return tuple(network for network in self._networks.values() if network.country == country)

    @property
    def everywhere(self) -> tuple[Network, ...]:
        """The networks of every country in catalogue order, on sale or not."""
        return tuple(self._networks.values())

    def on_sale(self, country: str) -> tuple[Product, ...]:
        """What `find` finds: networks in catalogue order, cheapest first within each, one product per size."""
        return self._on_sale.get(country, ())

    def airtime(self, country: str, network: str) -> Airtime | None:
        """The airtime of a network that is on sale; `network` in any case."""
        return self._airtime.get((country, network.casefold()))

    def airtime_by_code(self, code: str) -> Airtime | None:
        """The airtime of this code, spelt exactly, on sale or not."""
        return self._airtime_by_code.get(code)

    def provider_codes(self, network_id: int) -> Mapping[str, str]:
        """How providers spell a network, by their names."""
        return self._provider_codes.get(network_id, {})

    def plans(self, country: str, network: str) -> tuple[Product, ...]:
        """Every product of a network that is on sale, cheapest first; `network` in any case."""
        word = network.casefold()
        found = self._networks.get((country, word))
        if found is None or not found.on_sale:
            return ()
        return tuple(
            product
            for product in self._products.values()
            if product.active and product.country == country and product.network.casefold() == word
        )

    def sells(self, plan: Product) -> bool:
        """Whether `plans` of its network has exactly this product."""
        network = self._networks.get((plan.country, plan.network.casefold()))
        return plan.active and network is not None and network.on_sale and self._products.get(plan.id) == plan

    def types(self, country: str, network: str) -> frozenset[str]:
        """The types that bundles of a network have, whether they are on sale now or not; `network` in any case."""
        word = network.casefold()
        return frozenset(
            product.type
            for product in self._products.values()
            if product.type and product.country == country and product.network.casefold() == word
        )

    def offers(self, product_id: int) -> ProductOffers:
        """What providers take for a product, airtime or a biller's product, and what they call it."""
        return self._offers.get(product_id, NO_OFFERS)

    def costs(self, product_id: int) -> Mapping[str, int | None]:
        """What providers take for a bundle, in minor units, where that was said of it; None: not sold."""
        product = self._products.get(product_id)
        return self.offers(product_id).costs_minor(0, product.cost.minor if product else 0)

    def product(self, product_id: int) -> Product | None:
        """The product of this number, on sale or not."""
        return self._products.get(product_id)

    def product_by_code(self, code: str) -> Product | None:
        """The product of this code, spelt exactly, on sale or not. Airtime is not a product."""
        return self._products_by_code.get(code)


def is_product_code(text: str) -> bool:
    """Whether a product may be called so: `[A-Za-z0-9_.-]{1,64}`."""
    return PRODUCT_CODE.fullmatch(text) is not None


def is_provider_code(text: str) -> bool:
    """Whether a provider may call a product so: printable ASCII, as it will stand in a request."""
    return _PROVIDER_CODE.fullmatch(text) is not None


def is_network_word(text: str) -> bool:
    """Whether a network may be called so, as code or as name."""
    return _NETWORK_WORD.fullmatch(text) is not None


def is_product_type(text: str) -> bool:
    """Whether a product's type may be called so; empty is fine."""
    return _TYPE.fullmatch(text) is not None


def parse_size(text: str) -> str:
    """The one spelling of a size: `1 gb`, `1GB` and `1.0GB` are all `1GB`. Raises ValueError with a sentence."""
    match = _SIZE.fullmatch(text)
    decimals = (match[2] or "").rstrip("0") if match else ""
    if match is None or (match[1] == "0" and not decimals):
        raise ValueError("must be a size such as 500MB, 1GB or 1.5GB")
    return f"{match[1]}{'.' + decimals if decimals else ''}{match[3].upper()}"


def parse_validity(text: str) -> int | None:
    """Read `30 Days`, `1 Day`, `30` or `Non-expiry` (None), in any case. Raises ValueError with a sentence."""
    if _NON_EXPIRY.fullmatch(text):
        return None
    match = _VALIDITY.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a number of days such as 30 Days, or {NON_EXPIRY}")
    return int(match[1])


def validity_text(days: int | None) -> str:
    """`30 Days`, `1 Day`, or `Non-expiry` for None. Source of the wording: the Netpluse document, /packages."""
    if days is None:
        return NON_EXPIRY
    return "1 Day" if days == 1 else f"{days} Days"
