"""networkdatasub's story: who I am, what is sold, airtime, data, an identity check, and what the wallet says of it all."""

from decimal import Decimal
from typing import Any, Final

from telvend.dialects.examples import Holds, Less, MapOf, Maybe, Parameter, Pattern, Sometimes, Step, Variable

ABOUT: Final = (
    "Airtime, data, wallet, transactions, NIN and BVN checks of Nigeria, from a wallet in NGN. The key is sent as"
    " `Authorization: Token KEY`. Every answer has `success`; most have `message` and `data`. Amounts are strings with two"
    " decimals in /wallet, /transactions and `wallet_balance`, exact numbers elsewhere. Other spellings that clients of the"
    " original service send are taken as courtesies and are not part of this document; the reference of this API lists them."
)

VARIABLES: Final = (
    Variable("network", "mtn", "Whose airtime and data are bought: mtn, airtel, glo or 9mobile."),
    Variable("phone", "08031230000", "Who gets it: a mobile number of Nigeria."),
    Variable("airtimeAmount", "100", "How much airtime, 50 to 50,000."),
    Variable("nin", "12345678901", "The NIN that is checked; the built-in personas answer to every one."),
    Variable("bvn", "12345678901", "The BVN that is checked."),
    Variable("email", "ada@example.com", "Whose key it is.", from_story=True),
    Variable("balance", "10000.00", "What could be spent before.", from_story=True),
    Variable("reference", "ORDER-1001", "Your own name for the purchase; the story makes a new one.", from_story=True),
    Variable("airtimeReference", "AIR-4711-7kq2xd", "The airtime that was bought.", from_story=True),
    Variable("planId", "1", "The plan that is bought.", from_story=True),
    Variable("planAmount", "300", "What it costs.", from_story=True),
    Variable("dataReference", "DATA-4712-2m9s0a", "The data that was bought.", from_story=True),
    Variable("fundingReference", "FND-4713-x81c4t", "The funding that was begun.", from_story=True),
    Variable("ninId", "12345", "The NIN check.", from_story=True),
    Variable("bvnId", "12346", "The BVN check.", from_story=True),
)

_REFERENCE_HEADER: Final = Parameter(
    "Idempotency-Key", "The same as the field `reference`. Where both are sent they must agree.", "header"
)
_BEFORE: Final = Parameter("before", "Only checks with a smaller id, for the next page.", kind="integer")

PARAMETERS: Final[dict[str, tuple[Parameter, ...]]] = {
    "GET /data-plans": (
        Parameter("network", "Whose plans.", required=True, limits={"enum": ["mtn", "airtel", "glo", "9mobile"]}),
        Parameter("type", "Only plans of this type, such as SME, Direct or Corporate."),
    ),
    "GET /transactions": (
        Parameter("page", "Which page.", kind="integer", limits={"minimum": 1, "default": 1}),
        Parameter(
            "per_page", "How many on a page.", kind="integer", limits={"minimum": 1, "maximum": 50, "default": 15}
        ),
        Parameter(
            "type", "Only money that came in, or only money that went out.", limits={"enum": ["credit", "debit"]}
        ),
        Parameter("status", "Only these.", limits={"enum": ["pending", "completed", "failed"]}),
        Parameter("start_date", "From this day of Lagos on.", limits={"format": "date"}),
        Parameter("end_date", "Until this day of Lagos, it included.", limits={"format": "date"}),
    ),
    "GET /transactions/{reference}": (
        Parameter("reference", "Ours, as a purchase answered it, or your own of a purchase.", "path"),
    ),
    "GET /verification/nin/history": (_BEFORE,),
    "GET /verification/bvn/history": (_BEFORE,),
    "GET /verification/nin/{id}": (Parameter("id", "The check's `verification_id`.", "path"),),
    "GET /verification/bvn/{id}": (Parameter("id", "The check's `verification_id`.", "path"),),
    "POST /airtime/purchase": (_REFERENCE_HEADER,),
    "POST /data/purchase": (_REFERENCE_HEADER,),
    "POST /verification/nin": (_REFERENCE_HEADER,),
    "POST /verification/bvn": (_REFERENCE_HEADER,),
}

_WHEN: Final = "2026-11-24T09:30:12.345678Z"


def _ok(data: Any, message: str | None = None) -> dict[str, Any]:
    return {"success": True, **({} if message is None else {"message": message}), "data": data}


