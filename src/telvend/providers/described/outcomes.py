"""What an answer means by a description. Whatever the file does not map is `Unknown`, and so is what contradicts itself.

An answer is read in this order:

1. A 5xx, a redirect, a 408, 409, 423, 425 or 499 is unknown, whatever stands in it.
2. An answer about another reference is unknown.
3. The status decides, where the file maps it. Delivered and accepted need a 2xx, no error beside them, and their reference
   where the file says where it stands. Refused takes the more exact reason of an error that is mapped.
4. Without a status, or with one that is mapped to unknown, the error decides.
5. Without either, of a purchase's answer, the HTTP status decides: only 4xx can be mapped.

An error or an HTTP status in an answer to a question is about the question, so that neither refuses a purchase; and a status
refuses one only in a 2xx that names the order.
"""

from decimal import Decimal
from typing import Any, Final

from telvend.kit.money import MAXIMUM_MINOR, Currency, Money
from telvend.providers.contract import Accepted, Delivered, Delivery, NotSent, Outcome, Reason, Refused, Unknown
from telvend.providers.described.model import (
    MAY_HAVE_DELIVERED,
    Balance,
    Description,
    Ending,
    Reading,
    Verdict,
    word_of,
)
from telvend.providers.over_http import ProviderReply
from telvend.providers.reading import parsed_object, reference_of, rounded_money_of, value_at
from telvend.providers.upstream import BalanceUnavailable

_LONGEST_TEXT: Final = 200
_SIGNIFICANT_DIGITS: Final = 9


