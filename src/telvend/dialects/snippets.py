"""A request of a story as commands and programs that can be copied: curl, Python (requests) and PHP (curl extension).

They are made from the steps that the documents and collections are made from, so that what is shown is what was tested.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, urlencode

from telvend.dialects.contract import Dialect
from telvend.dialects.examples import Step, Variable, filled

TIMEOUT_S: Final = 30
"""How long the programs wait: longer than any answer takes."""

_FORM: Final = "application/x-www-form-urlencoded"
_PATH_PLACE: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True, slots=True)
class Call:
    """A request with everything filled in. `body` is an object for JSON, or the fields of a form where `is_form`."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any = None
    is_form: bool = False


def call_of(
    dialect: Dialect, step: Step, base_url: str, *, key: str = "YOUR-KEY", values: Mapping[str, str] | None = None
) -> Call:
    """The request of a step to the server at `base_url`. `values` stand for variables in place of their examples."""
    given = {"key": key, "baseUrl": base_url, **(values or {})}
    known = {variable.name for variable in dialect.variables}
    variables = [replace(v, example=given.get(v.name, v.example)) for v in dialect.variables]
    variables += [Variable(name, text, "") for name, text in given.items() if name not in known]
    method, _, path = step.endpoint.partition(" ")
    places = {name: filled(text, variables) for name, text in step.path.items()}
    path = _PATH_PLACE.sub(lambda found: quote(str(places.get(found[1], found[1])), safe="+"), path)
    query = urlencode(filled(dict(step.query), variables), quote_via=quote)
    headers = {} if step.keyless else dict([key_header(dialect, key)])
    headers |= {name: filled(text, variables) for name, text in step.headers.items()}
    is_form = any(name.lower() == "content-type" and _FORM in text for name, text in headers.items())
    body = None if step.body is None else filled(dict(step.body), variables)
    if is_form:
        headers = {name: text for name, text in headers.items() if name.lower() != "content-type"}
    url = base_url + dialect.base_path + path + (f"?{query}" if query else "")
    return Call(method, url, headers, body, is_form)


def key_header(dialect: Dialect, key: str) -> tuple[str, str]:
    """The header that carries a key, and its value."""
    if dialect.security.get("type") == "http":
        return "Authorization", f"Bearer {key}"
    return str(dialect.security["name"]), dialect.key_text.format(key=key)


# curl ---------------------------------------------------------------------------------------------------------------------


def curl(call: Call) -> str:
    """The request as a command of a POSIX shell."""
    parts = ["curl" if call.method == "GET" else f"curl -X {call.method}", shlex.quote(call.url)]
    lines = [" ".join(parts), *(f"-H {_shell(f'{name}: {value}')}" for name, value in call.headers.items())]
    if call.is_form:
        lines += [f"--data-urlencode {_shell(f'{name}={value}')}" for name, value in call.body.items()]
    elif call.body is not None:
        lines += [f"-H {_shell('Content-Type: application/json')}", f"-d {_shell(_json(call.body))}"]
    return " \\\n  ".join(lines)


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _json(value: Any) -> str:
    """JSON on one line, amounts with all their digits."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)}: {_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


# Python -------------------------------------------------------------------------------------------------------------------


def python(call: Call) -> str:
    """The request as a Python program. It needs `requests`."""
    lines = ["import requests", "", f"answer = requests.{call.method.lower()}(", f"    {_py(call.url)},"]
    if call.headers:
        lines.append(f"    headers={_py(dict(call.headers), 4)},")
    if call.body is not None:
        lines.append(f"    {'data' if call.is_form else 'json'}={_py(call.body, 4)},")
    lines += [f"    timeout={TIMEOUT_S},", ")", "print(answer.status_code, answer.text)"]
    return "\n".join(lines)


def _py(value: Any, indent: int = 0) -> str:
    if isinstance(value, Mapping):
        inner = " " * (indent + 4)
        pairs = "".join(f"{inner}{_py(name)}: {_py(item, indent + 4)},\n" for name, item in value.items())
        return "{\n" + pairs + " " * indent + "}" if pairs else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_py(item, indent) for item in value) + "]"
    if value is None or isinstance(value, bool | Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


# PHP ----------------------------------------------------------------------------------------------------------------------


def php(call: Call) -> str:
    """The request as a PHP program. It needs the curl extension."""
    headers = [f"{name}: {value}" for name, value in call.headers.items()]
    options = [f"CURLOPT_CUSTOMREQUEST => {_php(call.method)}"] if call.method != "GET" else []
    if call.is_form:
        options.append(f"CURLOPT_POSTFIELDS => http_build_query({_php(call.body, 4)})")
    elif call.body is not None:
        headers.append("Content-Type: application/json")
        options.append(f"CURLOPT_POSTFIELDS => json_encode({_php(call.body, 4)})")
    if headers:
        inner = "".join(f"        {_php(header)},\n" for header in headers)
        options.insert(1 if call.method != "GET" else 0, f"CURLOPT_HTTPHEADER => [\n{inner}    ]")
    options += ["CURLOPT_RETURNTRANSFER => true", f"CURLOPT_TIMEOUT => {TIMEOUT_S}"]
    lines = ["<?php", f"$curl = curl_init({_php(call.url)});", "curl_setopt_array($curl, ["]
    lines += [f"    {option}," for option in options]
    lines += [
        "]);",
        "$body = curl_exec($curl);",
        "if ($body === false) {",
        "    exit(curl_error($curl));",
        "}",
        'echo curl_getinfo($curl, CURLINFO_RESPONSE_CODE), " ", $body, "\\n";',
    ]
    return "\n".join(lines)


def _php(value: Any, indent: int = 0) -> str:
    if isinstance(value, Mapping):
        inner = " " * (indent + 4)
        pairs = "".join(f"{inner}{_php(name)} => {_php(item, indent + 4)},\n" for name, item in value.items())
        return "[\n" + pairs + " " * indent + "]"
    if isinstance(value, list):
        return "[" + ", ".join(_php(item, indent) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, int | Decimal):
        return str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


LANGUAGES: Final = (("curl", "curl", curl), ("python", "Python", python), ("php", "PHP", php))
"""Name, title and writer of each language, in the order in which they are shown."""
