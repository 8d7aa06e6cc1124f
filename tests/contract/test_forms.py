"""Forms and the OpenAPI documents: what a document allows is never refused for its form, and what it forbids always is.

Bodies are made from the schemas of the document, and from these by breaking one word of the schema after the other. Whether a body
is allowed says a validator that knows the document only; whether it is taken says the dialect's own reading, over a shop that
knows every network, plan and product.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telvend.dialects import openapi
from telvend.dialects.contract import Dialect, Endpoint
from telvend.dialects.forms import Form
from telvend.dialects.madapi import fields as madapi
from telvend.dialects.madapi.forms import PREMIUM_FORM, TOKEN_FORM
from telvend.dialects.madapi.oauth import access_token, client_of
from telvend.dialects.madapi.routes import MADAPI
from telvend.dialects.netpluse.routes import NETPLUSE, purchase_of
from telvend.dialects.networkdatasub import fields as networkdatasub
from telvend.dialects.networkdatasub.courtesies import TABLE, Part
from telvend.dialects.networkdatasub.routes import NETWORKDATASUB
from telvend.dialects.serving import _decoder, decode
from telvend.errors import BodyNotReadable, InvalidFields, InvalidInput, NotAuthenticated
from telvend.funding.model import is_redirect_url
from telvend.kit.phone import NotAMobileNumber, parse_mobile
from telvend.kit.secret import Secret

Schema = dict[str, Any]
FORMS = [
    pytest.param(dialect, endpoint, id=f"{endpoint.method} {endpoint.path}")
    for dialect in (NETPLUSE, NETWORKDATASUB, MADAPI)
    for endpoint in dialect.endpoints
    if endpoint.form is not None
]
EXAMPLES = 100


# Whether the document allows it -----------------------------------------------------------------------------------------


def is_mobile(region: str) -> Callable[[str], bool]:
    def known(text: str) -> bool:
        try:
            return bool(parse_mobile(text, region))
        except NotAMobileNumber:
            return False

    return known


def is_customer(text: str) -> bool:
    try:
        return bool(madapi.customer(text, ""))
    except InvalidInput:
        return False


FORMATS = {
    "printable": str.isprintable,
    "mobile-number-gh": is_mobile("GH"),
    "mobile-number-ng": is_mobile("NG"),
    "mobile-number": is_customer,
    "mobile-number-or-empty": lambda text: text == "" or is_customer(text),
    "web-address": lambda text: text == "" or is_redirect_url(text),
}
"""The formats of the documents that no standard has."""


_encode = msgspec.json.Encoder(decimal_format="number").encode
DOCUMENTS = {
    dialect.name: json.loads(_encode(openapi.document(dialect, "1"))) for dialect in (NETPLUSE, NETWORKDATASUB, MADAPI)
}


def document(dialect: Dialect) -> dict[str, Any]:
    made: dict[str, Any] = DOCUMENTS[dialect.name]
    return made


def schema_of(dialect: Dialect, endpoint: Endpoint) -> Schema:
    operation = document(dialect)["paths"][openapi.plain_path(dialect.base_path + endpoint.path)][
        endpoint.method.lower()
    ]
    (content,) = operation["requestBody"]["content"].values()
    schema: Schema = content["schema"]
    return schema


def validator(dialect: Dialect, endpoint: Endpoint) -> Any:
    whole = {**schema_of(dialect, endpoint), "components": document(dialect)["components"]}
    return jsonschema_rs.validator_for(
        _without_number_formats(whole), formats=FORMATS, validate_formats=True, ignore_unknown_formats=False
    )


def _without_number_formats(schema: Any) -> Any:
    """`double` and `int64` choose a type of a language; validators do not know them."""
    if isinstance(schema, dict):
        return {
            name: _without_number_formats(inner)
            for name, inner in schema.items()
            if (name, inner) not in (("format", "double"), ("format", "int64"))
        }
    return [_without_number_formats(inner) for inner in schema] if isinstance(schema, list) else schema


# Whether it is taken ----------------------------------------------------------------------------------------------------


class Everything:
    """A shop that sells everything: any word is a network, any number its plan, any text the type of a card."""

    def network(self, country: str, word: str) -> Any:
        return SimpleNamespace(country=country, code="any", name=word)

    def networks(self, _: str) -> list[Any]:
        return []

    def product(self, _: int) -> Any:
        return SimpleNamespace(country="NG", network="any")

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())


SHOP: Any = Everything()


class Keys:
    async def issue_token(self, _: Any, secret: Secret) -> Secret:
        return secret


def ask_for_token(sent: dict[str, Any]) -> None:
    """With the grant in the query where the body has none."""
    query = b"" if sent.get("grant_type") is not None else b"grant_type=client_credentials"
    if client_of(sent, {}) is None:
        raise NotAuthenticated
    call: Any = SimpleNamespace(
        query=query, form=sent, headers={}, caller=None, services=SimpleNamespace(resellers=Keys())
    )
    asyncio.run(access_token(call))


def read(dialect: Dialect, endpoint: Endpoint, body: Any) -> None:
    """Raises what is wrong with the form of the body."""
    decoder = _decoder(endpoint)
    assert decoder is not None
    sent = decode(decoder, json.dumps(body).encode())
    if dialect is NETPLUSE:
        purchase_of(sent, SHOP)
    elif endpoint.form is TOKEN_FORM:
        ask_for_token(sent)
    elif dialect is NETWORKDATASUB:
        assert isinstance(endpoint.form, Form)
        endpoint.form.read(networkdatasub.Fields(sent, SHOP, cards=SHOP))
    else:
        assert isinstance(endpoint.form, Form)
        fields = madapi.Fields(sent, "", "TX-00001")
        fields.sender = "+2348031234567"
        endpoint.form.read(fields)


def is_taken(dialect: Dialect, endpoint: Endpoint, body: Any) -> bool:
    try:
        read(dialect, endpoint, body)
    except (InvalidInput, NotAuthenticated):
        return False
    return True


# Bodies -----------------------------------------------------------------------------------------------------------------

NUMBERS = {
    "mobile-number-gh": [
        "0241234567",
        "+233 24-123-4567",
        "233241234567",
        " 0 2 4-1234567-",
        "0302123456",
        "241234567",
    ],
    "mobile-number-ng": [
        "08031230000",
        "+234 803-123-0000",
        "2348031230000",
        "0803123000",
        "012345678",
        "+ 2348031230000",
    ],
    "mobile-number": [
        "2348031234567",
        "08031234567",
        "+233 24-123-4567",
        "76123456",
        "0712345678",
        "+441632960000",
        "123",
    ],
}
NUMBERS["mobile-number-or-empty"] = ["", *NUMBERS["mobile-number"]]
STRANGE = [
    "\n",
    "\x00",
    "\x7f",
    "\x85",
    "\u2028",
    "\xad",
    "é",
    "١",
    " ",
    "-",
    "_",
    "+",
    ".",
    "a",
    "Z",
    "0",
    "9",
    "/",
    "\\",
]
"""Characters that a text is broken with. None that Unicode folds to a letter of ASCII; see forms.py."""

junk = st.sampled_from(
    [None, "", " ", "\x1c", "\t\n", "x", "0", "1", "-1", "1.5", "01", "null", True, False, 0, 1, -1, 1.5, -0.5, 2**31, 2**53, 10**12,
     10**15, [], ["1"], {}, {"type": "CURRENCY"}, "é" * 20, "1" * 40, "https://a.b", "http:// a", "https://u:p@a.b"]
)  # fmt: skip


def resolved(dialect: Dialect, schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = document(dialect)["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def allowed(dialect: Dialect, schema: Schema) -> st.SearchStrategy[Any]:
    """Values that the schema mostly allows."""
    schema = resolved(dialect, schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([allowed(dialect, choice) for choice in schema["anyOf"]])
    if schema.get("type") == "object":
        return objects(dialect, schema)
    if "if" in schema:
        return allowed(dialect, {**schema["if"], **schema["then"]}) | allowed(dialect, schema["else"])
    if schema["type"] == "string":
        return texts(schema)
    if schema["type"] == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    if schema["type"] == "number":
        return st.integers(schema["minimum"] * 100, schema["maximum"] * 100).map(lambda minor: minor / 100)
    return {"null": st.none(), "boolean": st.booleans()}[schema["type"]]


def texts(schema: Schema) -> st.SearchStrategy[str]:
    if schema.get("format") in NUMBERS:
        return st.sampled_from(NUMBERS[schema["format"]])
    longest = min(schema.get("maxLength", 200), 300)
    if "pattern" not in schema or schema.get("format") == "printable":
        plain = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=longest)
        return plain | st.sampled_from(["x" * schema.get("maxLength", 200), "a"])
    return st.from_regex(re.compile(schema["pattern"].removeprefix("^").removesuffix("$"), re.ASCII), fullmatch=True)


@st.composite
def objects(draw: st.DrawFn, dialect: Dialect, schema: Schema) -> dict[str, Any]:
    """An object that the schema mostly allows; where it has two kinds of objects, one of these."""
    kind: Schema = {}
    chosen: Schema = {}
    if "if" in schema:
        of_kind = draw(st.booleans())
        kind = schema["then"] if of_kind else schema["else"]
        chosen = schema["if"]["properties"] if of_kind else {}
    required = {*schema.get("required", ()), *kind.get("required", ())}
    made = {}
    for name, own in schema["properties"].items():
        narrower = kind.get("properties", {}).get(name, {})
        if "enum" in narrower or "pattern" in narrower:
            own = resolved(dialect, own) | narrower
            own.pop("anyOf", None)
        elif name in chosen:
            own = own | chosen[name]
        if name in required or draw(st.booleans()):
            made[name] = draw(allowed(dialect, own))
    return made


@st.composite
def bodies(draw: st.DrawFn, dialect: Dialect, schema: Schema) -> Any:
    """Half of them as the schema allows, half with something broken."""
    body = draw(objects(dialect, resolved(dialect, schema)))
    if draw(st.booleans()):
        return body
    for _ in range(draw(st.integers(1, 2))):
        place = body
        name = draw(st.sampled_from(sorted(resolved(dialect, schema)["properties"])))
        if isinstance(body.get(name), dict) and body[name] and draw(st.booleans()):
            place = body[name]
            name = draw(st.sampled_from(sorted(place)))
        broken = draw(changed(place.get(name)))
        if broken is MISSING:
            place.pop(name, None)
        else:
            place[name] = broken
    return body


MISSING = object()


def changed(value: Any) -> st.SearchStrategy[Any]:
    """The value gone, of another type, or a little different."""
    anything = st.just(MISSING) | junk
    if isinstance(value, str):
        return anything | st.just(value.upper()) | st.just(value * 3) | st.builds(
            lambda at, strange, over: value[:at] + strange + value[at + over :],
            st.integers(0, len(value)), st.sampled_from(["", *STRANGE]), st.integers(0, 1),
        )  # fmt: skip
    if isinstance(value, int | float) and not isinstance(value, bool):
        return anything | st.sampled_from(
            [str(value), f"0{value}", -value, value * 1000, value + 0.001, f"{value}0", f"{value}.5"]
        )
    return anything


# ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "endpoint"), FORMS)
def test_a_body_is_taken_if_and_only_if_the_document_allows_it(dialect: Dialect, endpoint: Endpoint) -> None:
    schema, known = schema_of(dialect, endpoint), validator(dialect, endpoint)
    seen: Counter[bool] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bodies(dialect, schema))
    def hold(body: dict[str, Any]) -> None:
        if isinstance(endpoint.form, Form) and endpoint.form.uses_courtesy(body):
            return
        is_allowed = known.is_valid(body)
        seen[is_allowed] += 1
        assert is_taken(dialect, endpoint, body) is is_allowed, next(iter(known.iter_errors(body)), None)

    hold()
    # Otherwise the bodies would only have been of one sort.
    assert min(seen[True], seen[False]) > 1


@pytest.mark.parametrize(("dialect", "endpoint"), FORMS)
def test_what_is_no_object_is_forbidden_and_refused(dialect: Dialect, endpoint: Endpoint) -> None:
    known = validator(dialect, endpoint)
    for body in ([], "x", 1, None, True):
        assert not known.is_valid(body)
        with pytest.raises(BodyNotReadable):
            read(dialect, endpoint, body)


def test_what_is_taken_and_not_documented_is_the_courtesies_and_how_a_form_spells_an_amount() -> None:
    courtesies = {courtesy.taken for courtesy in TABLE if courtesy.part in (Part.FIELD, Part.VALUE)}
    assert courtesies == {"phone_number", "data_plan_id", "network"}
    taken = {
        "AirtimeForm": {"phone_number", "network"},
        "DataForm": {"phone_number", "data_plan_id", "network"},
        "PremiumForm": set(madapi.AMOUNT_SPELLINGS),
    }
    forms = [endpoint.form for endpoint in (param.values[1] for param in FORMS) if isinstance(endpoint.form, Form)]
    assert len(forms) == 13
    for form in forms:
        names = {*courtesies, *madapi.AMOUNT_SPELLINGS, *form.schema()["properties"]}
        assert {name for name in names if form.uses_courtesy({name: 1})} == taken.get(form.name, set())
    assert PREMIUM_FORM.uses_courtesy({"amount": "{}"})


def test_every_problem_is_named_in_the_order_of_the_form() -> None:
    (airtime,) = (param.values[1] for param in FORMS if param.id == "POST /airtime/purchase")
    with pytest.raises(InvalidFields) as raised:
        read(NETWORKDATASUB, airtime, {"reference": "", "amount": "1e2"})
    assert list(raised.value.problems) == ["network", "phone", "amount", "reference"]
