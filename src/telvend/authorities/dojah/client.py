"""How Dojah is called: one GET for a NIN, one for a BVN, the secret key in `Authorization` with no word before it.

    Dojah(secret_key=Secret("…"), app_id="…")

Source: docs.dojah.io (test NIN 70123456789, test BVN 22222222222, on https://sandbox.dojah.io). Pages of different dates
give "full" different meanings, so the paths are settings. The number stands in the address, as they want it: no log of
ours may show addresses of outgoing requests, and `kit/log.py` keeps httpx from doing it. It is never called without the
operator's own key.
"""

from typing import TYPE_CHECKING, Final

from telvend.authorities.contract import Answer, VerificationKind
from telvend.authorities.dojah import NAME
from telvend.authorities.dojah.wire import answer_of
from telvend.authorities.over_http import AuthorityOverHttp, AuthorityReply
from telvend.kit.secret import Secret

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://api.dojah.io"
NIN_PATH: Final = "/api/v1/kyc/nin"
BVN_PATH: Final = "/api/v1/kyc/bvn/advance"


class Dojah(AuthorityOverHttp):
    """Dojah as an authority."""

    def __init__(
        self,
        *,
        secret_key: Secret,
        app_id: str,
        base_url: str = BASE_URL,
        nin_path: str = NIN_PATH,
        bvn_path: str = BVN_PATH,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """Raises ValueError for a key or an app id that cannot stand in a header."""
        super().__init__(NAME, base_url, {"Authorization": secret_key, "AppId": Secret(app_id)}, transport=transport)
        self._paths = {VerificationKind.NIN: nin_path, VerificationKind.BVN: bvn_path}

    def _request(self, kind: VerificationKind, number: str) -> "httpx.Request":
        return self._client.build_request("GET", self._paths[kind], params={kind.value: number})

    def _answer(self, kind: VerificationKind, number: str, reply: AuthorityReply) -> Answer:
        return answer_of(kind, number, reply)
