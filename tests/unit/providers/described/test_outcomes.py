"""What answers mean, over random descriptions that the reader accepts and random answers: what is not mapped is unknown."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telvend.kit.money import NGN, Money
from telvend.providers.contract import Accepted, Delivered, NotSent, Outcome, Reason, Refused, Unknown
from telvend.providers.described.model import Description
from telvend.providers.described.outcomes import balance_of, outcome_of, requery_outcome_of
from telvend.providers.described.reader import read
from telvend.providers.over_http import ProviderReply
from telvend.providers.upstream import BalanceUnavailable
from tests.contract.provider_rigs import delivery_in_nigeria
from tests.unit.providers.described.test_reader import GOOD

DELIVERY: Final = delivery_in_nigeria("+2348031234567", "AT-7H2K-1")

WORDS: Final = (
    "done",
    "Working",
    "failed",
    "timeout",
    "PENDING",
    "held",
    "0",
    "1",
    "true",
    "false",
    "",
    "E1",
    "E2",
    "x y",
)
OUTCOMES: Final = ("delivered", "accepted", "unknown", "refused", "refused: no_float", "refused: down")
ERRORS: Final = ("refused: bad_number", "refused: not_allowed", "not_sent", "unknown")


def quoted(text: str) -> str:
    return json.dumps(text)


def accepted(text: str) -> str:
    """The text without what the reader refuses in it: nearly every drawn table has an entry that would lose money."""
    for _ in range(10):
        problems = read(text, "x.toml").problems
        if not problems:
            return text
        wrong = [text.splitlines()[int(problem.where.split()[0].rpartition(":")[2]) - 1] for problem in problems]
        # A flag that must not answer a question is refused at the heading of the question.
        flags = [problem.text.split("'")[1] for problem in problems if problem.text.startswith("takes ")]
        wrong += [f"{quoted(flag)} = " for flag in flags]
        kept = []
        for line in text.splitlines():
            name = line.partition(" = ")[0]
            if line.startswith("[") or not any(line.startswith(each) for each in wrong):
                kept.append(line)
            elif f"\n{name} = " in GOOD and line not in GOOD.splitlines():
                kept.append(next(each for each in GOOD.splitlines() if each.startswith(f"{name} = ")))
        text = "\n".join(kept) + "\n"
    raise AssertionError(f"the reader still refuses {problems}")


@st.composite
def descriptions(draw: st.DrawFn) -> str:
    def table(words: Any, outcomes: tuple[str, ...]) -> str:
        drawn = draw(st.dictionaries(st.sampled_from(words), st.sampled_from(outcomes), max_size=4))
        return "".join(f"{quoted(str(word))} = {quoted(value)}\n" for word, value in drawn.items())

    text = GOOD
    # Something has to be delivered for a file to be accepted; the rest is drawn.
    text = text.replace(
        'done = "delivered"\nworking = "accepted"\nfailed = "refused"\n',
        'over = "delivered"\n' + table(WORDS, OUTCOMES),
    )
    text = text.replace('E1 = "refused: bad_number"\n', table(WORDS, ERRORS))
    text = text.replace(
        '401 = "refused: not_allowed"\n', table((400, 401, 402, 404, 408, 409, 422, 429, 500, 504, 200, 302), ERRORS)
    )
    if draw(st.booleans()):
        text = text.replace('reference = "id"', 'reference = "id"\nour_reference = "ours"\nphone = "to"')
    if draw(st.booleans()):
        own = table(WORDS, OUTCOMES)
        text = text.replace(
            "[balance]",
            f'[requery.answer]\nstatus = "status"\nreference = "id"\n[requery.answer.statuses]\nover = "delivered"\n{own}\n[balance]',
        )
    not_found = draw(st.lists(st.sampled_from(("E404", "none", *WORDS)), max_size=2))
    if not_found:
        text = text.replace('["E404"]', json.dumps(not_found))
    after = draw(st.sampled_from((600, 0, 30)))
    return accepted(text.replace("600", str(after)))


VALUES: Final = st.one_of(
    st.sampled_from(
        (*WORDS, "over", "E404", "none", "OVER ", True, False, 0, 1, 404, 1.0, None, [], {}, ["over"], {"a": "over"})
    ),
    st.text(max_size=4),
)
BODIES: Final = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "status": VALUES,
            "code": VALUES,
            "id": st.sampled_from(("9", 9, "", None)),
            "ours": st.sampled_from((DELIVERY.reference, "AT-OTHER-1", None, 7)),
            "to": st.sampled_from(("08031234567", "08030000000", 2348031234567, None)),
        },
    ).map(lambda body: json.dumps(body).encode()),
    st.sampled_from(
        (
            b"",
            b"<html>over</html>",
            b'"over"',
            b'["over"]',
            b'{"status": "ov',
            b'{"status":"over","status":"failed"}',
            b"\xff",
        )
    ),
    st.binary(max_size=8),
)
HTTP: Final = st.sampled_from(
    (200, 201, 202, 204, 302, 400, 401, 402, 404, 408, 409, 422, 423, 425, 429, 499, 500, 502, 504, 520)
)
NEVER: Final = frozenset({302, 408, 409, 423, 425, 499, 500, 502, 504, 520})


def body_of(content: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    try:
        body = json.loads(content, object_pairs_hook=once)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def key(value: Any) -> str | None:
    """A value as a person compares it with the words of a table."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip().casefold() if isinstance(value, str | int) else None


