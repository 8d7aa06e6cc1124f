"""Parse arguments of commands: telephone numbers, currencies and amounts. Raises InvalidInput.

A parameter that is a telephone number is marked, and `command` (common.py) reads it before the command begins:

    subscriber: Annotated[str, typer.Option(help="Only for this number."), NUMBER]
"""

from collections.abc import Iterable, Mapping
from inspect import Parameter
from typing import Any, Final, get_args

from telvend.errors import InvalidInput
from telvend.kit.money import Currency, Money, currency_of
from telvend.kit.phone import NotAMobileNumber, parse_mobile, parse_mobile_of_any_market


class _Number:
    """The mark of a parameter that is a telephone number."""


NUMBER: Final = _Number()


def numbers_read(parameters: Iterable[Parameter], arguments: Mapping[str, Any], home: str) -> dict[str, Any]:
    """The arguments of a command, those of marked parameters in E.164. Raises InvalidInput, also for what is no text.

    `home` is the market whose national form is read first; "" for that of Ghana, then of Nigeria.
    """
    read = dict(arguments)
    for parameter in parameters:
        value = read.get(parameter.name)
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str) and not _is_text(text):
                raise InvalidInput(parameter.name, "is not text in the encoding of this terminal")
        if isinstance(value, str) and any(isinstance(mark, _Number) for mark in get_args(parameter.annotation)):
            read[parameter.name] = parsed_msisdn(value, parameter.name, home)
    return read


def _is_text(value: str) -> bool:
    # Bytes that are no letters reach Python as halves of letters, and no database takes them.
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def parsed_msisdn(text: str, field: str = "msisdn", home: str = "") -> str:
    """The number in E.164, as the APIs read it: E.164, international digits or the national form, with spaces and dashes.

    Raises InvalidInput.
    """
    try:
        if home:
            try:
                return parse_mobile(text, home)
            except (NotAMobileNumber, LookupError):
                pass  # Perhaps of another market.
        return parse_mobile_of_any_market(text)
    except NotAMobileNumber as error:
        raise InvalidInput(field, str(error)) from None


def parsed_currency(code: str) -> Currency:
    """The currency of this code. Raises InvalidInput."""
    try:
        return currency_of(code)
    except ValueError as error:
        raise InvalidInput("currency", str(error)) from None


def parsed_amount(text: str, currency: Currency, field: str = "amount") -> Money:
    """The amount in whole units that `text` names. Raises InvalidInput."""
    try:
        return Money.parse(text, currency)
    except ValueError as error:
        raise InvalidInput(field, str(error)) from None
