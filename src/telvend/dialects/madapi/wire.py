"""What MADAPI's clients see: bodies, links, words, units and formats.

Sources: MTN's page "Plans v2" (version 2.1 of the API) for the names of fields, and its public specification 2.3 for the
enums and the code that the page has lost. Where the two differ, the page's name is sent. Choices of ours:

- A part that is absent is null, never left out; the two exceptions are `loyaltyInformation` of a premium whose loyalty could not
  be read, and fields that only version 2.3 knows.
- Values are strings with two decimals, rounded down; messages (SMS) are whole. Data is always in MB, of 1024 * 1024 bytes.
- A bucket shows what can be used of it: what a reservation keeps is not in `value`. Mobile money shows its whole balance, and
  beside it what is reserved, as its own block says.
- The main account lasts as long as the subscriber may spend (`active_until`); `endDate` is when the number is given up.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec

from telvend.dialects.contract import Header, Request, Response
from telvend.kit.money import Currency, Money
from telvend.operator.plans.model import PlanPart, Plans
from telvend.operator.premiums.model import Loyalty, Premium
from telvend.operator.refills.model import Refilled
from telvend.operator.subscribers.balances.model import Bucket, BucketKind
from telvend.operator.subscribers.model import Subscriber
from telvend.operator.subscribers.momo.model import MomoAccount

SUCCESS_CODE: Final = "0000"
SUCCESS: Final = "Success"


class Href(msgspec.Struct):
    href: str


class Links(msgspec.Struct):
    """Where the answer was asked for."""

    own: Href = msgspec.field(name="self")


def links(request: Request) -> Links:
    return Links(Href(request.base_url + quote(request.path, safe="/+")))


# Amounts ----------------------------------------------------------------------------------------------------------------


class Amount(msgspec.Struct):
    """`type` is CURRENCY, DATA, MINUTES or SMS; `value` a decimal string; `unit` NGN (or another currency), MB, MINUTES, SMS."""

    type: str
    value: str
    unit: str


CURRENCY: Final = "CURRENCY"
_TYPE: Final = {
    BucketKind.MONEY: CURRENCY,
    BucketKind.MOMO: CURRENCY,
    BucketKind.DATA: "DATA",
    BucketKind.MINUTES: "MINUTES",
    BucketKind.SMS: "SMS",
}
_PER_UNIT: Final = {BucketKind.DATA: 1024 * 1024, BucketKind.MINUTES: 60}
_UNIT: Final = {BucketKind.DATA: "MB", BucketKind.MINUTES: "MINUTES", BucketKind.SMS: "SMS"}


def value_of(kind: BucketKind, amount: int, currency: Currency) -> str:
    """Minor units, bytes, seconds or messages as MADAPI writes them: `1250.50`, `1024.00`, `2.50`, `10`."""
    if kind is BucketKind.SMS:
        return str(amount)
    whole, hundredths = divmod(amount * 100 // (_PER_UNIT.get(kind) or 10**currency.digits), 100)
    return f"{whole}.{hundredths:02d}"


def unit_of(kind: BucketKind, currency: Currency) -> str:
    return _UNIT.get(kind) or currency.code


def _amount(kind: BucketKind, amount: int, currency: Currency) -> Amount:
    return Amount(_TYPE[kind], value_of(kind, amount, currency), unit_of(kind, currency))


def money_amount(money: Money) -> Amount:
    return _amount(BucketKind.MONEY, money.minor, money.currency)


def stamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the second, with `Z`. What never ends is null: the schema has no word for it.

    `moment` is in UTC, as everything is that comes from the database.
    """
    # `"2026-11-22T09:14:05.310000Z"`, in a tenth of the time that isoformat takes.
    return None if moment is None else f"{_encode(moment)[1:20].decode()}Z"


_encode: Final = msgspec.json.Encoder().encode


# Plans ------------------------------------------------------------------------------------------------------------------


class Wallet(msgspec.Struct, rename="camel"):
    """One bucket. `status` is Active or Unused."""

    name: str
    status: str
    expiry_date: str | None
    amount: Amount


class BalanceDetail(msgspec.Struct, rename="camel"):
    """The sums of the wallets that are Active, and of those that are Unused."""

    type: str
    active_value: str
    active_unit: str
    unused_value: str
    unused_unit: str


