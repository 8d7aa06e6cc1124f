"""`telvend settings`: every setting, its value and where that came from."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from telvend import provider_tables
from telvend.cli.common import Output, emit, fail, table
from telvend.cli.options import DatabaseUrl, DataDir, Json, Where
from telvend.cli.secret_arguments import warn_of_password
from telvend.config import PREFIX, SECRETS, SettingsRefused, described, load
from telvend.kit.secret import Secret

app = typer.Typer()


@app.command("settings")
def settings(
    context: typer.Context, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """List every setting with its value, where it came from and what it is for. Secrets are starred."""
    before: Where = context.find_object(Where) or Where()
    chosen = database_url or before.database_url
    warn_of_password(chosen)
    try:
        loaded = load({"data_dir": data_dir or before.data_dir, "database_url": Secret(chosen) if chosen else None})
    except SettingsRefused as error:
        fail(error)
    rows = []
    for name, text in described().items():
        value: Any = getattr(loaded.settings, name)
        if name in SECRETS:
            value = None if value is None else "********"
        elif name == "number_prefixes":
            value = inline_prefixes(value)
        elif isinstance(value, dict) and name == "second_person_above":
            value = f"{{ {', '.join(f'{code} = {chr(34)}{amount}{chr(34)}' for code, amount in value.items())} }}"
        elif name in ("simulators", "providers") or isinstance(value, tuple):
            value = ", ".join(value)
        rows.append((name, value, loaded.origins[name], PREFIX + name.upper(), text))
    sentences = provider_tables.described()
    for provider, table_of_it in loaded.settings.providers.items():
        for key, value in provider_tables.shown(table_of_it).items():
            name = f"providers.{provider}.{key}"
            origin = loaded.origins.get(name, loaded.origins["providers"])
            rows.append((name, value, origin, provider_tables.variable_of(provider, key), sentences[key]))
    data = {
        "file": loaded.file,
        "settings": [
            {"name": name, "value": value, "origin": origin, "variable": variable, "text": text}
            for name, value, origin, variable, text in rows
        ],
    }
    shown = [(name, "" if value is None else str(value), *rest) for name, value, *rest in rows]
    emit(
        Output(data, show=table("", ("setting", "value", "from", "environment", "what it is"), shown, "")),
        as_json or before.json,
    )


def inline_prefixes(prefixes: Mapping[str, Sequence[str]]) -> str:
    """In TOML's inline form, as it may stand in the environment; "" for none."""
    tables = [
        f"{region} = [{', '.join(f'{chr(34)}{text}{chr(34)}' for text in texts)}]" for region, texts in prefixes.items()
    ]
    return f"{{{', '.join(tables)}}}" if tables else ""
