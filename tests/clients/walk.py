"""Send a story through a generated Python client: `python walk.py KIND FOLDER PACKAGE < plan.json`.

KIND is `openapi-python-client` or `openapi-generator`, FOLDER holds the generated package. The plan comes from
tests/e2e/generated.py: an address, the credential, the variables, and the steps of a dialect's story. Each answer
must have the status of its step and be readable by the client's own types. Prints one line of JSON for each step. It runs in an
environment without Telvend, as a reseller's program does.
"""

import importlib
import inspect
import json
import random
import re
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Plan = dict[str, Any]
MADE: dict[str, Callable[[], str]] = {
    "$guid": lambda: str(uuid.uuid4()),
    "$timestamp": lambda: str(int(time.time())),
    "$randomInt": lambda: str(random.randrange(1000)),
}


def filled(value: Any, variables: dict[str, Any]) -> Any:
    """The value with the variables in their places; `{{#name}}` alone is a number."""
    if isinstance(value, dict):
        return {name: filled(inner, variables) for name, inner in value.items()}
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\{\{#(\w+)\}\}", value):
        number = float(variables[whole[1]])
        return int(number) if number.is_integer() else number
    return re.sub(r"\{\{([$\w]+)\}\}", lambda m: str(MADE[m[1]]() if m[1] in MADE else variables[m[1]]), value)


def found(answer: Any, path: str) -> Any:
    """What stands at a path such as `data.plans[0].id`."""
    for name in re.findall(r"\w+", path):
        answer = answer[int(name)] if isinstance(answer, list) else answer[name]
    return answer


def plain(name: str) -> str:
    """A name as it is compared: generators spell `customerId` and `x-authorization` in several ways."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def arguments(call: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values under the names that the function has for them."""
    names = {plain(name): name for name in inspect.signature(call).parameters}
    return {names[plain(name)]: value for name, value in values.items()}


def typed(call: Callable[..., Any], name: str, text: str) -> Any:
    """A value of the query, as the type that the function wants: an enum, a number, or the text."""
    wanted = str(inspect.signature(call).parameters[name].annotation)
    if "bool" in wanted:
        return text == "true"
    return int(text) if "int" in wanted.lower().replace("print", "") else text


class PythonClient:
    """What openapi-python-client generates: a module for each operation."""

    def __init__(self, package: str, plan: Plan) -> None:
        self.package = package
        client = importlib.import_module(f"{package}.client")
        self.anonymous = client.Client(base_url=plan["address"], timeout=30)
        self.keyed = client.AuthenticatedClient(
            base_url=plan["address"],
            token=plan["key"],
            prefix=plan["prefix"],
            auth_header_name=plan["header"],
            timeout=30,
        )
        self.with_token = partial(client.AuthenticatedClient, base_url=plan["address"], timeout=30)
        folder = Path(client.__file__).parent / "api"
        self.modules = {path.stem: path.parent.name for path in folder.glob("*/*.py")}

    def send(self, step: Plan, values: dict[str, Any], body: Any, bearer: str) -> tuple[int, Any, str]:
        name = step["operation"]
        module = importlib.import_module(f"{self.package}.api.{self.modules[name]}.{name}")
        given = arguments(module.sync_detailed, values)
        given = {key: self._typed(module, key, value) for key, value in given.items()}
        if body is not None:
            given["body"] = self._form(module).from_dict(body)
        client = self.with_token(token=bearer) if bearer else self.anonymous if step["keyless"] else self.keyed
        answer = module.sync_detailed(client=client, **given)
        return int(answer.status_code), json.loads(answer.content), type(answer.parsed).__name__

    def _typed(self, module: Any, name: str, value: str) -> Any:
        annotation = str(inspect.signature(module.sync_detailed).parameters[name].annotation)
        kind = self._class(module, annotation)
        return kind(value) if kind and hasattr(kind, "__members__") else typed(module.sync_detailed, name, value)

    def _form(self, module: Any) -> Any:
        return self._class(module, str(inspect.signature(module.sync_detailed).parameters["body"].annotation))

    @staticmethod
    def _class(module: Any, annotation: str) -> Any:
        """The generated class that an annotation names."""
        names = set(re.findall(r"\w+", annotation)) - {"Unset"}
        return next((kind for name, kind in vars(module).items() if name in names and inspect.isclass(kind)), None)


class GeneratorClient:
    """What openapi-generator generates for Python: a class for each tag, with pydantic models."""

    def __init__(self, package: str, plan: Plan) -> None:
        root = importlib.import_module(package)
        keyed = root.Configuration(host=plan["address"], api_key={"key": plan["key"]}, api_key_prefix={})
        if plan["prefix"]:
            keyed.api_key_prefix["key"] = plan["prefix"]
        self.root = root
        self.keyed = keyed
        self.address = plan["address"]

    def apis(self, configuration: Any) -> list[Any]:
        client = self.root.ApiClient(configuration)
        return [
            kind(client) for name, kind in vars(self.root).items() if name.endswith("Api") and inspect.isclass(kind)
        ]

    def send(self, step: Plan, values: dict[str, Any], body: Any, bearer: str) -> tuple[int, Any, str]:
        name = f"{step['operation']}_with_http_info"
        configuration = self.keyed
        if step["keyless"]:
            configuration = self.root.Configuration(host=self.address, **({"access_token": bearer} if bearer else {}))
        call = next(getattr(api, name) for api in self.apis(configuration) if hasattr(api, name))
        given = {key: typed(call, key, value) for key, value in arguments(call, values).items()}
        if body is not None:
            given |= self._body(call, step["form"], body)
        try:
            answer = call(**given)
        except self.root.ApiException as refusal:
            # It reads the bodies of the errors too, and gives them as `data`.
            return refusal.status, json.loads(refusal.body), type(refusal.data).__name__
        return answer.status_code, json.loads(answer.raw_data), type(answer.data).__name__

    def _body(self, call: Callable[..., Any], form: str, body: dict[str, Any]) -> dict[str, Any]:
        if not form:
            return arguments(call, body)  # The fields of a form are parameters.
        return arguments(call, {form: getattr(self.root, form).from_dict(body)})


def main(kind: str, folder: str, package: str) -> None:
    sys.path.insert(0, folder)
    plan: Plan = json.load(sys.stdin)
    client = (PythonClient if kind == "openapi-python-client" else GeneratorClient)(package, plan)
    variables = plan["variables"]
    for step in plan["steps"]:
        for name, text in step["makes"].items():
            variables[name] = filled(text, variables)
        values = filled(step["values"], variables)
        body = None if step["body"] is None else filled(step["body"], variables)
        status, answer, parsed = client.send(step, values, body, filled(step["bearer"], variables))
        assert status == step["status"], f"{step['name']}: {status} {answer}"
        assert parsed not in ("NoneType", "dict", "object"), f"{step['name']}: nobody reads {answer}"
        for name, path in step["keeps"].items():
            variables[name] = found(answer, path)
        print(json.dumps({"name": step["name"], "status": status, "type": parsed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