_NETWORK: Final = {
    "id": 1,
    "name": "MTN",
    "code": "mtn",
    "logo": "https://shop.example/logos/ng-mtn.svg",
    "status": "active",
}
_PLAN: Final = {
    "id": "{{#planId}}",
    "network_id": 1,
    "name": "1GB (30 Days)",
    "code": "1GB",
    "amount": Decimal(300),
    "validity": "30 days",
    "type": "SME",
    "description": "1GB data valid for 30 days",
}
_TRANSACTION: Final = {
    "id": 4712,
    "user_id": 1,
    "type": "debit",
    "amount": "300.00",
    "reference": "{{dataReference}}",
    "description": "MTN Data Purchase - 1GB",
    "status": "completed",
}
_META: Final = {
    "service_type": "data",
    "phone": Sometimes("{{phone}}"),
    "network": Sometimes("mtn"),
    "plan": Sometimes(Maybe("1GB")),
    "card_type": Sometimes("standard", shown=False),
    "payment_method": Sometimes("card", shown=False),
    "bank_name": Sometimes(Maybe("Access Bank"), shown=False),
    "payment_reference": Sometimes(Maybe("FND-4713-x81c4t"), shown=False),
}
"""The first three are of a sale of airtime or data; a check has its `card_type`, a funding the last three."""


def _bought(number: int, reference: str, amount: int, balance: Decimal) -> dict[str, Any]:
    transaction = {
        "id": number,
        "reference": reference,
        "amount": Decimal(amount),
        "status": "completed",
        "created_at": _WHEN,
    }
    return {"transaction": transaction, "new_balance": balance, "status": Sometimes("pending", shown=False)}


def _check(kind: str, number: int, price: int) -> dict[str, Any]:
    return {
        "id": f"{{{{#{kind}Id}}}}",
        "user_id": 1,
        f"{kind}_number": f"{{{{{kind}}}}}",
        "transaction_id": f"{kind.upper()}-{number}-0d2hq7",
        "status": "verified",
        "card_type": "standard",
        "price": Decimal(price),
        "expires_at": _WHEN,
        "created_at": _WHEN,
        "updated_at": _WHEN,
    }


_PICTURE: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


def _sometimes(details: dict[str, Any]) -> dict[str, Any]:
    """The details of a check; where the record is not kept there are none at all."""
    return {name: Sometimes(value) for name, value in details.items()}


_NIN_DETAILS: Final = _sometimes(
    {
        "firstName": "John",
        "middleName": Maybe("Doe"),
        "lastName": "Smith",
        "dateOfBirth": Maybe("01 Jan 1990"),
        "gender": "Male",
        "issueDate": "18 May 2025",
        "photo": _PICTURE,
        "address": Maybe("123 Main Street"),
        "state": Maybe("Lagos"),
        "lga": Maybe("Ikeja"),
        "town": Maybe("Ikeja"),
        "mobile": Maybe("08012345678"),
        "nin": "{{nin}}",
        "signature": Maybe(_PICTURE),
    }
)
_BVN_DETAILS: Final = _sometimes(
    {
        "bvn": "{{bvn}}",
        "firstName": "John",
        "lastName": "Smith",
        "middleName": Maybe("Doe"),
        "dateOfBirth": Maybe("1990-01-01"),
        "phoneNumber": Maybe("08012345678"),
        "gender": "Male",
        "email": Maybe("john@example.com"),
        "image": _PICTURE,
    }
)


def _verified(kind: str, number: int, amount: int, details: dict[str, Any], **more: str) -> dict[str, Any]:
    reference = f"{kind.upper()}-{number}-0d2hq7"
    return {
        "verification_id": f"{{{{#{kind}Id}}}}",
        "transaction_id": reference,
        "reference": reference,
        "amount": Decimal(amount),
        **more,
        "details": details,
        "wallet_balance": "9500.00",
    }