class LoyaltyInformation(msgspec.Struct, rename="camel"):
    generated_amount: Amount
    consumed_amount: Amount
    new_balance: Amount


class Overdraft(msgspec.Struct, rename="camel"):
    balance: Amount
    limit: Amount
    access_fee: Amount
    interest: Amount


class MomoBalanceData(msgspec.Struct, rename="camel"):
    """Reservations are null unless they were asked for. `status` (2.3) only beside `amount` or `quoteid`: less than that is there."""

    balance: Amount
    positive_reservations: Amount | None
    negative_reservations: Amount | None
    loyalty_information: LoyaltyInformation
    overdraft: Overdraft
    status: bool | msgspec.UnsetType = msgspec.UNSET


class Balance(msgspec.Struct, rename="camel"):
    """`expiryDate` is the soonest of the active wallets that have something left."""

    balance_type: str
    category: str
    expiry_date: str | None
    balance_detail: BalanceDetail
    momo_balance_data: MomoBalanceData | None
    wallets: list[Wallet]


class PlanData(msgspec.Struct, rename="camel"):
    """What could not be read is null. `balance` is null too where there is none."""

    type: str | None
    status: str | None
    start_date: str | None
    end_date: str | None
    language: str | None
    tariff_plan: str | None
    balance: list[Balance] | None


class PlansAnswer(msgspec.Struct, rename="camel"):
    """200, and 207 with `supportMessage` naming what could not be read."""

    link: Links = msgspec.field(name="_link")
    status_code: str
    status_message: str
    transaction_id: str
    sequence_no: str
    data: PlanData
    support_message: str | msgspec.UnsetType = msgspec.UNSET


class Group(msgspec.Struct, frozen=True):
    """What makes one entry of `balance`."""

    balance_type: str
    category: str
    kind: BucketKind


MAIN: Final = Group("MAIN", "AIRTIME", BucketKind.MONEY)
BONUS: Final = Group("BONUS", "BONUS", BucketKind.MONEY)
_GROUPS: Final = (
    MAIN,
    BONUS,
    Group("DATA", "BUNDLE", BucketKind.DATA),
    Group("VOICE", "BUNDLE", BucketKind.MINUTES),
    Group("SMS", "BUNDLE", BucketKind.SMS),
)
_TYPE_BY_KIND: Final = {group.kind: group.balance_type for group in _GROUPS if group.kind is not BucketKind.MONEY}

KINDS_OF_PLAN: Final = {"VOICE": BucketKind.MINUTES, "DATA": BucketKind.DATA, "SMS": BucketKind.SMS}
"""The word of the parameter `plan`, and what it leaves of the list of balances. Money belongs to none of the three."""


class Shown(msgspec.Struct, frozen=True):
    """What of the plans is to be shown: of `usageType`, and of the block for mobile money.

    `needed_minor`: the amount that the balance is compared with, where one was named.
    """

    active: bool = True
    unused: bool = True
    reservations: bool = False
    needed_minor: int | None = None


def plans_answer(plans: Plans, shown: Shown, request: Request) -> Response:
    subscriber = plans.subscriber
    balances: list[Balance] = []
    if plans.buckets is not None:
        balances = _balances(plans.buckets, shown, plans)
    if plans.momo is not None:
        balances.append(_momo(plans.momo, shown, plans.currency))
    data = PlanData(None, None, None, None, None, None, balances or None)
    if subscriber is not None:
        data = PlanData(
            str(subscriber.billing),
            str(subscriber.status),
            stamp(subscriber.created_at),
            stamp(subscriber.grace_until),
            subscriber.language,
            subscriber.tariff_plan,
            balances or None,
        )
    body = PlansAnswer(links(request), SUCCESS_CODE, SUCCESS, request.trace, request.request_id.decode(), data)
    if not plans.missing:
        return Response(200, body)
    body.support_message = f"Could not be read right now: {', '.join(_PART[part] for part in sorted(plans.missing))}."
    return Response(207, body)


_PART: Final = {PlanPart.PLAN: "plan", PlanPart.BALANCE: "balance", PlanPart.MOMO: "momoBalanceData"}


