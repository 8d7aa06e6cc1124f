"""Anything that a client may send: every answer is what the schema demands, and none is a failure of ours."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from telvend.dialects.madapi.routes import ENDPOINTS
from tests.madapi_schema import mind
from tests.unit.asgi import request
from tests.unit.dialects.madapi.test_routes import KEY, PREMIUM, Shop

NEAR_MISSES = [
    "", " ", "null", "0", "-1", "1e999", "NaN", "\x00", "\u2028", "é" * 30, "x" * 70, "voucher", "voucherless", "0123456789012345",
    "DB00", "AIR", "AYO_SWC", "TRANSFER", "2348031234567", "+234 803 123 4567", "08031234567", "PRM-1-abcdef", "TX-00001", "true",
    "DATA", "CURRENCY", "NGN", "client_credentials", KEY, "ACTIVE", "{}", "[]", '{"type": 1}',
]  # fmt: skip
texts = st.sampled_from(NEAR_MISSES) | st.text(st.characters(codec="utf-8"), max_size=40)
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
names = st.sampled_from(
    ["refillType", "voucherActivationCode", "serialNumber", "refillProfileId", "transactionAmount", "targetSystem", *PREMIUM,
     "accountHolderId", "quoteId", "message", "planId", "providerId", "state", "client_id", "client_secret", "grant_type",
     "amount[type]", "amount.value", "subscriptionId", "beneficiaryId", "subscriptionPaymentSource"]
)  # fmt: skip
amounts = st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "value", "unit"), junk))
bodies = st.dictionaries(names, junk | amounts, max_size=8)
parameters = st.sampled_from(
    ["plan", "fixedLine", "momo", "includeReservations", "quoteid", "usageType", "amount", "segment", "idType", "prefLanguage",
     "extRequest", "grant_type", "limit", "before", "customerId", "anything"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(ENDPOINTS),
    st.sampled_from(["2348031234567", "AYO_SWC", "x"])
    | st.text(st.characters(codec="utf-8", exclude_characters="/?\n"), min_size=1),
    st.dictionaries(parameters, texts, max_size=3),
    bodies | st.binary(max_size=60),
    st.booleans(),
)  # fmt: skip
async def test_every_answer_has_its_shape(
    endpoint: Any, word: str, query: dict[str, str], body: Any, as_form: bool
) -> None:
    shop = Shop()
    path = endpoint.path.replace("{customerId}", "2348031234567").replace("{productCode}", word)
    for name in ("{subscriptionId}", "{statusId:path}", "{transactionId:path}"):
        path = path.replace(name, word)
    if isinstance(body, bytes):
        raw = body
    elif as_form:
        raw = urlencode(
            {name: value if isinstance(value, str) else str(value) for name, value in body.items()}
        ).encode()
    else:
        raw = msgspec.json.encode(body)
    headers = {"x-api-key": KEY} | ({"content-type": "application/x-www-form-urlencoded"} if as_form else {})
    reply = await request(shop.app, endpoint.method, path, headers=headers, body=raw, query=urlencode(query).encode())
    assert reply.status < 500 or reply.status == 503, reply.json
    mind(endpoint.method, path, reply.status, reply.json)
