"""How Prembly (IdentityPass) is called: one POST for a NIN, one for a BVN, the secret key in a header.

    Prembly(api_key=Secret("…"), app_id="…")

Source: docs.prembly.com. The documentation and its integrators do not agree on the paths, so all of them are settings;
`…/vnin` takes raw NINs too (test NIN 12345678901), `…/bvn` gives the photo and the gender that `…/bvn_validation` may
leave out (test BVN 54651333604). It is never called without the operator's own key.
"""

from typing import TYPE_CHECKING, Final

from telvend.authorities.contract import TIMEOUT_S, Answer, Kind, Unavailable
from telvend.authorities.prembly.wire import Reply, answer_of
from telvend.kit import http
from telvend.kit.secret import Secret

if TYPE_CHECKING:
    import httpx

NAME: Final = "prembly"
BASE_URL: Final = "https://api.prembly.com"
NIN_PATH: Final = "/identitypass/verification/vnin"
BVN_PATH: Final = "/identitypass/verification/bvn"


class Prembly:
    """Prembly as an authority. `transport` is the tests' way to put something else in the network's place."""

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
        for text in (api_key.reveal(), app_id):
            if not text.isascii() or not text.isprintable():
                raise ValueError("the key and the app id are printable ASCII")
        self._client = http.client(base_url, timeout_s=TIMEOUT_S, transport=transport)
        self._api_key = api_key
        self._app_id = app_id
        self._paths = {Kind.NIN: nin_path, Kind.BVN: bvn_path}
        self._number_field = number_field

    @property
    def name(self) -> str:
        return NAME

    async def nin(self, number: Secret) -> Answer:
        return await self._ask(Kind.NIN, number)

    async def bvn(self, number: Secret) -> Answer:
        return await self._ask(Kind.BVN, number)

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, kind: Kind, number: Secret) -> Answer:
        headers = {"x-api-key": self._api_key.reveal(), "accept": "application/json"}
        if self._app_id:
            headers["app-id"] = self._app_id
        try:
            answer = await self._client.post(
                self._paths[kind], json={self._number_field: number.reveal()}, headers=headers
            )
        except http.NO_ANSWER as error:
            # Only what kind of failure: its text may repeat the request.
            return Unavailable(text=type(error).__name__)
        reply = Reply(answer.status_code, answer.content, answer.headers.get("retry-after", ""))
        return answer_of(kind, number.reveal(), reply)
