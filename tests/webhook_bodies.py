"""Bodies of webhooks, compared with what the reference and the OpenAPI documents say of them."""

from typing import Any

import jsonschema_rs

from telvend.webhooks.examples import FIELDS, body_schema
from telvend.webhooks.model import EventType


def require_as_told(body: dict[str, Any]) -> None:
    """Fail where a body has a field that nobody is told of, lacks one that every body has, or has another kind of value."""
    kind = EventType(body["type"])
    jsonschema_rs.validate(body_schema(kind), body, validate_formats=True)
    assert body.keys() == {"type", "timestamp", "data"}
    assert next(iter(body["data"])) == "mode"
    told = [name for name in FIELDS[kind] if name in body["data"]]
    assert [name for name in body["data"] if name not in ("mode", "example")] == told
