"""The examples are what our statement of version 2.3 demands, and what is not is noticed."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.madapi_schema import definition_of, mind

EXAMPLES = Path(__file__).parent.parent.parent.parent / "wire" / "madapi"


def answers() -> dict[str, dict[str, Any]]:
    read = {path.stem: json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*.json"))}
    return {name: example for name, example in read.items() if "response" in example}


def check(example: dict[str, Any], response: Any) -> None:
    method, path = example["endpoint"].split(" ")
    method = response.get("method", method)
    path = path.replace("{customerId}", "2348031234567").replace("{productCode}", "AYO_SWC")
    path = (
        path.replace("{subscriptionId}", "X").replace("{statusId:path}", "TX-1").replace("{transactionId:path}", "TX-1")
    )
    mind(method, path, example["status"], response)


@pytest.mark.parametrize("name", answers())
def test_an_example_is_what_the_schema_demands(name: str) -> None:
    example = answers()[name]
    check(example, example["response"])


@pytest.mark.parametrize("name", answers())
def test_an_answer_without_one_of_its_first_fields_is_noticed(name: str) -> None:
    example = answers()[name]
    optional = {"sequenceNo", "supportMessage"}
    if name.startswith(("premium", "refill")) and example["status"] < 300:
        optional |= {"transactionId"}
    if "transactionIdFree" in example["response"]:
        optional |= {"transactionIdFree", "transactionReference"}  # Not every 404 of a status has them.
    noticed = 0
    for field in example["response"].keys() - optional:
        with pytest.raises(jsonschema_rs.ValidationError):
            check(example, {key: value for key, value in example["response"].items() if key != field})
        noticed += 1
    assert noticed


def test_wrong_words_and_formats_are_noticed() -> None:
    example = answers()["plans"]
    for old, new in (
        ('"Prepaid"', '"prepaid"'), ('"MB"', '"mb"'), ('"1792.00"', '"1,792.00"'), ('"1792.00"', "1792.0"), ('"Unused"', '"New"'),
        ("2021-03-09T08:00:00Z", "20210309T08:00:00+0000"), ('"0000"', '"200"'), ("https:", "/"),
    ):  # fmt: skip
        text = json.dumps(example["response"])
        assert old in text
        with pytest.raises(jsonschema_rs.ValidationError):
            check(example, json.loads(text.replace(old, new, 1)))


def test_each_answer_has_its_definition() -> None:
    assert definition_of("GET", "/v2/customers/1/plans/refill", 405) == "error"
    assert definition_of("POST", "/v2/customers/1/plans/X", 405) == "error"
    assert definition_of("POST", "/v2/customers/1/plans", 429) == "premiumError"
    assert definition_of("GET", "/v2/customers/1", 404) == "unrouted"
    assert definition_of("POST", "/v2/customers/1/plans/provision", 400) == "error"