def outcome_of(it: Description, delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a purchase means."""
    reading = it.answer
    if _says_nothing(reply.http_status):
        return Unknown(f"no answer that counts: {reply.excerpt}")
    body = parsed_object(reply.body)
    if body is not None and (doubt := _about_another(reading, delivery, body)) is not None:
        return Unknown(f"{doubt}: {reply.excerpt}")
    status = None if body is None else value_at(body, reading.status)
    error = None if body is None else _error(reading, body)
    if status is None and error is None:
        verdict = it.http.get(reply.http_status)
        return _unmapped(reply) if verdict is None else _settled(verdict, _text(reading, body) or reply.excerpt)
    outcome = _by_status(it, delivery, reply, reading, body, status, error)
    return outcome if outcome is not None else _by_error(reading, reply, body, error)


def requery_outcome_of(it: Description, delivery: Delivery, reply: ProviderReply) -> Outcome:
    """What an answer to a requery means. `NotSent`: it says that it has never heard of our reference."""
    reading = it.requery.reading
    if _says_nothing(reply.http_status):
        return Unknown(f"could not be asked: {reply.excerpt}")
    body = parsed_object(reply.body)
    if body is None:
        return Unknown(f"could not be asked: {reply.excerpt}")
    if (doubt := _about_another(reading, delivery, body)) is not None:
        return Unknown(f"{doubt}: {reply.excerpt}")
    never = word_of(value_at(body, it.requery.not_found_at))
    status = value_at(body, reading.status)
    if never is not None and never in it.requery.not_found:
        if status is not None and it.requery.not_found_at != reading.status:
            verdict = reading.statuses.get(word_of(status) or "")
            if verdict is not None and verdict.ending in (Ending.DELIVERED, Ending.ACCEPTED):
                return Unknown(f"never heard of, and {verdict.ending}: {reply.excerpt}")
        return NotSent(f"never heard of: {_text(reading, body) or reply.excerpt}")
    outcome = _by_status(it, delivery, reply, reading, body, status, _error(reading, body))
    if outcome is None:
        return _unmapped(reply)
    if isinstance(outcome, Refused) and not (200 <= reply.http_status < 300 and _names_the_purchase(reading, body)):
        # "failed" for a question whose key was not accepted looks like a purchase that has failed.
        return Unknown(f"refused, and nothing says that the purchase is meant: {reply.excerpt}")
    return outcome


def balance_of(balance: Balance, currency: Currency, reply: ProviderReply) -> Money | BalanceUnavailable:
    """What an answer to the request for the float means."""
    if reply.http_status in (401, 403):
        return BalanceUnavailable(f"the credentials are not accepted: {reply.excerpt}", not_allowed=True)
    body = parsed_object(reply.body) if 200 <= reply.http_status < 300 else None
    found = None if body is None else _money(value_at(body, balance.amount), balance.format, currency, up=False)
    return found if found is not None else BalanceUnavailable(f"no float can be read from {reply.excerpt}")


def _says_nothing(http_status: int) -> bool:
    return http_status >= 500 or http_status < 200 or 300 <= http_status < 400 or http_status in MAY_HAVE_DELIVERED


def _names_the_purchase(reading: Reading, body: dict[str, Any]) -> bool:
    return any(
        value_at(body, steps) not in (None, "")
        for steps in (reading.reference, reading.our_reference)
        if steps is not None
    )


def _about_another(reading: Reading, delivery: Delivery, body: dict[str, Any]) -> str | None:
    if reading.our_reference is not None:
        ours = value_at(body, reading.our_reference)
        if ours is not None and str(ours) != delivery.reference:
            return "an answer about another reference"
    if reading.phone is not None:
        phone = value_at(body, reading.phone)
        if phone is not None and _digits(phone) != delivery.subscriber[-_SIGNIFICANT_DIGITS:]:
            return "an answer about another number"
    if reading.reference is not None and delivery.provider_reference:
        theirs = reference_of(value_at(body, reading.reference))
        if theirs is not None and theirs != delivery.provider_reference:
            return "an answer about another order"
    return None


def _digits(phone: Any) -> str:
    """The digits that every spelling of a number has in common. A number that lost its leading zero as JSON has them too."""
    return "".join(character for character in str(phone) if character.isdecimal())[-_SIGNIFICANT_DIGITS:]


def _error(reading: Reading, body: dict[str, Any]) -> Any:
    """The value of an error; None where there is none, or one that means none."""
    if reading.error is None:
        return None
    found = value_at(body, reading.error)
    return None if found in ("", [], {}) or word_of(found) in reading.no_error else found


def _by_status(
    it: Description,
    delivery: Delivery,
    reply: ProviderReply,
    reading: Reading,
    body: dict[str, Any] | None,
    status: Any,
    error: Any,
) -> Outcome | None:
    """What the status says; None where it says nothing and an error may decide."""
    if status is None:
        return None
    word = word_of(status)
    verdict = None if word is None else reading.statuses.get(word)
    if verdict is None:
        return _unmapped(reply)
    text = _text(reading, body)
    if verdict.ending is Ending.UNKNOWN:
        return None if error is not None else Unknown(text or reply.excerpt)
    if verdict.ending is Ending.REFUSED:
        return _refused(reading, reply, verdict, error, text)
    if not 200 <= reply.http_status < 300 or error is not None:
        return Unknown(f"{verdict.ending}, and an error: {reply.excerpt}")
    reference = None
    if reading.reference is not None:
        reference = reference_of(value_at(body, reading.reference))
        if reference is None:
            return Unknown(f"{verdict.ending} without their reference: {reply.excerpt}")
    cost = None
    if reading.cost is not None:
        cost = _money(value_at(body, reading.cost), reading.cost_format, delivery.cost.currency, up=True)
    if verdict.ending is Ending.ACCEPTED:
        return Accepted(reference, it.requery.requery_after_s, text or "Accepted", cost)
    return Delivered(reference, cost, text or "Delivered")


def _refused(reading: Reading, reply: ProviderReply, verdict: Verdict, error: Any, text: str) -> Outcome:
    """A refusal, with the reason of the error where that is mapped; unknown where the error says something else."""
    closer = None if error is None or reading.errors is None else reading.errors.get(word_of(error) or "")
    if closer is None:
        return Refused(verdict.reason or Reason.REFUSED, text or reply.excerpt)
    if closer.ending is not Ending.REFUSED:
        return Unknown(f"refused, and an error that is {closer.ending}: {reply.excerpt}")
    return Refused(closer.reason or Reason.REFUSED, text or reply.excerpt)


def _by_error(reading: Reading, reply: ProviderReply, body: dict[str, Any] | None, error: Any) -> Outcome:
    verdict = (reading.errors or {}).get(word_of(error) or "")
    return _unmapped(reply) if verdict is None else _settled(verdict, _text(reading, body) or reply.excerpt)


def _settled(verdict: Verdict, text: str) -> Outcome:
    """An outcome without a status; nothing can be delivered by it."""
    match verdict.ending:
        case Ending.REFUSED:
            return Refused(verdict.reason or Reason.REFUSED, text)
        case Ending.NOT_SENT:
            return NotSent(text)
        case _:
            return Unknown(text)


def _unmapped(reply: ProviderReply) -> Unknown:
    return Unknown(f"not in the description: {reply.excerpt}")


def _text(reading: Reading, body: dict[str, Any] | None) -> str:
    if reading.text is None or body is None:
        return ""
    found = value_at(body, reading.text)
    return " ".join(found.split())[:_LONGEST_TEXT] if isinstance(found, str) else ""


def _money(value: Any, form: str, currency: Currency, *, up: bool) -> Money | None:
    if form == "decimal":
        return rounded_money_of(value, currency, up=up)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and value == value.to_integral_value()
        and value < MAXIMUM_MINOR
    ):
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAXIMUM_MINOR
    return Money(value, currency) if whole else None