def folded(table: Mapping[str, str]) -> dict[str, str]:
    return {word.strip().casefold(): outcome for word, outcome in table.items()}


@given(descriptions(), HTTP, BODIES, st.booleans())
@example(GOOD, 504, b'{"status": "failed"}', False)
@example(GOOD, 200, b'{"status": "done", "code": "E1", "id": 9}', False)
def test_what_is_not_mapped_is_unknown(text: str, http_status: int, content: bytes, question: bool) -> None:
    description = read(text, "x.toml").description
    assert description is not None
    reply = ProviderReply(http_status, content, {})
    meaning = (requery_outcome_of if question else outcome_of)(description, DELIVERY, reply)
    document = tomllib.loads(text)
    answer = document["requery"].get("answer", document["answer"]) if question else document["answer"]
    body = body_of(content)
    status, error = key(body.get("status")), key(body.get("code"))
    by_status = folded(answer["statuses"]).get(status or "")
    by_error = folded(answer.get("errors", {})).get(error or "")
    by_http = document["answer"]["http"].get(str(http_status))
    if http_status in NEVER:
        assert isinstance(meaning, Unknown)
    other = "our_reference" in answer and body.get("ours") not in (None, DELIVERY.reference)
    if other or ("phone" in answer and body.get("to") == "08030000000"):
        assert isinstance(meaning, Unknown | Refused | NotSent) or not body
        assert isinstance(meaning, Unknown)
    match meaning:
        case Delivered():
            assert by_status == "delivered"
            assert http_status < 300
            assert "reference" not in answer or body["id"] in ("9", 9)
        case Accepted():
            assert by_status == "accepted"
            assert http_status < 300
        case Refused(reason=reason):
            assert reason in Reason
            if by_status is None or by_status == "unknown":
                assert not question
                assert (by_error or by_http or "").startswith("refused")
                assert status is None or by_status == "unknown"
            else:
                assert by_status.startswith("refused")
            if question:
                assert http_status < 300
                named = body.get("id") if "reference" in answer else None
                assert named or ("our_reference" in answer and body.get("ours") is not None)
        case NotSent():
            if question:
                at = key(body.get("code" if "error" in answer else "status"))
                assert at in {word.strip().casefold() for word in document["requery"]["not_found"]}
            else:
                assert by_status in (None, "unknown")
                assert "not_sent" in (by_error, by_http)
        case Unknown():
            pass


def described(text: str = GOOD) -> Description:
    found = read(text, "x.toml")
    assert found.problems == []
    assert found.description is not None
    return found.description


def said(status: int, body: Any, text: str = GOOD) -> Outcome:
    return outcome_of(described(text), DELIVERY, ProviderReply(status, json.dumps(body).encode(), {}))


def told(status: int, body: Any, text: str = GOOD) -> Outcome:
    return requery_outcome_of(described(text), DELIVERY, ProviderReply(status, json.dumps(body).encode(), {}))


