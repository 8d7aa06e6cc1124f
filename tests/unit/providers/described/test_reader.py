"""One wrong file for each rule: it is refused, on the line where the mistake stands, with what to write instead."""

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telvend.providers.described.examples import NAMES, example
from telvend.providers.described.keys import TABLES
from telvend.providers.described.reader import LARGEST_BYTES, Examined, examine, read, read_document
from telvend.providers.upstream import CallbackForm, SettingsProblem

GOOD: Final = """\
[upstream]
title = "Acme"
country = "NG"
base_url = "https://api.acme.example"

[networks]
mtn = "MTN"
glo = "2"

[reference]
max_length = 40

[headers]
api-key = "{api_key}"

[purchase.data]
url = "/buy"

[purchase.data.body]
ref = "{reference}"
net = "{network}"
plan = "{product}"
to = "{phone:national}"

[answer]
status = "status"
reference = "id"
error = "code"

[answer.statuses]
done = "delivered"
working = "accepted"
failed = "refused"

[answer.errors]
E1 = "refused: bad_number"

[answer.http]
401 = "refused: not_allowed"

[requery]
url = "/orders/{reference}"
not_found = ["E404"]
not_found_counts_after_s = 600

[balance]
url = "/balance"
amount = "float"
"""

MISTAKES: Final = {
    # Form.
    "no TOML": ('title = "Acme"', 'title = "Acme', 'title = "Acme', "is no TOML"),
    "a key that there is not": ('url = "/buy"', 'url = "/buy"\nencodng = "form"', "encodng", "did you mean encoding?"),
    "a table that there is not": ("[balance]", "[ballance]", "[ballance]", "did you mean balance?"),
    "a wrong type": ("max_length = 40", 'max_length = "40"', "max_length", "must be a whole number from 1 to 128"),
    "out of bounds": ('country = "NG"', 'country = "NG"\ntimeout_s = 0', "timeout_s", "from 1 to 300"),
    "a value instead of a table": ("[balance]\n", "balance = 1\n[callback]\n", "amount", "is no key here"),
    "a country without a catalogue": ('"NG"', '"KE"', "country", "the catalogue has"),
    "another currency": ('country = "NG"', 'country = "NG"\ncurrency = "GHS"', "currency", "write NGN"),
    "no address": ("https://api.acme.example", "api.acme.example", "base_url", "must be an address"),
    "an address with a password": ("https://api", "https://me:secret@api", "base_url", "must be an address"),
    "a kind that there is not": ("[purchase.data]\n", "[purchase.dta]\n", "[purchase.dta]", "is no kind"),
    "a kind that carries something back": (
        "[purchase.data]\n",
        '[purchase.electricity]\nurl = "/x"\n\n[purchase.data]\n',
        "[purchase.electricity]",
        "needs a connector in code",
    ),
    "a missing key": ('title = "Acme"\n', "", "[upstream]", "is missing"),
    "no networks": ('mtn = "MTN"\nglo = "2"\n', "", "[networks]", "names none"),
    "a network twice": ('mtn = "MTN"', 'mtn = "MTN"\nMTN = "1"', 'MTN = "1"', "twice"),
    "a network that is no text": ('mtn = "MTN"', "mtn = true", "mtn", "must be a text"),
    "a path that is none": ('status = "status"', 'status = "$.status"', 'status = "$', "must be a path"),
    "code in a path": ('status = "status"', 'status = "a[b()]"', 'status = "a[', "must be a path"),
    "no JSON": ('net = "{network}"', "net = 2026-01-01", "net =", "is no value of JSON"),
    "a URL with a host": ('url = "/buy"', 'url = "https://elsewhere.example/buy"', "elsewhere", "begin with a slash"),
    "a URL that begins with a secret": ('url = "/buy"', 'url = "{api_key}/buy"', "{api_key}/buy", "begin with a slash"),
    "a URL with a blank": ('url = "/buy"', 'url = "/buy now"', "/buy now", "printable ASCII"),
    "a header of ours": ('api-key = "{api_key}"', 'api-key = "{api_key}"\nHost = "x"', "Host", "take it out"),
    "a header with a line end": ('"{api_key}"', '"{api_key}\\nX: 1"', "api-key", "printable ASCII"),
    "a table in a form": (
        '[purchase.data.body]', 'encoding = "form"\n\n[purchase.data.body]\nmore = { a = 1 }', "more =", "form has not",
    ),
    "a GET with a body": (
        'url = "/balance"', 'url = "/balance"\nencoding = "json"\nbody = { a = "b" }', "encoding", "a GET has no body",
    ),
    # Placeholders.
    "a placeholder that there is not": ("{network}", "{netwrok}", "netwrok", "which nothing fills"),
    "a number without its format": ('to = "{phone:national}"', 'to = "{phone}"', "{phone}", "without its format"),
    "an amount without its format": ('plan = "{product}"', 'plan = "{amount}"', "{amount}", "{amount:minor}"),
    "a single brace": ("{network}", "{network", 'net = "', "single brace"),
    "a number within a text": ("{network}", "x{network:number}", "x{network", "everything is text"),
    "a number that is none": ("{reference}", "{reference:number}", "reference:number", "is no number"),
    "a network that is no number": ("{network}", "{network:number}", 'mtn = "MTN"', "write digits"),
    "basic without a password": ('"{api_key}"', '"Basic {basic:api_key}"', "api-key", "{basic:USER:PASSWORD}"),
    # Our reference.
    "a purchase without the reference": ('ref = "{reference}"\n', "", "[purchase.data]", "sends no {reference}"),
    "a reference that cannot differ": ("max_length = 40", "max_length = 10", "max_length", "could get one reference"),
    "digits that cannot differ": (
        "max_length = 40", 'max_length = 19\ncharacters = "digits"', "max_length", "could get one reference",
    ),
    "a prefix that leaves nothing": (
        "max_length = 40", 'max_length = 40\nprefix = "A-PREFIX-OF-MORE-THAN-THIRTY-CHARS"', "max_length", "leaves",
    ),
    "a prefix of other characters": (
        "max_length = 40", 'characters = "digits"\nprefix = "TV"', "prefix", "which is not digits",
    ),
    "a UUID with a prefix": ("max_length = 40", 'characters = "uuid"\nprefix = "TV"', "prefix", "a UUID has none"),
    "not sent, and sent": ("max_length = 40", "sent = false", "sent = false", "sends it"),
    "their reference before they have given it": ("{product}", "{provider_reference}", "[purchase.data]", "nobody knows"),
    # What would not reach anybody.
    "no recipient": ('to = "{phone:national}"\n', "", "[purchase.data]", "whom to deliver to"),
    "no product": ('plan = "{product}"\n', "", "[purchase.data]", "which bundle"),
    "airtime without an amount": (
        "[answer]\n",
        '[purchase.airtime]\nurl = "/air"\nbody = { r = "{reference}", p = "{phone:e164}" }\n\n[answer]\n',
        "[purchase.airtime]",
        "how much to deliver",
    ),
    "airtime of one amount": (
        "[answer]\n",
        '[purchase.airtime]\nurl = "/air"\n'
        'body = { r = "{reference}", p = "{phone:e164}", plan = "{product}" }\n\n[answer]\n',
        "[purchase.airtime]",
        "how much to deliver",
    ),
    "airtime of what it costs": (
        "[answer]\n",
        '[purchase.airtime]\nurl = "/air"\n'
        'body = { r = "{reference}", p = "{phone:e164}", amount = "{cost:minor}" }\n\n[answer]\n',
        "[purchase.airtime]",
        "how much to deliver",
    ),
    # Money given back for something delivered.
    "a 5xx that is refused": ("401 =", "502 =", "502 =", "is a 5xx"),
    "a time-out that is refused (HTTP)": ("401 =", "408 =", "408 =", "a time-out"),
    "a gateway's time-out that is refused": ("401 =", "504 =", "504 =", "is a 5xx"),
    "a conflict that is refused": ("401 =", "409 =", "409 =", "an earlier request"),
    "a 2xx that is refused": ("401 =", "200 =", "200 =", "says nothing of the purchase"),
    "a 200 that is delivered": ("401 = \"refused: not_allowed\"", '200 = "delivered"', "200 =", "says nothing"),
    "a redirect that is refused": ("401 =", "302 =", "302 =", "always unknown"),
    "a class of HTTP statuses": ("401 =", "4xx =", "4xx =", "no single HTTP status"),
    "an HTTP status that delivers": ('"refused: not_allowed"', '"delivered"', "401 =", "write one of"),
    "an error that delivers": ('"refused: bad_number"', '"delivered"', "E1 =", "write one of"),
    "a time-out in a word": ("failed =", "timeout =", "timeout =", "does not say that nothing was delivered"),
    "a time-out in an error": ("E1 =", '"Timed out" =', "Timed out", "does not say that nothing was delivered"),
    "pending that is refused": ("failed =", "PENDING =", "PENDING =", 'write "accepted"'),
    "a duplicate that is refused": ("E1 =", '"duplicate reference" =', "duplicate", "does not say"),
    "a gateway's time-out in a word": ("failed =", "GATEWAY_TIMEOUT =", "GATEWAY_TIMEOUT", "does not say that nothing"),
    "a time-out in a sentence": ("E1 =", '"The network timed out" =', "timed out", "does not say that nothing"),
    "a 5xx in a word": ("failed =", "504 =", "504 =", "does not say that nothing was delivered"),
    "a 5xx in an error": ("E1 =", "500 =", "500 =", "does not say that nothing was delivered"),
    "their own fault": ("E1 =", "INTERNAL_SERVER_ERROR =", "INTERNAL", "does not say that nothing was delivered"),
    "their system's fault": ("failed =", '"System error" =', "System", "does not say that nothing was delivered"),
    "pending for a reason": ("failed =", "PENDING_REVIEW =", "PENDING", "does not say that nothing was delivered"),
    "on hold": ("failed =", '"on-hold" =', "on-hold", "does not say that nothing was delivered"),
    "a reference that exists": ("E1 =", "REFERENCE_EXISTS =", "EXISTS", "does not say that nothing was delivered"),
    "done already": ("E1 =", "already_processed =", "already", "does not say that nothing was delivered"),
    "never heard of, and refused": ("failed =", "NOT_FOUND =", "NOT_FOUND =", "may still be on its way"),
    "no such order, and refused": ("failed =", '"No such order" =', "No such", "not_found"),
    "never heard of, in answers to questions": (
        "[balance]",
        '[requery.answer]\nstatus = "s"\nreference = "id"\n'
        '[requery.answer.statuses]\nfine = "delivered"\n"order does not exist" = "refused"\n[balance]',
        "does not exist", "may still be on its way",
    ),
    "a time-out of ours": ("[answer]\n", '[answer]\non_timeout = "refused"\n', "on_timeout", "always unknown"),
    "everything else": ("failed =", '"*" =', '"*"', "would stand for every value"),
    "a default": ("failed =", "default =", "default =", "would stand for every value"),
    "otherwise": ("[answer]\n", '[answer]\notherwise = "refused"\n', "otherwise", "always unknown"),
    "nothing that is refused": ("failed =", '"" =', '"" =', "is no value"),
    "success in two words that is refused": ("failed =", "TRANSACTION_SUCCESSFUL =", "SUCCESSFUL", "reads like success"),
    "failure in two words that is delivered": ("done =", '"order failed" =', "order failed", "reads like failure"),
    "success that is refused": ("failed =", "Successful =", "Successful", "reads like success"),
    "failure that is delivered": ("done =", "rejected =", "rejected", "reads like failure"),
    "a status twice": ('done = "delivered"', 'done = "delivered"\nDONE = "refused"', "DONE", "mapped twice"),
    "a status twice to TOML": ('done = "delivered"', 'done = "delivered"\ndone = "refused"', "done = \"refused\"", "no TOML"),
    "one value, two meanings": ("E1 =", "done =", 'done = "refused: bad', "one value has one meaning"),
    "one place, two maps": ('error = "code"', 'error = "status"', 'error = "status"', "is the place of `status`"),
    "an error that is none": ('error = "code"', 'error = "code"\nno_error = ["e1"]', "no_error", "maps too"),
    "errors from nowhere": ('error = "code"\n', "", "[answer]", "where the codes"),
    "their reference is the status": ('reference = "id"', 'reference = "status"', 'reference = "status"', "another value"),
    "our reference is the status": (
        'reference = "id"', 'reference = "id"\nour_reference = "status"', "our_reference", "another value",
    ),
    "an unknown reason": ("refused: bad_number", "refused: bad_phone", "E1 =", "there are bad_number"),
    "an unknown outcome": ('"refused"', '"refund"', "failed =", "write one of delivered, accepted"),
    "a status not sent": ('failed = "refused"', 'failed = "not_sent"', "failed =", "write one of delivered, accepted"),
    "a reason of a delivery": ('"delivered"', '"delivered: refused"', "done =", "write one of"),
    # The requery.
    "no requery": (
        '[requery]\nurl = "/orders/{reference}"\nnot_found = ["E404"]\nnot_found_counts_after_s = 600\n', "",
        "[upstream]", "is missing: the request that asks",
    ),
    "a requery that buys": (
        'url = "/orders/{reference}"', 'url = "/buy?ref={reference}"\nmethod = "POST"', "/buy?ref", "would deliver again",
    ),
    "a requery that buys by its body": (
        'url = "/orders/{reference}"', 'url = "/buy"\nmethod = "POST"\nbody = { ref = "{reference}" }', "/buy", "deliver again",
    ),
    "a requery that buys by another method": (
        'url = "/orders/{reference}"', 'url = "/buy?ref={reference}"\nmethod = "PUT"', "/buy?ref", "would deliver again",
    ),
    "a requery that buys by another spelling": (
        'url = "/orders/{reference}"', 'url = "/x/..//%62uy/?ref={reference}"\nmethod = "POST"', "%62uy", "would deliver again",
    ),
    "a requery of nothing": ("/orders/{reference}", "/orders", "[requery]", "names no purchase"),
    "a requery by a reference that is nowhere": (
        'reference = "id"\nerror', "error", "[answer]", "it has to stand somewhere",
    ),
    "not found at once": ("after_s = 600", "after_s = 0", "after_s", "may still be on its way"),
    "not found too soon": ("after_s = 600", "after_s = 59", "after_s", "write at least 60"),
    "not found, sooner than the time-out": (
        'country = "NG"', 'country = "NG"\ntimeout_s = 300.0\nrate_per_s = 5', "after_s", "write at least 600",
    ),
    "not found at an unknown age": ("not_found_counts_after_s = 600\n", "", "[requery]", "may still be on its way"),
    "an age of nothing": ('not_found = ["E404"]\n', "", "counts_after", "has no effect"),
    "not found by HTTP": ('not_found = ["E404"]', 'not_found = ["404"]\nnot_found_at = "status"', "not_found =", "wrong address"),
    "not found by a number": ('["E404"]', "[404]", "not_found =", "must be a list of texts"),
    "not found by a flag": ('["E404"]', '["false"]', "not_found =", "only that the question failed"),
    "not found, and refused": ('["E404"]', '["E1"]', "not_found =", "mapped to refused too"),
    "not found without our reference": ("/orders/{reference}", "/orders/{provider_reference}", "not_found =", "does not name our"),
    "a flag of the question": ('failed = "refused"', 'false = "refused"', "[requery]", "[requery.answer]"),
    "a flag as the purchase's own status": (
        "[balance]",
        '[requery.answer]\nstatus = "ok"\n[requery.answer.statuses]\nfine = "delivered"\nfalse = "refused"\n[balance]',
        "false =", "whether the question succeeded",
    ),
    "a requery that finds nothing delivered": (
        "[balance]",
        '[requery.answer]\nstatus = "s"\n[requery.answer.statuses]\nfailed = "refused"\n[balance]',
        "[requery.answer.statuses]", 'has no "delivered"',
    ),
    "nothing that is taken": ('done = "delivered"\nworking = "accepted"\n', "", "[answer.statuses]", "delivered"),
    "a failure that may be the question's": (
        "[balance]",
        '[requery.answer]\nstatus = "s"\n[requery.answer.statuses]\nfine = "delivered"\nfailed = "refused"\n[balance]',
        "[requery.answer]", "a question that has",
    ),
    "a product that is a secret": ('url = "/buy"', 'url = "/buy"\nproduct = "{api_key}"', "product =", "has api_key"),
    # The float.
    "a balance that buys": ('url = "/balance"', 'method = "POST"\nurl = "/buy"', 'url = "/buy"', "write the one for the balance"),
    "a balance of a number": ("/balance", "/balance/{phone:e164}", "[balance]", "only a purchase has"),
}  # fmt: skip


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_the_good_one_is_good() -> None:
    found = read(GOOD, "acme.toml")
    assert found.problems == []
    assert found.warnings == []
    assert found.description is not None


