"""How Dojah is called: one GET for a NIN, one for a BVN, the secret key in `Authorization` with no word before it.

    Dojah(secret_key=Secret("…"), app_id="…")

Source: docs.dojah.io (test NIN 70123456789, test BVN 22222222222, on https://sandbox.dojah.io). Pages of different dates
give "full" different meanings, so the paths are settings. The number stands in the address, as they want it: no log of
ours may show addresses of outgoing requests, and `kit/log.py` keeps httpx from doing it. It is never called without the
operator's own key.
"""

from typing import TYPE_CHECKING, Final

from telvend.authorities.contract import TIMEOUT_S, Answer, Kind, Unavailable
from telvend.authorities.dojah.wire import Reply, answer_of
from telvend.kit import http
from telvend.kit.secret import Secret

if TYPE_CHECKING:
    import httpx

NAME: Final = "dojah"
BASE_URL: Final = "https://api.dojah.io"
NIN_PATH: Final = "/api/v1/kyc/nin"
BVN_PATH: Final = "/api/v1/kyc/bvn/advance"


class Dojah:
    """Dojah as an authority. `transport` is the tests' way to put something else in the network's place."""

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
        for text in (secret_key.reveal(), app_id):
            if not text.isascii() or not text.isprintable():
                raise ValueError("the key and the app id are printable ASCII")
        self._client = http.client(base_url, timeout_s=TIMEOUT_S, transport=transport)
        self._secret_key = secret_key
        self._app_id = app_id
        self._paths = {Kind.NIN: nin_path, Kind.BVN: bvn_path}

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
        headers = {
            "Authorization": self._secret_key.reveal(),
            "AppId": self._app_id,
            "accept": "application/json",
        }
        try:
            answer = await self._client.get(self._paths[kind], params={kind.value: number.reveal()}, headers=headers)
        except http.NO_ANSWER as error:
            # Only what kind of failure: its text may repeat the address.
            return Unavailable(text=type(error).__name__)
        reply = Reply(answer.status_code, answer.content, answer.headers.get("retry-after", ""))
        return answer_of(kind, number.reveal(), reply)
