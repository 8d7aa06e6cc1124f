"""MADAPI's story: a token, a subscriber's plans, refills, a bundle, a premium and its quote, the tariff, and some things gone wrong."""

from typing import Any, Final

from telvend.dialects.examples import Holds, Maybe, More, Parameter, Pattern, Step, Variable

ABOUT: Final = (
    "A subscriber's plans and balances, premiums, and refills, as MTN's MADAPI Plans v2 speaks, with what version 2.3 adds; and"
    " the bundles of Subscriptions v2 and Products v3. The key is sent as `X-API-Key`; or it buys a token that is sent as"
    " `Authorization: Bearer`. Values are strings with two decimals. `statusCode` is the canonical code of four digits, `0000` for success."
)

VARIABLES: Final = (
    Variable("secret", "s3cr3t", "The key's secret, shown beside the key; it buys a token."),
    Variable("customerId", "2348031234567", "A subscriber with mobile money, in NGN."),
    Variable("receiverId", "2348031234568", "Another subscriber."),
    Variable("newCustomerId", "2348031234569", "A number that is no subscriber yet; another one for each run."),
    Variable("momoAuthorization", "7Qm2x0", "What `telvend subscriber momo` printed: the subscriber's consent."),
    Variable("pin", "4711471147114711", "The PIN of a voucher that was not loaded yet; another one for each run."),
    Variable("voucherAmount", "200", "What that voucher is worth, in whole units."),
    Variable("refillAmount", "100", "What is refilled from the partner's wallet, in whole units."),
    Variable("premiumProduct", "AYO_SWC", "A product that premiums are asked for."),
    Variable("bundle", "NG-MTN-SME-1GB-30D", "A product's code, as the list of products has it."),
    Variable("tariffPlan", "PulsePlus", "A tariff plan to change to."),
    Variable("accessToken", "mt_0d2hq7", "The token.", from_story=True),
    Variable("refillId", "TX-17640000001", "The transactionId of the refill.", from_story=True),
    Variable("subscriptionId", "TX-17640000003", "The transactionId of the subscription.", from_story=True),
    Variable("correlationId", "SUB-4711-7kq2xd", "Our reference of the subscription.", from_story=True),
    Variable("premiumId", "TX-17640000002", "The transactionId of the premium.", from_story=True),
    Variable("mainBalance", "1250.50", "What was in the main account.", from_story=True),
    Variable("quote", "PRM-4711-7kq2xd", "The premium's reference, to be used as a quote.", from_story=True),
    Variable("premium", "250.00", "What was quoted.", from_story=True),
)

_TRANSACTION_ID: Final = Parameter(
    "transactionId",
    "Your own name for the request: 5 to 20 letters, digits and `+/=-`. One that cannot be used is replaced; the one in force"
    " comes back in the answer's header and body. A longer one, of at most 128 characters, always has the same replacement.",
    "header",
)
_SOURCE: Final = Parameter("sourceSystemId", "Which of your systems is asking.", "header")
_CONSENT: Final = Parameter(
    "x-authorization", "The subscriber's consent to show mobile money, as the operator gave it.", "header"
)
CUSTOMER: Final = Parameter("customerId", "The subscriber's number: E.164, its digits, or the national form.", "path")
PRODUCT_CODE: Final = Parameter("productCode", "The product's code.", "path")
COMMON: Final = (CUSTOMER, _TRANSACTION_ID, _SOURCE)

