"""What stands in braces in a description, and how it is filled in.

    {phone:national}   {amount:minor}   {network:number}   Token {api_key}   {basic:client_id:client_secret}

A value that is nothing but one placeholder keeps its type in a JSON body: `"{amount:minor}"` becomes 30000, a number. Within a
longer text, and in forms, queries, URLs and headers, everything is text. A brace that is meant is written twice.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from telvend.kit.money import Money
from telvend.kit.numbering import national_form
from telvend.providers.contract import Delivery, Reason
from telvend.providers.requirements import CREDENTIALS

SECRETS: Final = CREDENTIALS
"""Keys of the provider's settings that may stand in a header, a body or a URL."""

WITHOUT_DELIVERY: Final = frozenset({*SECRETS, "basic"})
"""Placeholders that need no delivery."""

PHONE: Final = {"e164": "+2348031234567", "digits": "2348031234567", "national": "08031234567"}
AMOUNT: Final = {"decimal": "300.00 (text)", "major": "300 or 300.5", "whole": "300", "minor": "30000"}

FORMS: Final[dict[str, dict[str, str]]] = {"phone": PHONE, "amount": AMOUNT, "cost": AMOUNT}
"""Placeholders that need a format, and what each format looks like."""

TEXTS: Final = {
    "reference": "our reference of the attempt",
    "phone": "the recipient",
    "amount": "the face value: the amount of airtime, the price of a bundle",
    "cost": "what the catalogue expects the upstream to take",
    "network": "the network as `[networks]` spells it",
    "product": "what the upstream calls the product",
    "our_product": "our code of the product",
    "size": "what is printed on the bundle (`1GB`); of airtime the amount",
    "type": "the type of the bundle (`SME`)",
    "validity_days": "how many days the bundle lasts",
    "provider_reference": "what the upstream called the order when it accepted it",
}
"""Every placeholder that a delivery fills, and what it is."""

NUMBERS: Final = frozenset({"network", "product", "validity_days", "amount", "cost"})
"""Placeholders that may be numbers in JSON."""

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[^{}]+|.", re.DOTALL)
_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)

Value = str | int | Decimal
Render = Callable[[Delivery], Value]


class TemplateRefused(ValueError):
    """A template cannot be used. The message completes "KEY: …"."""