def _balances(buckets: Iterable[Bucket], shown: Shown, plans: Plans) -> list[Balance]:
    by_type: dict[str, list[Bucket]] = {}
    for bucket in buckets:
        if bucket.kind is BucketKind.MONEY:
            balance_type = MAIN.balance_type if bucket.main else BONUS.balance_type
        else:
            balance_type = _TYPE_BY_KIND.get(bucket.kind, "")
        by_type.setdefault(balance_type, []).append(bucket)
    made = (
        _balance(group, by_type[group.balance_type], shown, plans) for group in _GROUPS if group.balance_type in by_type
    )
    return [balance for balance in made if balance is not None]


def _balance(group: Group, buckets: list[Bucket], shown: Shown, plans: Plans) -> Balance | None:
    """One entry; None where nothing of it is to be shown."""
    kind, currency, now = group.kind, plans.currency, plans.now
    type_, unit = _TYPE[kind], unit_of(kind, currency)
    active_sum = unused_sum = 0
    wallets = []
    soonest: datetime | None = None
    for bucket in buckets:
        active = bucket.active(now)
        if not (shown.active if active else shown.unused and bucket.unused(now)):
            continue
        ends_at, free = _end(bucket, plans.subscriber), bucket.free
        if not active:
            unused_sum += free
        else:
            active_sum += free
            if free and ends_at is not None and (soonest is None or ends_at < soonest):
                soonest = ends_at
        amount = Amount(type_, value_of(kind, free, currency), unit)
        wallets.append(Wallet(bucket.name, "Active" if active else "Unused", stamp(ends_at), amount))
    if not wallets:
        return None
    total = plans.totals.get((kind, group is MAIN)) if plans.totals is not None else None
    if total is not None and total.buckets > len(buckets):
        # Not all of them are listed; the sums are of all of them.
        active_sum = total.active if shown.active else 0
        unused_sum = total.unused if shown.unused else 0
        soonest = total.expires_at if shown.active else None
    detail = BalanceDetail(
        type_, value_of(kind, active_sum, currency), unit, value_of(kind, unused_sum, currency), unit
    )
    return Balance(group.balance_type, group.category, stamp(soonest), detail, None, wallets)


def _end(bucket: Bucket, subscriber: Subscriber | None) -> datetime | None:
    if bucket.main and bucket.expires_at is None and subscriber is not None:
        return subscriber.active_until
    return bucket.expires_at


def _momo(momo: MomoAccount, shown: Shown, currency: Currency) -> Balance:
    def amount(minor: int) -> Amount:
        return _amount(BucketKind.MOMO, minor, currency)

    data = MomoBalanceData(
        amount(momo.balance),
        amount(momo.positive) if shown.reservations else None,
        amount(momo.negative + momo.reserved) if shown.reservations else None,
        LoyaltyInformation(amount(momo.loyalty_generated), amount(momo.loyalty_consumed), amount(momo.loyalty_balance)),
        Overdraft(
            amount(momo.overdraft_balance),
            amount(momo.overdraft_limit),
            amount(momo.overdraft_fee),
            amount(momo.overdraft_interest),
        ),
        msgspec.UNSET if shown.needed_minor is None else momo.balance < shown.needed_minor,
    )
    unit = currency.code
    detail = BalanceDetail(CURRENCY, data.balance.value, unit, value_of(BucketKind.MOMO, 0, currency), unit)
    return Balance("MOMO", "WALLET", None, detail, data, [])


# Refills ----------------------------------------------------------------------------------------------------------------


class RefillData(msgspec.Struct, rename="camel"):
    """`amount` in whole units of the currency; with decimals only where it is not a whole number of them."""

    amount: str
    currency_code: str


class RefillAnswer(msgspec.Struct, rename="camel"):
    """`transactionReference` stands in the answer to a question alone: the id that was asked about."""

    status_code: str
    status_message: str
    transaction_id: str
    sequence_no: str
    data: RefillData
    link: Links = msgspec.field(name="_link")
    support_message: str | msgspec.UnsetType = msgspec.UNSET
    transaction_reference: str | msgspec.UnsetType = msgspec.UNSET


REPLAYED: Final[tuple[Header, ...]] = ((b"idempotent-replayed", b"true"),)