PLANS_PARAMETERS: Final = (
    *COMMON,
    Parameter("plan", "Only this kind of balance, in any case.", limits={"enum": ["VOICE", "DATA", "SMS"]}),
    Parameter("fixedLine", "What belongs to this other line of the subscriber."),
    Parameter("momo", "Whether mobile money is shown too; needs x-authorization.", kind="boolean"),
    Parameter("includeReservations", "With momo: whether reservations are shown.", kind="boolean"),
    Parameter("quoteid", "With momo: a quote that the balance is compared with."),
    Parameter("amount", "With momo: whole units that the balance is compared with.", kind="integer"),
    Parameter("usageType", "1 or all: every wallet; 2 or active; 3 or inactive: not begun yet."),
    Parameter("prefLanguage", "Read, and changes nothing.", limits={"enum": ["En", "Fr"]}),
    Parameter("segment", "Read, and changes nothing."),
    Parameter("idType", "Read, and changes nothing.", limits={"enum": ["MSISDN", "USER"]}),
    Parameter("extRequest", "Read, and changes nothing.", limits={"enum": ["YES", "NO"]}),
    _CONSENT,
)
PRODUCT_PARAMETERS: Final = (*COMMON, PRODUCT_CODE)
REFILL_PARAMETERS: Final = (
    *COMMON,
    Parameter("channel", "Read, and changes nothing.", "header"),
    Parameter("partnerName", "Read, and changes nothing.", "header"),
)
FRI_PARAMETERS: Final = (*COMMON, _CONSENT)
REFILL_STATUS_PARAMETERS: Final = (
    CUSTOMER,
    Parameter("transactionId", "The transactionId that the refill was sent under.", "path"),
    _SOURCE,
)
PRODUCTS_PARAMETERS: Final = (
    Parameter("customerId", "The customer's number in any spelling; or the code of one product.", "path"),
    _TRANSACTION_ID,
    _SOURCE,
)
SUBSCRIPTIONS_PARAMETERS: Final = (
    *COMMON,
    Parameter("limit", "So many at most, from 1 to 100; 50 where it is not given.", kind="integer"),
    Parameter("before", "The `correlationId` of the last one that was read; `_link.next` has it."),
)
STATUS_PARAMETERS: Final = (
    *COMMON,
    Parameter("subscriptionId", "The product's code.", "path"),
    Parameter("statusId", "The transactionId that it was bought under, or its `correlationId`.", "path"),
    Parameter("queryType", "Read, and changes nothing."),
    Parameter("subscriptionProviderId", "Read, and changes nothing."),
)
TOKEN_PARAMETERS: Final = (
    Parameter("grant_type", "May stand in the form instead.", limits={"enum": ["client_credentials"]}),
)

_WHO: Final = {"customerId": "{{customerId}}"}
_HREF: Final = {"self": {"href": "https://shop.example/v2/customers/{{customerId}}/plans"}}
_TOLD: Final = {
    "statusCode": "0000",
    "statusMessage": "Success",
    "transactionId": "{{refillId}}",
    "sequenceNo": "8842017731",
}
_NEW_ID: Final = "TX-{{$timestamp}}{{$randomInt}}"
_CONSENTED: Final = {"x-authorization": "{{momoAuthorization}}"}


def _money(value: str) -> dict[str, str]:
    return {"type": "CURRENCY", "value": value, "unit": "NGN"}


def _plans(balance: Any) -> dict[str, Any]:
    data = {
        "type": "Prepaid",
        "status": "Active",
        "startDate": "2026-03-09T08:00:00Z",
        "endDate": "2027-02-18T23:59:59Z",
        "language": "1",
        "tariffPlan": "PulsePlus",
        "balance": balance,
    }
    return {"_link": _HREF, **_TOLD, "data": data}


_MAIN: Final[dict[str, Any]] = {
    "balanceType": "MAIN",
    "category": "AIRTIME",
    "expiryDate": "2027-02-18T23:59:59Z",
    "balanceDetail": {
        "type": "CURRENCY",
        "activeValue": "1250.50",
        "activeUnit": "NGN",
        "unusedValue": "0.00",
        "unusedUnit": "NGN",
    },
    "momoBalanceData": None,
    "wallets": [
        {
            "name": "Main account",
            "status": "Active",
            "expiryDate": "2027-02-18T23:59:59Z",
            "amount": _money("1250.50"),
        }
    ],
}
_LOYALTY: Final = {
    "generatedAmount": _money("5.00"),
    "consumedAmount": _money("0.00"),
    "newBalance": _money("92.00"),
}
_MOMO: Final[dict[str, Any]] = {
    "balanceType": "MOMO",
    "category": "WALLET",
    "expiryDate": None,
    "balanceDetail": {
        "type": "CURRENCY",
        "activeValue": "18400.00",
        "activeUnit": "NGN",
        "unusedValue": "0.00",
        "unusedUnit": "NGN",
    },
    "momoBalanceData": {
        "balance": _money("18400.00"),
        "positiveReservations": _money("500.00"),
        "negativeReservations": _money("1200.00"),
        "loyaltyInformation": _LOYALTY,
        "overdraft": {
            "balance": _money("0.00"),
            "limit": _money("5000.00"),
            "accessFee": _money("25.00"),
            "interest": _money("0.00"),
        },
    },
    "wallets": [],
}

_VOUCHERLESS: Final = {
    "refillType": "voucherless",
    "refillProfileId": "DB00",
    "transactionAmount": "{{refillAmount}}",
}


