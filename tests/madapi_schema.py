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
}
_PREMIUM: Final = {200: "premium", 207: "premiumInPart", 404: "absent", 405: "error"}
_PATH: Final = re.compile(r"/v2/customers/[^/]+/plans(?:/(refill|FRI/state|FRI|provision)|/([^/]+))?")


def definition_of(method: str, path: str, status: int) -> str:
    """The name of what an answer must be."""
    if path.startswith("/v1/oauth/access_token"):
        place = "token"
    else:
        found = _PATH.fullmatch(path.partition("?")[0])
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