def lines_of(found: Examined) -> list[tuple[int, SettingsProblem]]:
    return [(int(problem.where.partition(":")[2].partition(" ")[0]), problem) for problem in found.problems]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_on_its_line(name: str) -> None:
    old, new, marker, phrase = MISTAKES[name]
    if name == "a requery by a reference that is nowhere":
        text = changed(old, new).replace("/orders/{reference}", "/orders/{provider_reference}")
    elif name == "not found, sooner than the time-out":
        text = changed(old, new).replace("after_s = 600", "after_s = 599")
    else:
        text = changed(old, new)
    found = read(text, "acme.toml")
    assert found.description is None
    lines = text.splitlines()
    said = [(lines[line - 1], problem.text) for line, problem in lines_of(found)]
    assert any(marker in line and phrase in sentence for line, sentence in said), said


def test_every_mistake_is_named_at_once_in_the_order_of_the_lines() -> None:
    text = GOOD
    for name in (
        "a network twice",
        "a reference that cannot differ",
        "a 5xx that is refused",
        "not found at once",
        "a default",
    ):
        old, new, _, _ = MISTAKES[name]
        text = text.replace(old, new, 1)
    found = read(text, "acme.toml")
    lines = [line for line, _ in lines_of(found)]
    assert len(lines) == 5
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("old", "new", "marker", "phrase"),
    [
        ('"{api_key}"', '"Token 0123456789abcdef"', "api-key", "looks like a secret"),
        ('url = "/buy"', 'method = "GET"\nurl = "/buy"\nencoding = "query"', 'method = "GET"', "proxies may repeat"),
        ('url = "/buy"', 'url = "/buy?k={api_key}"', "/buy?k=", "in the logs"),
        ("max_length = 40", "is_key = true", "is_key", "delivers once"),
        ("https://api", "http://api", "base_url", "in the open"),
        ('glo = "2"', 'glo = "MTN"', "glo =", "what mtn is called"),
        ('[balance]\nurl = "/balance"\namount = "float"\n', "", "[upstream]", "float is not shown"),
        ("[balance]", '[callback]\nstatus = "s"\n[balance]', "[callback]", "not used yet"),
    ],
)
def test_what_is_only_doubtful_is_a_warning(old: str, new: str, marker: str, phrase: str) -> None:
    text = changed(old, new)
    found = read(text, "acme.toml")
    assert found.problems == []
    assert found.description is not None
    [warning] = found.warnings
    line = int(warning.where.partition(":")[2].partition(" ")[0])
    assert marker in text.splitlines()[line - 1]
    assert phrase in warning.text


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("not successful", "refused"),
        ("NO_ERROR", "delivered"),
        ("NOT_PROCESSED", "refused"),
        ("number does not exist", "refused: bad_number"),
        ("invalid number", "refused: bad_number"),
        ("510", "refused"),
    ],
)
def test_a_word_that_only_looks_like_another_one_is_taken(word: str, outcome: str) -> None:
    assert (
        read(changed('failed = "refused"', f'failed = "refused"\n"{word}" = "{outcome}"'), "acme.toml").problems == []
    )