def _refilled(amount: str) -> dict[str, Any]:
    return {**_TOLD, "data": {"amount": amount, "currencyCode": "NGN"}, "_link": _HREF}


_PREMIUM: Final = {
    "transactionId": "{{premiumId}}",
    "receivingCustomerId": "{{receiverId}}",
    "product": "{{premiumProduct}}",
    "transactionType": "TRANSFER",
    "amount": _money("10000.00"),
}
_PREMIUM_ANSWER: Final = {
    "originReferenceId": "{{quote}}",
    "statusCode": "0000",
    "data": {
        "message": "Cover for 120 days",
        "premium": _money("{{premium}}"),
        "loyaltyInformation": _LOYALTY,
    },
    "link": _HREF,
    "transactionId": "{{premiumId}}",
    "sequenceNo": "8842017732",
}


def _migrated(action: str) -> dict[str, Any]:
    data = {
        "responseType": "SYNC",
        "action": action,
        "planId": "{{tariffPlan}}",
        "productId": Maybe("{{tariffPlan}}"),
        "productName": Maybe("{{tariffPlan}}"),
        "productType": "Prepaid",
        "amount": None,
        "country": "NG",
        "notification": "The tariff plan is {{tariffPlan}}.",
    }
    return {"_link": _HREF, **_TOLD, "data": data}


def _fri(state: str) -> dict[str, Any]:
    data = {"fri": "FRI:{{customerId}}/MSISDN", "state": state, "currency": "NGN"}
    return {"_link": _HREF, **_TOLD, "data": data}


_ITEM: Final[dict[str, Any]] = {
    "id": "{{bundle}}",
    "name": "MTN SME 1GB 30 Days",
    "network": "mtn",
    "currency": "NGN",
    "amount": "300.00",
    "bundleCategory": "DATA",
    "subCategory": "SME",
    "bundleValidity": "30 Days",
    "paymentMode": ["EVDS"],
    "buyForOthers": True,
    "renewal": False,
    "activationId": "{{bundle}}",
}
_SUBSCRIPTION: Final[dict[str, Any]] = {
    "subscriptionId": "{{bundle}}",
    "beneficiaryId": "{{customerId}}",
    "status": "Active",
    "amountCharged": "300.00",
    "amountBefore": "19900.00",
    "amountAfter": "19600.00",
    "currencyCode": "NGN",
    "correlationId": "{{correlationId}}",
    "transactionReference": "{{subscriptionId}}",
    "statusCode": "0000",
    "statusMessage": "Success",
    "transactionId": "{{subscriptionId}}",
    "sequenceNo": "8842017733",
    "links": [
        {
            "rel": "self",
            "href": "https://shop.example/v2/customers/{{customerId}}/subscriptions/{{bundle}}/status/{{subscriptionId}}",
        }
    ],
}
_ROW: Final = {
    name: _SUBSCRIPTION[name]
    for name in ("subscriptionId", "beneficiaryId", "status", "amountCharged", "currencyCode", "correlationId",
                 "transactionReference")
} | {"createdAt": "2026-11-22T09:14:05Z"}  # fmt: skip
_BUNDLE: Final = {
    "subscriptionId": "{{bundle}}",
    "subscriptionProviderId": "ERS",
    "subscriptionPaymentSource": "EVDS",
    "beneficiaryId": "{{customerId}}",
}


_CODE_5000: Final = {"statusCode": "5000"}