def _identity(kind: str, number: int, price: int, details: dict[str, Any], **more: str) -> tuple[Step, ...]:
    name, folder = kind.upper(), "Verify"
    return (
        Step(
            f"What {name} checks cost",
            f"GET /verification/{kind}/pricing",
            "The price list. `card_type` is what a check takes.",
            folder,
            answer=_ok(
                [
                    {
                        "id": 1,
                        "card_type": "standard",
                        "price": Decimal(price),
                        "is_active": True,
                        "description": "Standard",
                    }
                ],
                f"{name} verification pricing retrieved successfully",
            ),
            expects={"success": True, "data": Holds({"card_type": "standard", "is_active": True})},
        ),
        Step(
            f"Check a {name}",
            f"POST /verification/{kind}",
            f"Whose {name} this is. A completed check is paid; one without an answer, or of a number that is on no record,"
            " is not. With `use_real_api` false the built-in personas answer.",
            folder,
            body={kind: f"{{{{{kind}}}}}", "card_type": "standard", "force_new": False, **more},
            answer=_ok(_verified(kind, number, price, details, **more), f"{name} verification completed successfully"),
            expects={"success": True, "data.details.firstName": "John", f"data.details.{kind}": f"{{{{{kind}}}}}"},
            keeps={f"{kind}Id": "data.verification_id"},
        ),
        Step(
            f"{name} checks so far",
            f"GET /verification/{kind}/history",
            "The account's own checks, newest first.",
            folder,
            answer=_ok([_check(kind, number, price)], f"{name} verifications retrieved successfully"),
            expects={"success": True, "data": Holds({"id": f"{{{{#{kind}Id}}}}", "status": "verified"})},
        ),
        Step(
            f"One {name} check",
            f"GET /verification/{kind}/{{id}}",
            "One check with what it found. Somebody else's is not found.",
            folder,
            path={"id": f"{{{{{kind}Id}}}}"},
            answer=_ok(
                {"verification": _check(kind, number, price), "details": details},
                f"{name} verification retrieved successfully",
            ),
            expects={
                "data.verification.id": f"{{{{#{kind}Id}}}}",
                f"data.verification.{kind}_number": f"{{{{{kind}}}}}",
                "data.details.firstName": "John",
            },
        ),
    )