def test_a_purchase_may_be_refused_because_the_product_is_not_found() -> None:
    text = changed('failed = "refused"', 'failed = "refused"\nNOT_FOUND = "refused: not_sold"')
    own = '[requery.answer]\nstatus = "status"\nreference = "id"\n[requery.answer.statuses]\ndone = "delivered"\n[balance]'
    assert read(text.replace("[balance]", own).replace('["E404"]', '["E404"]'), "acme.toml").problems == []


def test_a_list_of_orders_is_where_they_are_made() -> None:
    text = changed('url = "/orders/{reference}"', 'url = "/buy?ref={reference}"')
    assert read(text, "acme.toml").problems == []


def test_a_key_may_be_believed_at_once() -> None:
    assert read(changed("max_length = 40", "is_key = true").replace("600", "0"), "acme.toml").description is not None


def test_one_address_for_everything_is_told_apart_by_a_constant() -> None:
    text = changed('ref = "{reference}"', 'ref = "{reference}"\naction = "buy"')
    text = text.replace(
        'url = "/orders/{reference}"',
        'url = "/buy"\nmethod = "POST"\nbody = { ref = "{reference}", action = "status" }',
    )
    assert read(text, "acme.toml").problems == []
    assert read(text.replace('"status" }', '"BUY " }'), "acme.toml").problems != []


