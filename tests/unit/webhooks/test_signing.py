"""Signatures, verified by the library that the standard publishes."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from telvend.webhooks.signing import new_secret, secret_text, signed_headers

BODY = b'{"type":"order.completed","timestamp":"2026-11-28T10:00:00.000Z","data":{"mode":"live"}}'


def now() -> int:
    return int(time.time())


def test_the_published_library_verifies_what_we_sign() -> None:
    secret = new_secret()
    headers = signed_headers("msg_1", now(), BODY, [secret])
    assert Webhook(secret_text(secret).reveal()).verify(BODY, headers)["type"] == "order.completed"


def test_during_a_rotation_either_secret_verifies_and_no_third_does() -> None:
    new, old, other = new_secret(), new_secret(), new_secret()
    headers = signed_headers("msg_1", now(), BODY, [new, old])
    for secret in (new, old):
        Webhook(secret_text(secret).reveal()).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(other).reveal()).verify(BODY, headers)


@pytest.mark.parametrize(
    "changed", [{"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(time.time()) - 1)}, {"body": "{}"}]
)
def test_id_time_and_body_are_all_signed(changed: dict[str, str]) -> None:
    secret = new_secret()
    body = changed.get("body", BODY.decode()).encode()
    headers = signed_headers("msg_1", now(), BODY, [secret]) | {k: v for k, v in changed.items() if k != "body"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(secret).reveal()).verify(body, headers)


def test_an_old_message_is_refused_by_its_receiver() -> None:
    secret = new_secret()
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(secret).reveal()).verify(BODY, signed_headers("msg_1", now() - 600, BODY, [secret]))


def test_a_secret_is_of_the_length_that_the_standard_asks_for() -> None:
    text = secret_text(new_secret()).reveal()
    assert 24 <= len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) <= 64


@given(st.binary(max_size=2000), st.binary(min_size=24, max_size=64))
def test_any_body_is_signed_as_the_library_signs_it(body: bytes, secret: bytes) -> None:
    text = body.decode("latin-1")
    at = now()
    headers = signed_headers("msg_x", at, text.encode(), [secret])
    from datetime import UTC, datetime

    theirs = Webhook(secret_text(secret).reveal()).sign("msg_x", datetime.fromtimestamp(at, UTC), text)
    assert headers["webhook-signature"] == theirs
