"""What a product kind is: who receives it, what its delivery carries back, and how a receipt shows that.

    kind = kind_of("electricity")
    meter = kind.recipient.parse("0123 4567 8901", "NG")     # "01234567890": as it is stored and sent
    kind.payload.parse([{"kind": "credit", "digits": "…"}])  # what a provider said, checked and in order

One file each in this package; `__init__.py` lists them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn


class Payload:
    """What a delivery carries back and is worth money: items in their order, each a text by the name of its field.

    It prints as stars; `reveal()` is the only way to the texts.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Mapping[str, str]]) -> None:
        self._items = tuple(dict(item) for item in items)

    def reveal(self) -> list[dict[str, str]]:
        return [dict(item) for item in self._items]

    def __repr__(self) -> str:
        return "Payload(********)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("A payload is not pickled: its texts would stand in the open.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Payload) and self._items == other._items

    def __hash__(self) -> int:
        return hash(tuple(tuple(item.items()) for item in self._items))


@dataclass(frozen=True, slots=True)
class RecipientRule:
    """Who receives products of a kind.

    `label` is what a receipt calls it (`meter`). `parse` takes a text and the country of the product, and returns the text as it
    is stored, compared and sent; it raises ValueError with a sentence that does not repeat the text. `masked` is how logs show
    it.
    """

    label: str
    parse: Callable[[str, str], str]
    masked: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class PayloadForm:
    """What a delivery of a kind carries back.

    `name` is what a receipt calls the items (`tokens`). `parse` checks what a provider said and puts it into the order in which
    it is to be used; it raises ValueError with a sentence that repeats none of it. `lines` says how a receipt shows one item, as
    label and text.
    """

    name: str
    parse: Callable[[Sequence[Mapping[str, str]]], list[dict[str, str]]]
    lines: Callable[[Mapping[str, str]], list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class ProductKind:
    """A kind of product. `name` stands on orders and never changes; `title` is for people.

    `payload` is None where a delivery carries nothing back. `by_amount`: its amount is what the recipient gets in money's worth, and
    stands on a customer's receipt; of anything else it would be what the reseller has paid.
    """

    name: str
    title: str
    recipient: RecipientRule
    payload: PayloadForm | None = None
    by_amount: bool = False


def required(item: Mapping[str, str], field: str) -> str:
    """Return a field of an item that a provider has to send. Raises ValueError."""
    text = item.get(field, "")
    if not isinstance(text, str):
        raise ValueError(f"{field} is no text")  # noqa: TRY004 - every fault of a payload is a ValueError
    if not (text := text.strip()):
        raise ValueError(f"{field} is missing")
    return text
