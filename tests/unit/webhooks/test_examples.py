"""The examples of events: of every type, as their schemas say, and with a signature that the standard's library computes too."""

import json
from datetime import UTC, datetime
from uuid import UUID

import jsonschema_rs
import pytest
from standardwebhooks.webhooks import Webhook

from telvend.webhooks.examples import (
    AT,
    EXAMPLE_HEADERS,
    EXAMPLE_ID,
    EXAMPLE_SECRET,
    FIELDS,
    SUMMARIES,
    body_schema,
    example,
    example_body,
    example_event,
)
from telvend.webhooks.model import EventType, body_of, new_message_id
from telvend.webhooks.signing import secret_text
from tests.webhook_bodies import require_as_told

EACH = pytest.mark.parametrize("kind", EventType)


def test_every_type_of_event_has_its_fields_and_a_sentence() -> None:
    assert list(FIELDS) == list(SUMMARIES) == list(EventType)


@EACH
def test_an_example_is_as_its_schema_says_and_so_is_a_test_message(kind: EventType) -> None:
    require_as_told(example(kind))
    assert json.loads(example_body(kind)) == example(kind)
    sent = json.loads(body_of(example_event(kind, UUID(int=7)), datetime.now(UTC)))
    require_as_told(sent)
    assert (sent["data"]["mode"], sent["data"]["example"]) == ("test", True)
    assert "example" not in example(kind)["data"]


@EACH
def test_a_schema_refuses_another_event_and_one_that_lacks_a_field(kind: EventType) -> None:
    checked = jsonschema_rs.validator_for(body_schema(kind))
    assert not checked.is_valid(example(kind) | {"type": "order.invented"})
    for name, field in FIELDS[kind].items():
        data = example(kind)["data"]
        del data[name]
        assert checked.is_valid(example(kind) | {"data": data}) != field.always


def test_the_signature_of_the_example_is_the_one_of_the_standards_library() -> None:
    library = Webhook(secret_text(EXAMPLE_SECRET).reveal())
    body = example_body(EventType.ORDER_COMPLETED).decode()
    assert EXAMPLE_HEADERS["webhook-signature"] == library.sign(EXAMPLE_ID, AT, body)


def test_the_id_of_a_test_message_says_so() -> None:
    assert new_message_id(test=True).startswith("msg_test_")
    assert not new_message_id().startswith("msg_test_")
