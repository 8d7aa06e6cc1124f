"""How Prembly (IdentityPass) is called: one POST for a NIN, one for a BVN, the secret key in a header.

    Prembly(api_key=Secret("…"), app_id="…")

Source: docs.prembly.com. The documentation and its integrators do not agree on the paths, so all of them are settings;
`…/vnin` takes raw NINs too (test NIN 12345678901), `…/bvn` gives the photo and the gender that `…/bvn_validation` may
leave out (test BVN 54651333604). It is never called without the operator's own key.
"""

from typing import TYPE_CHECKING, Final

from telvend.authorities.contract import Answer, VerificationKind
from telvend.authorities.over_http import AuthorityOverHttp, AuthorityReply
from telvend.authorities.prembly import NAME
from telvend.authorities.prembly.wire import answer_of
from telvend.kit.secret import Secret

if TYPE_CHECKING:
    import httpx

BASE_URL: Final = "https://api.prembly.com"
NIN_PATH: Final = "/identitypass/verification/vnin"
BVN_PATH: Final = "/identitypass/verification/bvn"


class Prembly(AuthorityOverHttp):
    """Prembly as an authority."""

    def __init__(
        self,
        *,
        api_key: Secret,
        app_id: str = "",
        base_url: str = BASE_URL,
        nin_path: str = NIN_PATH,
        bvn_path: str = BVN_PATH,
        number_field: str = "number",
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """Raises ValueError for a key or an app id that cannot stand in a header."""
        headers = {"x-api-key": api_key} | ({"app-id": Secret(app_id)} if app_id else {})
        super().__init__(NAME, base_url, headers, transport=transport)
        self._paths = {VerificationKind.NIN: nin_path, VerificationKind.BVN: bvn_path}
        self._number_field = number_field

    def _request(self, kind: VerificationKind, number: str) -> "httpx.Request":
        return self._client.build_request("POST", self._paths[kind], json={self._number_field: number})

    def _answer(self, kind: VerificationKind, number: str, reply: AuthorityReply) -> Answer:
        return answer_of(kind, number, reply)