def test_a_purchase_is_read() -> None:
    assert said(200, {"status": "Done", "id": 77}) == Delivered("77")
    assert said(201, {"status": "working", "id": "x"}) == Accepted("x")
    assert said(200, {"status": "failed"}) == Refused(Reason.REFUSED, 'HTTP 200: b\'{"status": "failed"}\'')
    refused = said(422, {"status": "failed", "code": "e1"})
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.BAD_NUMBER
    refused = said(401, {"detail": "no"})
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_ALLOWED


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"status": "done"}),  # Their reference is missing.
        (400, {"status": "done", "id": 1}),
        (200, {"status": "done", "id": 1, "code": "E1"}),
        (200, {"status": "done", "id": 1, "code": "E9"}),
        (200, {"status": "queued", "id": 1}),
        (200, {"status": ["done"], "id": 1}),
        (401, {"status": "queued"}),
        (403, {}),
        (200, {}),
        (200, {"code": "E9"}),
        (503, {"status": "failed", "code": "E1"}),
        (302, {"status": "failed"}),
        (409, {"code": "E1"}),
    ],
)
def test_what_contradicts_itself_or_is_not_documented_is_unknown(status: int, body: Any) -> None:
    assert isinstance(said(status, body), Unknown)


def test_an_error_of_the_question_refuses_no_purchase() -> None:
    assert isinstance(told(401, {"detail": "no"}), Unknown)
    assert isinstance(told(200, {"code": "E1"}), Unknown)
    assert isinstance(told(422, {"code": "E1"}), Unknown)
    assert isinstance(told(404, {"code": "E404"}), NotSent)
    assert isinstance(told(404, {"detail": "Not Found"}), Unknown)
    assert isinstance(told(200, {"code": "E404", "status": "done", "id": 1}), Unknown)


def test_a_question_that_has_failed_refuses_no_purchase() -> None:
    assert isinstance(told(200, {"status": "failed", "id": 9}), Refused)
    assert isinstance(told(200, {"status": "failed", "message": "Invalid token"}), Unknown)
    assert isinstance(told(401, {"status": "failed", "id": 9}), Unknown)


def test_an_answer_about_somebody_else_is_unknown() -> None:
    text = GOOD.replace('reference = "id"', 'reference = "id"\nour_reference = "ours"\nphone = "to"')
    good = {"status": "done", "id": 1, "ours": DELIVERY.reference, "to": "0803 123 4567"}
    assert isinstance(said(200, good, text), Delivered)
    assert isinstance(said(200, good | {"ours": "AT-OTHER-1"}, text), Unknown)
    assert isinstance(said(200, good | {"to": "08030000000"}, text), Unknown)
    other = replace(DELIVERY, provider_reference="2")
    reply = ProviderReply(200, json.dumps(good).encode(), {})
    assert isinstance(requery_outcome_of(described(text), other, reply), Unknown)


@pytest.mark.parametrize(
    ("form", "value", "cost"),
    [
        ("decimal", "285.0", Money(28500, NGN)),
        ("decimal", 285, Money(28500, NGN)),
        ("decimal", 285.505, Money(28551, NGN)),
        ("minor", 28500, Money(28500, NGN)),
        ("minor", "28500", Money(28500, NGN)),
        ("minor", 28500.0, Money(28500, NGN)),
        ("minor", "285.00", None),
        ("minor", True, None),
        ("minor", -1, None),
        ("decimal", "N285", None),
        ("decimal", None, None),
    ],
)
def test_a_cost_that_cannot_be_read_is_no_cost(form: str, value: Any, cost: Money | None) -> None:
    text = GOOD.replace('reference = "id"', f'reference = "id"\ncost = "taken.0"\ncost_format = "{form}"')
    assert said(200, {"status": "done", "id": 1, "taken": {"0": value}}, text) == Delivered("1", cost)


def test_a_float_is_read() -> None:
    balance = described().balance
    assert balance is not None
    assert balance_of(balance, NGN, ProviderReply(200, b'{"float": "12.50"}', {})) == Money(1250, NGN)
    refused = balance_of(balance, NGN, ProviderReply(401, b"{}", {}))
    assert isinstance(refused, BalanceUnavailable)
    assert refused.not_allowed
    for status, content in ((200, b"{}"), (500, b'{"float": "12.50"}'), (200, b"<html>")):
        assert isinstance(balance_of(balance, NGN, ProviderReply(status, content, {})), BalanceUnavailable)