def test_one_address_for_everything_is_told_apart_by_its_query() -> None:
    text = GOOD.replace('url = "/buy"', 'method = "GET"\nencoding = "query"\nurl = "/api?do=buy"')
    text = text.replace("/orders/{reference}", "/api?do=look&ref={reference}")
    assert read(text, "acme.toml").problems == []
    assert read(text.replace("do=look", "do=BUY"), "acme.toml").problems != []
    assert read(text.replace("do=look&", ""), "acme.toml").problems != []


def test_without_a_reference_of_ours_nobody_is_said_never_to_have_heard() -> None:
    text = changed("max_length = 40", "sent = false").replace('ref = "{reference}"\n', "")
    assert any("does not name our" in problem.text for problem in read(text, "x.toml").problems)
    text = text.replace("/orders/{reference}", "/orders/{provider_reference}")
    text = text.replace('not_found = ["E404"]\nnot_found_counts_after_s = 600\n', "")
    found = read(text, "x.toml")
    assert found.problems == []
    assert "waits for a person" in found.warnings[0].text


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_accepted_and_says_that_it_is_one(name: str) -> None:
    text = example(name)
    assert text.startswith("# EXAMPLE")
    found = read(text, f"{name}.toml")
    assert found.problems == []
    assert found.description is not None


