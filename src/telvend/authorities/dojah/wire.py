"""What Dojah says, and what it means.

An answer is `{"entity": {…}}` with HTTP 200; a failure is `{"error": "…"}` with a status of its own and no code:

    400, 404  with an error that says "not found"    no such number
    401, 403                                         our key
    402                                              our account with them is empty
    424, 429, 5xx                                    the register, or they themselves, cannot answer now

A 404 whose body is not theirs is a wrong address, not a person who does not exist. Dates are ISO for a NIN
(`1993-05-06`) and `01-January-1907` for a BVN; the number in an answer may be masked. Source: docs.dojah.io, "Lookup NIN",
"Lookup BVN"; which text goes with which status is from an integrator's code. Examples: tests/wire/dojah/.
"""

from typing import Any

from telvend.authorities import reading
from telvend.authorities.contract import (
    Answer,
    Found,
    NotOnRecord,
    Record,
    Unavailable,
    VerificationKind,
    VerificationUnknown,
)
from telvend.authorities.over_http import AuthorityReply, body_of


def answer_of(kind: VerificationKind, number: str, reply: AuthorityReply) -> Answer:
    """What an answer about `number` means. No text in it repeats anything of the body."""
    status, body = reply.http_status, body_of(reply)
    if isinstance(body, Unavailable | VerificationUnknown):
        return body
    if not isinstance(body, dict):
        return VerificationUnknown(f"HTTP {status}: not an object")
    error = body.get("error")
    if isinstance(error, str) and status in (200, 400, 404):
        # The words "not found" are all that tells an unknown number from a request that was wrong in another way.
        if "not found" in error.lower() and not body.get("entity"):
            return NotOnRecord()
        return VerificationUnknown(f"HTTP {status}: an error that is not documented")
    entity = body.get("entity")
    if status != 200 or not isinstance(entity, dict):
        return VerificationUnknown(f"HTTP {status}: neither an entity nor an error")
    fields = reading.fields_of(entity)
    record = _record(fields)
    if not record.first_name and not record.last_name:
        return VerificationUnknown("an entity without a name")
    if not reading.is_about(fields.get(kind.value), number):
        return VerificationUnknown("the record of another number")
    return Found(record)


def _record(fields: dict[str, Any]) -> Record:
    return Record(
        first_name=reading.name(reading.first(fields, "firstname")),
        middle_name=reading.name(reading.first(fields, "middlename")),
        last_name=reading.name(reading.first(fields, "lastname", "surname")),
        date_of_birth=reading.day(reading.first(fields, "dateofbirth", "birthdate")),
        gender=reading.gender(fields.get("gender")),
        mobile=reading.mobile(reading.first(fields, "phonenumber", "phonenumber1", "telephoneno")),
        email=reading.first(fields, "email"),
        address=reading.name(
            reading.first(fields, "residentialaddress", "residenceaddress", "residenceaddressline1", "address")
        ),
        town=reading.name(reading.first(fields, "residencetown", "town")),
        lga=reading.name(reading.first(fields, "lgaofresidence", "residencelga")),
        state=reading.name(reading.first(fields, "stateofresidence", "residencestate")),
        issue_date=reading.day(reading.first(fields, "registrationdate")),
        photo=reading.picture(fields.get("image")) or reading.picture(fields.get("photo")),
        signature=reading.picture(fields.get("signature")),
    )
