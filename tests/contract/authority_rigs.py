"""The registry of authorities that `test_authority.py` runs over. To add one: write a rig, and a line in `RIGS`.

A rig is an authority together with its far side, a double from the examples in tests/wire/, that can be put into each
`Situation`.
"""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from telvend.authorities.contract import Authority, VerificationKind
from telvend.authorities.dojah.client import Dojah
from telvend.authorities.personas import Personas
from telvend.authorities.prembly.client import Prembly
from telvend.kit.secret import Secret
from tests.clocks import FakeClock

EXAMPLES: Final = Path(__file__).parent.parent / "wire"
KEY: Final = "sk_nobody_may_see_this"


class Situation(StrEnum):
    """What the far side does with a question."""

    FOUND = "has a record"
    NOT_ON_RECORD = "has no such number"
    BLOCKED = "says that the number is barred"
    DOWN = "cannot answer now"
    KEY_REFUSED = "does not accept our key"
    FLOAT_EMPTY = "says that our account is empty"
    GARBAGE = "answers garbage"
    UNDOCUMENTED = "answers something undocumented"
    ANOTHER_PERSON = "answers about another number"
    SILENCE = "does not answer in time"
    NO_CONNECTION = "cannot be reached"


class Rig(Protocol):
    """An authority and its far side."""

    authority: Authority

    def number(self, situation: Situation, kind: VerificationKind) -> Secret | None:
        """Put the far side into the situation. Answers the number to ask for; None where this cannot happen."""


def example(vendor: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / vendor / f"{name}.json").read_text("utf-8"))
    return found


class PersonasRig:
    """The personas: the number is the situation."""

    _ENDINGS: Final = {
        Situation.FOUND: "7001",
        Situation.NOT_ON_RECORD: "0404",
        Situation.BLOCKED: "0407",
        Situation.DOWN: "0503",
    }

    def __init__(self) -> None:
        self.authority: Authority = Personas(FakeClock())

    def number(self, situation: Situation, kind: VerificationKind) -> Secret | None:
        ending = self._ENDINGS.get(situation)
        if ending is None or (situation is Situation.BLOCKED and kind is VerificationKind.NIN):
            return None
        return Secret(f"7123456{ending}")


class WireRig:
    """A connector whose network is the examples of `vendor`."""

    def __init__(
        self,
        vendor: str,
        make: Callable[[httpx.MockTransport], Authority],
        examples: dict[tuple[Situation, VerificationKind], str],
    ) -> None:
        self._vendor = vendor
        self._examples = examples
        self._answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(500)
        self.requests: list[httpx.Request] = []
        self.authority = make(httpx.MockTransport(self._serve))

    def _serve(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    def number(self, situation: Situation, kind: VerificationKind) -> Secret | None:
        if situation is Situation.SILENCE:
            self._answer = _raises(httpx.ReadTimeout)
            return Secret("12345678901")
        if situation is Situation.NO_CONNECTION:
            self._answer = _raises(httpx.ConnectError)
            return Secret("12345678901")
        name = self._examples.get((situation, kind))
        if name is None:
            return None
        return self.serve(name)

    def serve(self, name: str) -> Secret:
        """Answer with this example from now on. Answers the number that it is about."""
        found = example(self._vendor, name)
        text = found["text"] if "text" in found else json.dumps(found["body"])
        self._answer = lambda _: httpx.Response(found["status"], text=text, headers=found.get("headers"))
        return Secret(found["number"])


def _raises(kind: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise kind(f"about {request.url}", request=request)

    return answer


def prembly() -> WireRig:
    return WireRig(
        "prembly",
        lambda transport: Prembly(api_key=Secret(KEY), app_id="app", transport=transport),
        {
            (Situation.FOUND, VerificationKind.NIN): "nin-found",
            (Situation.FOUND, VerificationKind.BVN): "bvn-found",
            (Situation.NOT_ON_RECORD, VerificationKind.NIN): "nin-not-found",
            (Situation.NOT_ON_RECORD, VerificationKind.BVN): "bvn-not-found",
            (Situation.BLOCKED, VerificationKind.BVN): "bvn-blocked",
            (Situation.DOWN, VerificationKind.NIN): "nin-register-away",
            (Situation.KEY_REFUSED, VerificationKind.NIN): "nin-unauthorised",
            (Situation.FLOAT_EMPTY, VerificationKind.NIN): "nin-float-empty",
            (Situation.GARBAGE, VerificationKind.NIN): "nin-garbage",
            (Situation.UNDOCUMENTED, VerificationKind.NIN): "nin-undocumented",
            (Situation.ANOTHER_PERSON, VerificationKind.NIN): "nin-another-person",
        },
    )


def dojah() -> WireRig:
    return WireRig(
        "dojah",
        lambda transport: Dojah(secret_key=Secret(KEY), app_id="app", transport=transport),
        {
            (Situation.FOUND, VerificationKind.NIN): "nin-found",
            (Situation.FOUND, VerificationKind.BVN): "bvn-found",
            (Situation.NOT_ON_RECORD, VerificationKind.NIN): "nin-not-found",
            (Situation.NOT_ON_RECORD, VerificationKind.BVN): "bvn-not-found",
            (Situation.DOWN, VerificationKind.BVN): "bvn-register-away",
            (Situation.KEY_REFUSED, VerificationKind.NIN): "nin-unauthorised",
            (Situation.FLOAT_EMPTY, VerificationKind.NIN): "nin-float-empty",
            (Situation.GARBAGE, VerificationKind.NIN): "nin-garbage",
            (Situation.UNDOCUMENTED, VerificationKind.NIN): "nin-bad-request",
            (Situation.ANOTHER_PERSON, VerificationKind.NIN): "nin-another-person",
        },
    )


RIGS: Final[dict[str, Callable[[], Rig]]] = {"personas": PersonasRig, "prembly": prembly, "dojah": dojah}
"""Every authority, by its name."""