def test_an_example_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        example("../reader")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in examine(tmp_path / "none.toml").problems[0].text
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in examine(tmp_path / "a.toml").problems[0].text
    (tmp_path / "b.toml").write_bytes(b"#" * (LARGEST_BYTES + 1))
    assert "larger" in examine(tmp_path / "b.toml").problems[0].text
    assert "cannot be read" in examine(tmp_path).problems[0].text
    (tmp_path / "c.toml").write_text("")
    missing = {problem.where.split()[-1] for problem in examine(tmp_path / "c.toml").problems}
    assert missing >= {table.name for table in TABLES if table.needed and "." not in table.name}
    (tmp_path / "d.toml").write_text("a = " + "[" * 5000)
    assert "is no TOML" in examine(tmp_path / "d.toml").problems[0].text
    (tmp_path / "e.toml").write_text(GOOD)
    assert examine(tmp_path / "e.toml").description is not None


DOCUMENTS: Final = [tomllib.loads(text, parse_float=Decimal) for text in (GOOD, *map(example, NAMES))]
STRANGE: Final = (
    1, True, [], {}, "", "\0", [1, [2]], [{}], {"a": 1}, {"a": {"b": []}}, Decimal("1.5"), Decimal("inf"), Decimal("NaN"),
    date(1979, 5, 27), "{", "{api_key}", "{phone:e164}", -1, 10**30, ["x"], {"": ""}, {"*": "refused"},
)  # fmt: skip