STORY: Final = (
    Step(
        "Who I am",
        "GET /user",
        "Whose key it is, and what can be spent.",
        "Look around",
        answer=_ok(
            {
                "id": 1,
                "name": "Ada Obi",
                "email": "{{email}}",
                "phone": "08031234567",
                "wallet": {"balance": Decimal("10000.00")},
            }
        ),
        expects={"success": True},
        keeps={"email": "data.email", "balance": "data.wallet.balance"},
    ),
    Step(
        "My profile",
        "GET /user/profile",
        "The account's profile, and which of its parts are verified.",
        "Look around",
        answer=_ok(
            {
                "id": 1,
                "name": "Ada Obi",
                "email": "{{email}}",
                "phone": "08031234567",
                "avatar": "https://shop.example/avatars/none",
                "address": "1 Broad Street, Lagos",
                "gender": Maybe("Female"),
                "date_of_birth": Maybe("1990-01-01"),
                "is_verified": True,
                "verification_status": {"email": True, "phone": True, "id": False},
                "wallet": {"balance": Decimal("10000.00"), "currency": "NGN", "last_funded": Maybe(_WHEN)},
                "joined_at": _WHEN,
            }
        ),
        expects={"data.email": "{{email}}", "data.wallet.currency": "NGN"},
    ),
    Step(
        "Mobile networks",
        "GET /mobile/networks",
        "The networks of Nigeria.",
        "Look around",
        answer=_ok([_NETWORK], "Mobile networks retrieved successfully"),
        expects={"data": Holds({"code": "{{network}}", "status": "active"})},
    ),
    Step(
        "Networks with their details",
        "GET /networks",
        "What is sold for each network, and how providers spell it.",
        "Look around",
        answer=_ok(
            [
                _NETWORK
                | {
                    "provider_codes": MapOf("mtn-ng"),
                    "data_types": ["SME", "Direct", "Corporate"],
                    "supports_airtime": True,
                    "supports_data": True,
                    "created_at": _WHEN,
                    "updated_at": _WHEN,
                }
            ],
            "Networks retrieved successfully",
        ),
        expects={"data": Holds({"code": "{{network}}", "supports_airtime": True, "supports_data": True})},
    ),
    Step(
        "Networks that airtime is sold for",
        "GET /airtime/types",
        "Their codes are what an airtime purchase takes.",
        "Airtime",
        answer=_ok([_NETWORK], "Airtime types retrieved successfully"),
        expects={"data": Holds({"code": "{{network}}"})},
    ),
    Step(
        "Buy airtime",
        "POST /airtime/purchase",
        "The answer comes when it was delivered, or after a few seconds as pending. `reference` makes it safe to send the"
        " request again.",
        "Airtime",
        body={
            "network": "{{network}}",
            "phone": "{{phone}}",
            "amount": "{{#airtimeAmount}}",
            "reference": "{{reference}}",
        },
        makes={"reference": "story-{{$guid}}"},
        answer=_ok(_bought(4711, "{{airtimeReference}}", 100, Decimal("9900.00")), "Airtime purchased successfully"),
        expects={
            "success": True,
            "data.transaction.status": "completed",
            "data.transaction.amount": "{{#airtimeAmount}}",
            "data.transaction.reference": Pattern("^AIR-[0-9]+-[0-9a-z]{6}$"),
        },
        keeps={"airtimeReference": "data.transaction.reference", "balance": "data.new_balance"},
    ),
    Step(
        "The same purchase again",
        "POST /airtime/purchase",
        "The order as it stands; nothing is bought and nothing taken again.",
        "Airtime",
        body={
            "network": "{{network}}",
            "phone": "{{phone}}",
            "amount": "{{#airtimeAmount}}",
            "reference": "{{reference}}",
        },
        says={"Idempotent-Replayed": "true"},
        answer=_ok(_bought(4711, "{{airtimeReference}}", 100, Decimal("9900.00")), "Airtime purchased successfully"),
        expects={"data.transaction.reference": "{{airtimeReference}}", "data.new_balance": "{{#balance}}"},
    ),
    Step(
        "Networks that data is sold for",
        "GET /data/networks",
        "With the types of data that each has.",
        "Data",
        answer=_ok([_NETWORK | {"data_types": ["SME", "Direct"]}], "Data networks retrieved successfully"),
        expects={"data": Holds({"code": "{{network}}"})},
    ),
    Step(
        "Plans of a network",
        "GET /data-plans",
        "`id` is the `plan_id` that a purchase takes.",
        "Data",
        query={"network": "{{network}}"},
        answer=_ok([_PLAN], "Data plans retrieved successfully"),
        expects={"success": True},
        keeps={"planId": "data[0].id", "planAmount": "data[0].amount"},
    ),
    Step(
        "Buy data",
        "POST /data/purchase",
        "As with airtime, the answer waits for the delivery.",
        "Data",
        body={"network": "{{network}}", "plan_id": "{{#planId}}", "phone": "{{phone}}"},
        answer=_ok(_bought(4712, "{{dataReference}}", 300, Decimal("9600.00")), "Data purchased successfully"),
        expects={
            "success": True,
            "data.transaction.status": "completed",
            "data.transaction.amount": "{{#planAmount}}",
            "data.transaction.reference": Pattern("^DATA-"),
            "data.new_balance": Less("balance", "data.transaction.amount"),
        },
        keeps={"dataReference": "data.transaction.reference", "balance": "data.new_balance"},
    ),
    *_identity("nin", 4714, 100, _NIN_DETAILS),
    *_identity("bvn", 4715, 300, _BVN_DETAILS, provider="idpass"),
    Step(
        "The balance",
        "GET /wallet/balance",
        "What can be spent now, as text with two decimals.",
        "Wallet",
        answer=_ok(
            {
                "wallet_id": 12,
                "user_id": 1,
                "balance": "9200.00",
                "currency": "NGN",
                "last_funded": Maybe(_WHEN),
                "status": "active",
            },
            "Wallet balance retrieved successfully",
        ),
        expects={"data.currency": "NGN", "data.balance": Pattern("^[0-9]+\\.[0-9]{2}$")},
    ),
    Step(
        "Begin a funding",
        "POST /wallet/fund",
        "The payer is sent to `payment_url`. Only the gateway's word credits the wallet. It counts as a purchase in the"
        " allowance.",
        "Wallet",
        body={
            "amount": 5000,
            "payment_method": "card",
            "redirect_url": "https://shop.example/thanks",
        },
        answer=_ok(
            {
                "reference": "{{fundingReference}}",
                "amount": "5000.00",
                "status": "pending",
                "payment_url": "https://checkout.example/pay/4713",
                "expires_at": _WHEN,
            },
            "Funding request initiated successfully",
        ),
        expects={
            "data.status": "pending",
            "data.amount": "5000.00",
            "data.reference": Pattern("^FND-"),
            "data.payment_url": Pattern("^https?://"),
        },
        keeps={"fundingReference": "data.reference"},
    ),
    Step(
        "The wallet in numbers",
        "GET /wallet/summary",
        "What came in, what went out, and the last five transactions.",
        "Wallet",
        answer=_ok(
            {
                "wallet": {"id": 12, "balance": "9200.00", "currency": "NGN", "status": "active"},
                "stats": {
                    "total_inflow": "10000.00",
                    "total_outflow": "800.00",
                    "transactions_count": 5,
                    "last_transaction_date": Maybe(_WHEN),
                },
                "recent_transactions": [
                    {
                        "id": 4712,
                        "type": "debit",
                        "amount": "300.00",
                        "reference": "{{dataReference}}",
                        "description": "MTN Data Purchase - 1GB",
                        "status": "completed",
                        "created_at": _WHEN,
                    }
                ],
            },
            "Wallet summary retrieved successfully",
        ),
        expects={"data.recent_transactions": Holds({"reference": "{{fundingReference}}", "status": "pending"})},
    ),
    Step(
        "Transactions",
        "GET /transactions",
        "Sales, fundings, checks and credits of the wallet, newest first, a page at a time.",
        "Transactions",
        query={"per_page": "50", "type": "debit", "status": "completed"},
        answer=_ok(
            {
                "current_page": 1,
                "data": [_TRANSACTION | {"meta": _META, "created_at": _WHEN}],
                "first_page_url": "https://shop.example/api/transactions?per_page=50&page=1",
                "from": Maybe(1),
                "last_page": 1,
                "last_page_url": "https://shop.example/api/transactions?per_page=50&page=1",
                "next_page_url": Maybe("https://shop.example/api/transactions?per_page=50&page=2", null=True),
                "path": "https://shop.example/api/transactions",
                "per_page": 50,
                "prev_page_url": Maybe("https://shop.example/api/transactions?per_page=50&page=1", null=True),
                "to": Maybe(1),
                "total": 1,
            },
            "Transactions retrieved successfully",
        ),
        expects={
            "data.current_page": 1,
            "data.per_page": 50,
            "data.data": Holds({"reference": "{{dataReference}}", "type": "debit", "status": "completed"}),
        },
    ),
    Step(
        "One transaction",
        "GET /transactions/{reference}",
        "With the balance before and after it, and what the provider said.",
        "Transactions",
        path={"reference": "{{dataReference}}"},
        answer=_ok(
            _TRANSACTION
            | {
                "balance_before": "9900.00",
                "balance_after": "9600.00",
                "meta": _META
                | {
                    "validity": Sometimes(Maybe("30 days")),
                    "provider_reference": Sometimes(Maybe("4712-1")),
                    "provider_response": Sometimes(
                        Maybe({"code": 200, "message": "Delivered", "bundle_remaining": Maybe("1024 MB", null=True)})
                    ),
                },
                "created_at": _WHEN,
                "updated_at": _WHEN,
            },
            "Transaction details retrieved successfully",
        ),
        expects={
            "data.reference": "{{dataReference}}",
            "data.type": "debit",
            "data.status": "completed",
            "data.meta.service_type": "data",
            "data.meta.phone": "{{phone}}",
        },
    ),
    Step(
        "A form that cannot be",
        "POST /data/purchase",
        "422 names every field that is wrong, each with sentences.",
        "Get it wrong",
        422,
        body={"network": "nobody", "plan_id": 1, "phone": "12"},
        answer={
            "success": False,
            "message": "The network is not a network code: use mtn, airtel, glo or 9mobile.",
            "errors": {
                "network": ["The network is not a network code: use mtn, airtel, glo or 9mobile."],
                "phone": ["The phone must be a mobile number of Nigeria, such as 08012345678."],
            },
        },
        expects={
            "success": False,
            "errors.phone[0]": Pattern("mobile number"),
            "errors.network[0]": Pattern("network"),
        },
    ),
    Step(
        "Another purchase under the same reference",
        "POST /airtime/purchase",
        "A reference stands for one thing.",
        "Get it wrong",
        409,
        body={"network": "{{network}}", "phone": "{{phone}}", "amount": 51, "reference": "{{reference}}"},
        expects={"success": False, "message": Pattern("reference")},
    ),
    Step(
        "A transaction that does not exist",
        "GET /transactions/{reference}",
        "Somebody else's is not found either.",
        "Get it wrong",
        404,
        path={"reference": "DATA-1-000000"},
        expects={"success": False},
    ),
    Step(
        "Without a key",
        "GET /user",
        "No key, an unknown key and a revoked one are not told apart.",
        "Get it wrong",
        401,
        keyless=True,
        answer={"success": False, "message": "Unauthenticated."},
        expects={"success": False, "message": "Unauthenticated."},
    ),
)