class CannotBeSaid(Exception):
    """A delivery cannot be expressed as the description has it; the request is not sent."""

    def __init__(self, text: str, reason: Reason = Reason.NOT_SOLD) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{name:form:type}`. `keys` are the two secrets of `{basic:KEY:KEY}`."""

    name: str
    form: str = ""
    number: bool = False
    keys: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.keys or ((self.name,) if self.name in SECRETS else ())


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders."""

    parts: tuple[str | Placeholder, ...]

    @property
    def placeholders(self) -> Iterator[Placeholder]:
        return (part for part in self.parts if isinstance(part, Placeholder))

    @property
    def names(self) -> set[str]:
        return {part.name for part in self.placeholders}

    @property
    def secrets(self) -> set[str]:
        return {key for part in self.placeholders for key in part.secrets}

    @property
    def literal(self) -> str:
        """What stands between the placeholders."""
        return "".join(part for part in self.parts if isinstance(part, str))


def parse(text: str, *, typed: bool) -> Template:
    """Read a template. `typed`: it is a value of a JSON body. Raises TemplateRefused."""
    parts: list[str | Placeholder] = []
    for piece in _PIECE.finditer(text):
        found = piece[0]
        if found in ("{{", "}}"):
            parts.append(found[0])
        elif found in ("{", "}"):
            raise TemplateRefused(f"has a single brace {found!r}; write {found * 2!r} where it is meant")
        elif piece[1] is None:
            parts.append(found)
        else:
            parts.append(_placeholder(piece[1], alone=typed and piece[0] == text, typed=typed))
    return Template(tuple(_joined(parts)))


def _joined(parts: list[str | Placeholder]) -> Iterator[str | Placeholder]:
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        if texts:
            yield "".join(texts)
            texts.clear()
        yield part
    if texts:
        yield "".join(texts)


def _placeholder(text: str, *, alone: bool, typed: bool) -> Placeholder:
    name, *words = text.split(":")
    if name == "basic":
        if len(words) != 2 or not set(words) <= set(SECRETS):
            raise TemplateRefused(f"has {{{text}}}; write {{basic:USER:PASSWORD}} with two of {', '.join(SECRETS)}")
        return Placeholder(name, keys=tuple(words))
    if name not in TEXTS and name not in SECRETS:
        known = ", ".join([*TEXTS, *SECRETS])
        raise TemplateRefused(f"has {{{text}}}, which nothing fills; there are {known}")
    forms = FORMS.get(name, {})
    form = ""
    if forms:
        form = words.pop(0) if words else ""
        if form not in forms:
            shown = ", ".join(f"{{{name}:{key}}} ({looks})" for key, looks in forms.items())
            raise TemplateRefused(f"has {{{text}}} without its format; write one of {shown}")
    kind = words.pop(0) if words else ""
    if words or kind not in ("", "text", "number"):
        raise TemplateRefused(f"has {{{text}}}; behind {name} only :text or :number may follow")
    if kind == "number":
        if name not in NUMBERS:
            raise TemplateRefused(f"has {{{text}}}, which is no number; leave out :number")
        if not alone:
            why = "in quotes with other text" if typed else "outside a JSON body"
            raise TemplateRefused(f"has {{{text}}} {why}, where everything is text; leave out :number")
    number = alone and (
        kind == "number" or (kind == "" and (form in ("major", "whole", "minor") or name == "validity_days"))
    )
    return Placeholder(name, form, number)


def templates_of(body: Any) -> Iterator[Template]:
    """Yield every template of a body."""
    if isinstance(body, Template):
        yield body
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from templates_of(value)
    elif isinstance(body, list):
        for value in body:
            yield from templates_of(value)


@dataclass(frozen=True, slots=True)
class Words:
    """What fills placeholders beside a delivery: spellings, codes and secrets.

    `networks` by our code in small letters; `products` by our product's code; `product` where neither the operator nor
    `products` has said what the upstream calls it.
    """

    networks: Mapping[str, str]
    products: Mapping[str, str]
    product: Template | None
    secrets: Mapping[str, str]

    def render(self, template: Template) -> Render:
        """Return what makes the value of a template. What it returns raises CannotBeSaid."""
        if len(template.parts) == 1 and isinstance(part := template.parts[0], Placeholder):
            return self._of(part)
        fills = [_constant(part) if isinstance(part, str) else self._of(part) for part in template.parts]
        return lambda delivery: "".join([str(fill(delivery)) for fill in fills])

    def _of(self, part: Placeholder) -> Render:
        if part.keys:
            return _constant(basic(*(self.secrets[key] for key in part.keys)))
        if part.name in SECRETS:
            return _constant(self.secrets[part.name])
        match part.name:
            case "phone":
                return _PHONES[part.form]
            case "amount":
                return _amount(part, lambda delivery: delivery.face_value)
            case "cost":
                return _amount(part, lambda delivery: delivery.cost)
            case "network":
                return self._numbered(part, self._network)
            case "product":
                return self._numbered(part, self._product())
            case "validity_days":
                return self._numbered(part, _validity)
            case "our_product":
                return lambda delivery: delivery.product
            case "size":
                return lambda delivery: delivery.size
            case "type":
                return lambda delivery: delivery.type
            case "provider_reference":
                return _provider_reference
            case _:
                return lambda delivery: delivery.reference

    def _network(self, delivery: Delivery) -> str:
        word = self.networks.get(delivery.network.casefold())
        if word is None:
            raise CannotBeSaid(f"the description has no network {delivery.network}")
        return word

    def _product(self) -> Render:
        by_template = None if self.product is None else self.render(self.product)

        def code(delivery: Delivery) -> Value:
            found = delivery.provider_code or self.products.get(delivery.product, "")
            if found:
                return found
            if by_template is None:
                raise CannotBeSaid(
                    f"{delivery.product} has no code at this provider: `telvend product offer {delivery.product}"
                    " PROVIDER --code THEIRS`, or a line of [products]"
                )
            return by_template(delivery)

        return code

    def _numbered(self, part: Placeholder, render: Render) -> Render:
        if not part.number:
            return render

        def number(delivery: Delivery) -> int:
            text = str(render(delivery))
            if not is_number(text):
                raise CannotBeSaid(f"{part.name} is {text!r}, and the description sends it as a number")
            return int(text)

        return number


def is_number(text: str) -> bool:
    """Whether a text can be a whole number in JSON without a change: no leading zeros."""
    return _DIGITS.fullmatch(text) is not None


def basic(user: str, password: str) -> str:
    """Return what stands behind `Basic ` in a header."""
    import base64

    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _constant(text: str) -> Render:
    return lambda _: text


def _validity(delivery: Delivery) -> str:
    if delivery.validity_days is None:
        raise CannotBeSaid("the description sends validity_days, and this does not expire")
    return str(delivery.validity_days)


def _provider_reference(delivery: Delivery) -> str:
    if not delivery.provider_reference:
        raise CannotBeSaid("the upstream has not said what it calls the order, and can only be asked by that")
    return delivery.provider_reference


_PHONES: Final[dict[str, Render]] = {
    "e164": lambda delivery: delivery.subscriber,
    "digits": lambda delivery: delivery.subscriber.removeprefix("+"),
    "national": lambda delivery: national_form(delivery.subscriber),
}


def _amount(part: Placeholder, of: Callable[[Delivery], Money]) -> Render:
    def amount(delivery: Delivery) -> Value:
        value = _AMOUNTS[part.form](of(delivery))
        return (Decimal(value) if isinstance(value, str) else value) if part.number else str(value)

    return amount


def _major(money: Money) -> int | Decimal:
    return _integral(money) if money.decimal == money.decimal.to_integral_value() else money.decimal.normalize()


def _integral(money: Money) -> int:
    if money.decimal != money.decimal.to_integral_value():
        raise CannotBeSaid(f"the description sends whole units, and the amount is {money}")
    return int(money.decimal)


_AMOUNTS: Final[dict[str, Callable[[Money], Value]]] = {
    "decimal": lambda money: money.text,
    "major": _major,
    "whole": _integral,
    "minor": lambda money: money.minor,
}
