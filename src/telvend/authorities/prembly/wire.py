"""What Prembly (IdentityPass) says, and what it means.

An answer is HTTP 200 with `response_code`; `status` beside it is true also for "not found", so it is not looked at. The
record stands under `data`, in older answers under `nin_data` or `bvn_data`. A NIN's fields are run together and misspelt
(`residence_AdressLine1`), a BVN's are in camel case (`phoneNumber1`); names of fields are compared without regard to case
and underscores. Sources: docs.prembly.com, "Response Codes and Verification Status", "NIN and Virtual NIN", "BVN Basic";
developer.myidentitypass.com for the older spelling. Examples: tests/wire/prembly/.
"""

from enum import StrEnum
from typing import Any

from telvend.authorities import reading
from telvend.authorities.contract import (
    Answer,
    Blocked,
    Found,
    NotOnRecord,
    Record,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.authorities.over_http import AuthorityReply, body_of


class Code(StrEnum):
    """The closed list of `response_code`. Any other is `VerificationUnknown`."""

    FOUND = "00"
    NOT_FOUND = "01"
    AUTHORITY_UNAVAILABLE = "02"
    FLOAT_EMPTY = "03"
    BLOCKED = "07"


def answer_of(kind: VerificationKind, number: str, reply: AuthorityReply) -> Answer:
    """What an answer about `number` means. No text in it repeats anything of the body but a code."""
    body = body_of(reply)
    if isinstance(body, Unavailable | VerificationUnknown):
        return body
    said: Any = body.get("response_code") if isinstance(body, dict) else None
    try:
        code = Code(said)
    except ValueError:
        return VerificationUnknown(f"HTTP {reply.http_status}: undocumented response_code {_shown(said)}")
    if code is Code.NOT_FOUND:
        return NotOnRecord()
    if code is Code.AUTHORITY_UNAVAILABLE:
        return Unavailable(reading.RETRY_LATER_S, "response_code 02: the register does not answer them")
    if code is Code.FLOAT_EMPTY:
        return Unavailable(reading.RETRY_LATER_S, "response_code 03: our account with them is empty", ours_to_mend=True)
    if code is Code.BLOCKED:
        return (
            Blocked()
            if kind is VerificationKind.BVN
            else VerificationUnknown("response_code 07 for a NIN, which is for BVNs")
        )
    fields = _record_fields(body, kind)
    record = _record(fields)
    if not record.first_name and not record.last_name:
        return VerificationUnknown("response_code 00 without a record")
    if not reading.is_about(fields.get(kind.value), number):
        return VerificationUnknown("response_code 00 with the record of another number")
    return Found(record)


def _record_fields(body: dict[str, Any], kind: VerificationKind) -> dict[str, Any]:
    own = f"{kind.value}_data"
    outer = body.get("data")
    inner = outer.get(own) if isinstance(outer, dict) else None
    for candidate in (inner, outer, body.get(own)):
        if isinstance(candidate, dict) and candidate:
            return reading.fields_of(candidate)
    return {}


def _record(fields: dict[str, Any]) -> Record:
    return Record(
        first_name=reading.name(reading.first(fields, "firstname")),
        middle_name=reading.name(reading.first(fields, "middlename")),
        last_name=reading.name(reading.first(fields, "surname", "lastname")),
        date_of_birth=reading.day(reading.first(fields, "birthdate", "dateofbirth")),
        gender=reading.gender(fields.get("gender")),
        mobile=reading.mobile(reading.first(fields, "telephoneno", "phonenumber1", "phonenumber")),
        email=reading.first(fields, "email"),
        address=reading.name(
            reading.first(
                fields, "residenceadressline1", "residenceaddressline1", "residenceaddress", "residentialaddress"
            )
        ),
        town=reading.name(reading.first(fields, "residencetown")),
        lga=reading.name(reading.first(fields, "residencelga", "lgaofresidence")),
        state=reading.name(reading.first(fields, "residencestate", "stateofresidence")),
        issue_date=reading.day(reading.first(fields, "registrationdate")),
        photo=reading.picture(fields.get("photo")) or reading.picture(fields.get("base64image")),
        signature=reading.picture(fields.get("signature")),
    )


def _shown(said: Any) -> str:
    return repr(said) if isinstance(said, str) and len(said) <= 4 and said.isascii() else "of another form"
