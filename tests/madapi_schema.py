"""Holds answers of the MADAPI dialect to tests/wire/madapi/schema/answers.json: which definition belongs to which answer.

mind("GET", "/v2/customers/2348031234567/plans", 200, body)        # raises jsonschema_rs.ValidationError
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

_DOCUMENT: Final = json.loads((Path(__file__).parent / "wire" / "madapi" / "schema" / "answers.json").read_text())
_ANSWERS: Final = {
    ("GET", "plans"): {200: "plans", 207: "plansInPart", 404: "absent"},
    ("GET", "product"): {200: "plans", 207: "plansInPart", 404: "absent"},
    ("PATCH", "plans"): {200: "migration"},
    ("PATCH", "refill"): {200: "refill"},
    ("GET", "FRI"): {200: "fri"},
    ("PATCH", "FRI/state"): {200: "fri"},
    ("POST", "provision"): {200: "migration"},
    ("POST", "token"): {200: "token"},
    ("GET", "refill status"): {200: "refillStatus"},
    ("POST", "subscriptions"): {201: "subscription", 202: "subscriptionPending"},
    ("GET", "subscriptions"): {200: "subscriptions"},
    ("GET", "status"): {200: "subscriptionFinal", 202: "subscriptionPending"},
    ("GET", "products"): {200: "products"},
}
_PREMIUM: Final = {200: "premium", 207: "premiumInPart", 404: "absent", 405: "error"}
_BESIDE: Final = {
    "token": re.compile(r"/v1/oauth/access_token"),
    "refill status": re.compile(r"/v2/customers/[^/]+/refills/.+", re.DOTALL),
    "subscriptions": re.compile(r"/v2/customers/[^/]+/subscriptions"),
    "status": re.compile(r"/v2/customers/[^/]+/subscriptions/[^/]+/status/.+", re.DOTALL),
    "products": re.compile(r"/v3/products/[^/]+"),
}
"""The addresses beside Plans, by what they are called above."""

_PATH: Final = re.compile(r"/v2/customers/[^/]+/plans(?:/(refill|FRI/state|FRI|provision)|/([^/]+))?")


def definition_of(method: str, path: str, status: int) -> str:
    """The name of what an answer must be."""
    plain = path.partition("?")[0]
    place = next((name for name, pattern in _BESIDE.items() if pattern.fullmatch(plain)), "")
    if not place:
        found = _PATH.fullmatch(plain)
        if found is None:
            return "unrouted"
        place = found[1] or ("product" if found[2] else "plans")
    if method == "POST" and place in ("plans", "product"):
        return _PREMIUM.get(status, "premiumError")
    return _ANSWERS.get((method, place), {}).get(status, "error")


@cache
def _validator(name: str) -> Any:
    return jsonschema_rs.validator_for(_DOCUMENT | {"$ref": f"#/$defs/{name}"})


def mind(method: str, path: str, status: int, body: Any) -> None:
    """Raises jsonschema_rs.ValidationError where the answer is not what version 2.3 demands."""
    _validator(definition_of(method, path, status)).validate(body)
