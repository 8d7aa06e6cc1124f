"""The OpenAPI document of a dialect, from the same table that serves it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from telvend.dialects.contract import Dialect, Endpoint

_PLACEHOLDER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


def document(dialect: Dialect, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of one dialect. The caller adds `servers`."""
    types = list(_types(dialect.endpoints))
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in dialect.endpoints:
        path = _PLACEHOLDER.sub(r"{\1}", dialect.base_path + endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": dialect.title, "version": version},
        "paths": paths,
        "components": {
            "schemas": {name: _numbers(schema) for name, schema in components.items()},
            "securitySchemes": {"key": dict(dialect.security)},
        },
        "security": [{"key": []}],
    }


def _types(endpoints: Iterable[Endpoint]) -> list[type[Any]]:
    found: dict[type[Any], None] = {}
    for endpoint in endpoints:
        if endpoint.form is not None:
            found[endpoint.form] = None
        found.update(dict.fromkeys(endpoint.answers.values()))
    return list(found)


def _operation(endpoint: Endpoint, schemas: Mapping[type[Any], Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "responses": {
            str(status): {
                "description": "Success" if status < 400 else "Refused",
                "content": {"application/json": {"schema": schemas[answer]}},
            }
            for status, answer in sorted(endpoint.answers.items())
        },
    }
    names = [match[1] for match in _PLACEHOLDER.finditer(endpoint.path)]
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in names
        ]
    if endpoint.form is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[endpoint.form]}},
        }
    return operation


def _numbers(schema: Any) -> Any:
    """Amounts go over the wire as exact JSON numbers; msgspec's schema says that a Decimal is a string."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and schema.get("format") == "decimal":
            return {"type": "number"}
        return {key: _numbers(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_numbers(value) for value in schema]
    return schema