def refill_answer(refilled: Refilled, request: Request, *, asked: bool = False) -> Response:
    """The answer to a refill, and to a question about one (`asked`)."""
    amount = refilled.refill.amount
    text = value_of(BucketKind.MONEY, amount.minor, amount.currency).removesuffix(".00")
    body = RefillAnswer(
        SUCCESS_CODE,
        SUCCESS,
        request.trace,
        request.request_id.decode(),
        RefillData(text, amount.currency.code),
        links(request),
    )
    if refilled.refill.capped:
        body.support_message = "The subscriber's time is at its maximum; the days beyond it were dropped."
    if asked:
        body.transaction_reference = refilled.refill.transaction_id
    return Response(200, body, REPLAYED if refilled.replayed else ())


# Premiums ---------------------------------------------------------------------------------------------------------------


class PremiumData(msgspec.Struct, rename="camel"):
    """`loyaltyInformation` is left out where it could not be read, with 207."""

    message: str
    premium: Amount
    loyalty_information: LoyaltyInformation | msgspec.UnsetType = msgspec.UNSET


class PremiumAnswer(msgspec.Struct, rename="camel"):
    """`originReferenceId` may be sent as `quoteId`, once. Here it is `link`, not `_link`."""

    origin_reference_id: str
    status_code: str
    data: PremiumData
    link: Links
    transaction_id: str
    sequence_no: str
    support_message: str | msgspec.UnsetType = msgspec.UNSET


def premium_answer(premium: Premium, request: Request) -> Response:
    data = PremiumData(premium.message, money_amount(premium.premium))
    body = PremiumAnswer(
        premium.reference, SUCCESS_CODE, data, links(request), request.trace, request.request_id.decode()
    )
    headers = REPLAYED if premium.replayed else ()
    if premium.loyalty is None:
        body.support_message = "Could not be read right now: loyaltyInformation."
        return Response(207, body, headers)
    data.loyalty_information = _loyalty(premium.loyalty)
    return Response(200, body, headers)


def _loyalty(loyalty: Loyalty) -> LoyaltyInformation:
    return LoyaltyInformation(
        money_amount(loyalty.generated), money_amount(loyalty.consumed), money_amount(loyalty.balance)
    )


# Version 2.3: tariff migration, FRI, provision ----------------------------------------------------------------------------


class MigrationData(msgspec.Struct, rename="camel"):
    """What has changed. Nothing is charged for it here: `amount` is null."""

    response_type: str
    action: str
    plan_id: str
    product_id: str | None
    product_name: str | None
    product_type: str
    amount: str | None
    country: str
    notification: str


class MigrationAnswer(msgspec.Struct, rename="camel"):
    link: Links = msgspec.field(name="_link")
    status_code: str
    status_message: str
    transaction_id: str
    sequence_no: str
    data: MigrationData


def migration_answer(subscriber: Subscriber, action: str, request: Request) -> Response:
    data = MigrationData(
        response_type="SYNC",
        action=action,
        plan_id=subscriber.tariff_plan,
        product_id=subscriber.tariff_plan,
        product_name=subscriber.tariff_plan,
        product_type=str(subscriber.billing),
        amount=None,
        country=subscriber.country,
        notification=f"The tariff plan is {subscriber.tariff_plan}.",
    )
    return Response(200, _plain(MigrationAnswer, data, request))


class FriData(msgspec.Struct):
    """The account of mobile money as a financial resource: `FRI:2348031234567/MSISDN`. `state` is ACTIVE or BLOCKED."""

    fri: str
    state: str
    currency: str


class FriAnswer(msgspec.Struct, rename="camel"):
    link: Links = msgspec.field(name="_link")
    status_code: str
    status_message: str
    transaction_id: str
    sequence_no: str
    data: FriData


def fri_answer(msisdn: str, blocked: bool, currency: Currency, request: Request) -> Response:
    data = FriData(f"FRI:{msisdn.removeprefix('+')}/MSISDN", "BLOCKED" if blocked else "ACTIVE", currency.code)
    return Response(200, _plain(FriAnswer, data, request))


def _plain(kind: type[Any], data: Any, request: Request) -> Any:
    return kind(links(request), SUCCESS_CODE, SUCCESS, request.trace, request.request_id.decode(), data)


# OAuth ------------------------------------------------------------------------------------------------------------------


class Token(msgspec.Struct):
    """`expires_in` is a string of seconds, as MTN sends it."""

    access_token: str
    token_type: str
    expires_in: str