def spoilt(document: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A document with something else at a path; `None` takes away what is there."""
    key, *rest = path
    copy = dict(document)
    if rest:
        inner = document.get(key)
        copy[key] = spoilt(inner if isinstance(inner, dict) else {}, rest, value)
    elif value is None:
        copy.pop(key, None)
    else:
        copy[key] = value
    return copy


def paths(document: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    for key, value in document.items():
        found += paths(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]
    return found


def looked_at(document: dict[str, Any]) -> Examined:
    found = read_document("x.toml", document, {})
    assert (found.description is None) == bool(found.problems)
    assert all(problem.text and problem.where.startswith("x.toml:1") for problem in found.problems)
    return found


NAMED: Final = sorted({path for document in DOCUMENTS for path in paths(document)})


@pytest.mark.parametrize("value", [None, *STRANGE], ids=repr)
def test_whatever_stands_at_a_key_is_a_problem_at_most(value: Any) -> None:
    for document in DOCUMENTS[:2]:
        for path in NAMED:
            looked_at(spoilt(document, path, value))


@given(st.data())
def test_whatever_stands_at_several_keys_is_a_problem_at_most(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(DOCUMENTS))
    for path in data.draw(st.lists(st.sampled_from(NAMED), min_size=2, max_size=5)):
        document = spoilt(document, path, data.draw(st.sampled_from((None, *STRANGE))))
    looked_at(document)


def test_what_is_posted_is_found_by_either_reference_and_believed_in_nothing() -> None:
    text = changed("[balance]", '[callback]\nour_reference = "data.refs[0]"\nreference = "data.id"\n[balance]')
    found = read(text, "acme.toml")
    assert (found.problems, found.warnings) == ([], [])
    assert found.description is not None
    assert found.description.callback == CallbackForm((("data", "refs", 0), ("data", "id")), {"status": "ok"})