STORY: Final = (
    Step(
        "A token for the key",
        "POST /v1/oauth/access_token",
        "A token stands for its key, for an hour. It is sent as `Authorization: Bearer` in the place of the key.",
        "Credentials",
        query={"grant_type": "client_credentials"},
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body={"client_id": "{{key}}", "client_secret": "{{secret}}"},
        answer={"access_token": "{{accessToken}}", "token_type": "BearerToken", "expires_in": "3599"},
        expects={"token_type": "BearerToken", "expires_in": Pattern("^[0-9]+$")},
        keeps={"accessToken": "access_token"},
        keyless=True,
    ),
    Step(
        "Refill from your wallet",
        "PATCH /v2/customers/{customerId}/plans/refill",
        "Paid from the partner's wallet in the subscriber's currency. `transactionAmount` is in whole units; the profile decides"
        " what it turns into. The transactionId makes it safe to send the request again.",
        "Refill",
        path=_WHO,
        headers={"transactionId": "{{refillId}}", "sourceSystemId": "story"},
        body=_VOUCHERLESS,
        makes={"refillId": _NEW_ID},
        answer=_refilled("{{refillAmount}}"),
        says={"transactionId": "{{refillId}}"},
        expects={
            "statusCode": "0000",
            "transactionId": "{{refillId}}",
            "data.amount": "{{refillAmount}}",
            "data.currencyCode": "NGN",
        },
    ),
    Step(
        "Plans and balances",
        "GET /v2/customers/{customerId}/plans",
        "What the subscriber is and has. A part that cannot be read is null, and the status then 207. Data is always in MB.",
        "Refill",
        path=_WHO,
        answer=_plans([_MAIN]),
        expects={
            "statusCode": "0000",
            "data.status": "Active",
            "data.balance": Holds({"balanceType": "MAIN", "category": "AIRTIME"}),
            "data.balance[0].balanceDetail.activeUnit": "NGN",
        },
        keeps={"mainBalance": "data.balance[0].balanceDetail.activeValue"},
    ),
    Step(
        "The same refill again",
        "PATCH /v2/customers/{customerId}/plans/refill",
        "The stored answer. Nothing is refilled and nothing taken again.",
        "Refill",
        path=_WHO,
        headers={"transactionId": "{{refillId}}"},
        body=_VOUCHERLESS,
        answer=_refilled("{{refillAmount}}"),
        says={"Idempotent-Replayed": "true"},
        expects={"data.amount": "{{refillAmount}}"},
    ),
    Step(
        "Ask about the refill",
        "GET /v2/customers/{customerId}/refills/{transactionId}",
        "For whoever has lost the answer. A 404 with `transactionIdFree` says that nothing was sold under this id.",
        "Refill",
        path=_WHO | {"transactionId": "{{refillId}}"},
        answer=_refilled("{{refillAmount}}") | {"transactionReference": "{{refillId}}"},
        expects={"statusCode": "0000", "data.amount": "{{refillAmount}}", "transactionReference": "{{refillId}}"},
    ),
    Step(
        "Load a voucher",
        "PATCH /v2/customers/{customerId}/plans/refill",
        "A voucher is worth what is printed on it, once. Whatever is wrong with a PIN, the answer is one and the same.",
        "Refill",
        path=_WHO,
        headers={"transactionId": "{{refillId}}"},
        body={"refillType": "voucher", "voucherActivationCode": "{{pin}}"},
        makes={"refillId": _NEW_ID},
        answer=_refilled("{{voucherAmount}}"),
        expects={"statusCode": "0000", "data.amount": "{{voucherAmount}}"},
    ),
    Step(
        "With a token, and the voucher's worth more",
        "GET /v2/customers/{customerId}/plans",
        "A token does what its key does.",
        "Refill",
        path=_WHO,
        headers={"Authorization": "Bearer {{accessToken}}"},
        answer=_plans([_MAIN]),
        expects={"data.balance[0].balanceDetail.activeValue": More("mainBalance", "{{voucherAmount}}")},
        keyless=True,
    ),
    Step(
        "Bundles on sale",
        "GET /v3/products/{customerId}",
        "What can be bought for this customer, by how long it lasts. `id` is what a subscription takes.",
        "Bundles",
        path=_WHO,
        answer={
            "_link": _HREF,
            **_TOLD,
            "data": {"daily": [_ITEM], "weekly": [_ITEM], "monthly": [_ITEM], "nonExpiry": [_ITEM]},
        },
        expects={"statusCode": "0000", "data.monthly": Holds({"id": "{{bundle}}", "currency": "NGN"})},
    ),
    Step(
        "Buy a bundle",
        "POST /v2/customers/{customerId}/subscriptions",
        "Paid from the partner's wallet. 201 when it is delivered; 202 with 1004 while it is not, then ask for its status. The"
        " transactionId makes it safe to send the request again.",
        "Bundles",
        201,
        path=_WHO,
        headers={"transactionId": "{{subscriptionId}}"},
        body=_BUNDLE,
        makes={"subscriptionId": _NEW_ID},
        answer=_SUBSCRIPTION,
        says={"transactionId": "{{subscriptionId}}"},
        expects={
            "statusCode": "0000",
            "status": "Active",
            "subscriptionId": "{{bundle}}",
            "amountCharged": Pattern("^[0-9]+\\.[0-9]{2}$"),
        },
        keeps={"correlationId": "correlationId"},
    ),
    Step(
        "The same purchase again",
        "POST /v2/customers/{customerId}/subscriptions",
        "The same subscription, and nothing is taken again.",
        "Bundles",
        201,
        path=_WHO,
        headers={"transactionId": "{{subscriptionId}}"},
        body=_BUNDLE,
        answer=_SUBSCRIPTION,
        says={"Idempotent-Replayed": "true"},
        expects={"correlationId": "{{correlationId}}"},
    ),
    Step(
        "What became of it",
        "GET /v2/customers/{customerId}/subscriptions/{subscriptionId}/status/{statusId}",
        "By the transactionId that it was bought under. 202 while it is pending; `statusCode` 5001 when it has failed.",
        "Bundles",
        path=_WHO | {"subscriptionId": "{{bundle}}", "statusId": "{{subscriptionId}}"},
        answer=_SUBSCRIPTION,
        expects={"statusCode": "0000", "status": "Active", "transactionReference": "{{subscriptionId}}"},
    ),
    Step(
        "What was bought for the customer",
        "GET /v2/customers/{customerId}/subscriptions",
        "This partner's own purchases, newest first; `_link.next` is the address of the next page.",
        "Bundles",
        path=_WHO,
        answer={"_link": _HREF | {"next": Maybe({"href": _HREF["self"]["href"]}, null=True)}, **_TOLD, "data": [_ROW]},
        expects={"statusCode": "0000", "data[0].correlationId": "{{correlationId}}"},
    ),
    Step(
        "With mobile money",
        "GET /v2/customers/{customerId}/plans",
        "Mobile money is shown to whoever has the subscriber's consent.",
        "Mobile money",
        path=_WHO,
        query={"momo": "true", "includeReservations": "true"},
        headers=_CONSENTED,
        answer=_plans([_MAIN, _MOMO]),
        expects={"data.balance": Holds({"balanceType": "MOMO", "category": "WALLET"})},
    ),
    Step(
        "The account's state",
        "GET /v2/customers/{customerId}/plans/FRI",
        "The account of mobile money as a financial resource.",
        "Mobile money",
        path=_WHO,
        headers=_CONSENTED,
        answer=_fri("ACTIVE"),
        expects={"data.state": "ACTIVE", "data.currency": "NGN", "data.fri": Pattern("^FRI:[0-9]+/MSISDN$")},
    ),
    Step(
        "Block the account",
        "PATCH /v2/customers/{customerId}/plans/FRI/state",
        "Blocks the account of mobile money, or opens it again.",
        "Mobile money",
        path=_WHO,
        headers=_CONSENTED,
        body={"state": "BLOCKED"},
        answer=_fri("BLOCKED"),
        expects={"data.state": "BLOCKED"},
    ),
    Step(
        "Open it again",
        "PATCH /v2/customers/{customerId}/plans/FRI/state",
        "And it is active.",
        "Mobile money",
        path=_WHO,
        headers=_CONSENTED,
        body={"state": "ACTIVE"},
        answer=_fri("ACTIVE"),
        expects={"data.state": "ACTIVE"},
    ),
    Step(
        "What cover costs",
        "POST /v2/customers/{customerId}/plans/{productCode}",
        "A calculation: no money moves. The same transactionId with the same body gives the same answer. The reference of the"
        " answer is a quote, which may be used once.",
        "Premiums",
        path=_WHO | {"productCode": "{{premiumProduct}}"},
        body=_PREMIUM,
        makes={"premiumId": _NEW_ID},
        answer=_PREMIUM_ANSWER,
        expects={
            "statusCode": "0000",
            "originReferenceId": Pattern("^PRM-[0-9]+-[0-9a-z]{6}$"),
            "data.premium.unit": "NGN",
            "data.premium.value": Pattern("^[0-9]+\\.[0-9]{2}$"),
        },
        keeps={"quote": "originReferenceId", "premium": "data.premium.value"},
    ),
    Step(
        "The same question again",
        "POST /v2/customers/{customerId}/plans/{productCode}",
        "The stored answer, whatever the rate is now.",
        "Premiums",
        path=_WHO | {"productCode": "{{premiumProduct}}"},
        body=_PREMIUM,
        answer=_PREMIUM_ANSWER,
        says={"Idempotent-Replayed": "true"},
        expects={"originReferenceId": "{{quote}}", "data.premium.value": "{{premium}}"},
    ),
    Step(
        "Use the quote",
        "POST /v2/customers/{customerId}/plans",
        "The spelling of version 2.3, where only the body names the product. With a quote, what was quoted is the answer.",
        "Premiums",
        path=_WHO,
        body=_PREMIUM | {"quoteId": "{{quote}}"},
        makes={"premiumId": _NEW_ID},
        answer=_PREMIUM_ANSWER,
        expects={"data.premium.value": "{{premium}}"},
    ),
    Step(
        "Use it once more",
        "POST /v2/customers/{customerId}/plans",
        "A quote is used once.",
        "Premiums",
        400,
        path=_WHO,
        body=_PREMIUM | {"quoteId": "{{quote}}"},
        makes={"premiumId": _NEW_ID},
        expects={"statusCode": "5001", "supportMessage": Pattern("quoteId")},
    ),
    Step(
        "What there is of one product",
        "GET /v2/customers/{customerId}/plans/{productCode}",
        "Only what came from this product; `balance` is null where the subscriber has nothing of it.",
        "Premiums",
        path=_WHO | {"productCode": "{{premiumProduct}}"},
        answer=_plans(None),
        expects={"statusCode": "0000", "data.balance": None},
    ),
    Step(
        "Change the tariff plan",
        "PATCH /v2/customers/{customerId}/plans",
        "The same again changes nothing, and is answered alike.",
        "Tariff",
        path=_WHO,
        body={"planId": "{{tariffPlan}}"},
        answer=_migrated("MIGRATE"),
        expects={"statusCode": "0000", "data.action": "MIGRATE", "data.planId": "{{tariffPlan}}"},
    ),
    Step(
        "Make a number a subscriber",
        "POST /v2/customers/{customerId}/plans/provision",
        "A number that is a subscriber already is 400 with 1002.",
        "Tariff",
        path={"customerId": "{{newCustomerId}}"},
        body={"planId": "{{tariffPlan}}"},
        answer=_migrated("PROVISION"),
        expects={"data.action": "PROVISION", "data.planId": "{{tariffPlan}}"},
    ),
    Step(
        "Make it one again",
        "POST /v2/customers/{customerId}/plans/provision",
        "It is there already.",
        "Tariff",
        400,
        path={"customerId": "{{newCustomerId}}"},
        body={"planId": "{{tariffPlan}}"},
        expects={"statusCode": "1002"},
    ),
    Step(
        "A PIN that was loaded",
        "PATCH /v2/customers/{customerId}/plans/refill",
        "Unknown, used, expired, stopped: the partner is not told which. Five wrong ones in a row lock the subscriber out.",
        "Get it wrong",
        400,
        path=_WHO,
        body={"refillType": "voucher", "voucherActivationCode": "{{pin}}"},
        expects={"statusCode": "5001"},
    ),
    Step(
        "A PIN that cannot be one",
        "PATCH /v2/customers/{customerId}/plans/refill",
        "It is not 8 to 20 digits, and does not count as an attempt.",
        "Get it wrong",
        400,
        path=_WHO,
        body={"refillType": "voucher", "voucherActivationCode": "12"},
        expects=_CODE_5000 | {"supportMessage": Pattern("voucherActivationCode")},
    ),
    Step(
        "Another refill under the same transactionId",
        "PATCH /v2/customers/{customerId}/plans/refill",
        "A transactionId stands for one thing.",
        "Get it wrong",
        400,
        path=_WHO,
        headers={"transactionId": "{{refillId}}"},
        body=_VOUCHERLESS | {"transactionAmount": "1"},
        expects={"statusCode": "5001"},
    ),
    Step(
        "A kind of plan that does not exist",
        "GET /v2/customers/{customerId}/plans",
        "`supportMessage` names the field.",
        "Get it wrong",
        400,
        path=_WHO,
        query={"plan": "GAMES"},
        expects=_CODE_5000 | {"supportMessage": Pattern("plan"), "method": "GET"},
    ),
    Step(
        "Somebody who is no subscriber",
        "GET /v2/customers/{customerId}/plans",
        "`data` is null, beside the code.",
        "Get it wrong",
        404,
        path={"customerId": "2348039999999"},
        expects={"data": None, "statusCode": "1000"},
    ),
    Step(
        "Without a key",
        "GET /v2/customers/{customerId}/plans",
        "No key, an unknown key and a revoked one are not told apart.",
        "Get it wrong",
        401,
        path=_WHO,
        expects={"statusCode": "4000"},
        keyless=True,
    ),
)
