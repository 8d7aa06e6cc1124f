"""How Paystack is called. Its key says whose money it takes: `sk_live_…` real money, `sk_test_…` play money.

A client translates what happens on the way; `wire.py` translates what was said:

    no connection was had           nothing can have arrived             NotStarted
    nothing came back               it may have arrived                  Unknown
    an answer                       whatever `wire.py` reads in it

Notices are posted to `/gateways/NAME/notice`, which is entered in Paystack's dashboard.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from telvend.gateways.contract import Beginning, Forged, GatewayTraits, Notice, NotStarted, PaymentUnknown, Start, Word
from telvend.gateways.paystack import wire
from telvend.kit import http
from telvend.kit.secret import Secret

BASE_URL: Final = "https://api.paystack.co"

CURRENCIES: Final = frozenset({"NGN", "GHS", "ZAR"})
"""What Paystack takes of what wallets hold. Source: github.com/PaystackOSS/openapi, Initialize.yaml, `currency`."""


class Paystack:
    """One key of one Paystack account. A shop with a live and a test key has two of these, under two names."""

    def __init__(
        self, name: str, key: Secret, *, base_url: str = BASE_URL, timeout_s: float = 15.0, transport: Any = None
    ) -> None:
        """`transport` is the tests' recorded double. Raises ValueError for a key that is neither live nor test."""
        text = key.reveal()
        if not text.isascii() or not text.isprintable() or not text.startswith(("sk_live_", "sk_test_")):
            raise ValueError("a secret key of Paystack begins with sk_live_ or sk_test_")
        test = text.startswith("sk_test_")
        self._name = name
        self._key = key
        self._traits = GatewayTraits(
            live_mode=not test, test_mode=test, currencies=CURRENCIES, timeout_s=timeout_s + 5, pretends=test
        )
        self._client = http.client(
            base_url, timeout_s=timeout_s, headers={"authorization": f"Bearer {text}"}, transport=transport
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def traits(self) -> GatewayTraits:
        return self._traits

    async def start(self, payment: Start) -> Beginning:
        try:
            answer = await self._client.post(
                "/transaction/initialize",
                content=msgspec.json.encode(wire.form_of(payment)),
                headers={"content-type": "application/json"},
            )
        except http.NEVER_ARRIVED as error:
            return NotStarted(f"no connection: {type(error).__name__}")
        except http.NO_ANSWER as error:
            return PaymentUnknown(f"no answer: {type(error).__name__}")
        except RuntimeError:
            return NotStarted("closed")
        return wire.beginning_of(payment.reference, answer.status_code, answer.content)

    async def verify(self, reference: str) -> Word:
        try:
            answer = await self._client.get(f"/transaction/verify/{quote(reference, safe='')}")
        except http.NO_ANSWER as error:
            return PaymentUnknown(f"could not be asked: {type(error).__name__}")
        except RuntimeError:
            return PaymentUnknown("closed")
        return wire.word_of(reference, answer.status_code, answer.content)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Notice | Forged:
        return wire.webhook_event_of(self._key, headers, body)

    async def close(self) -> None:
        await self._client.aclose()
