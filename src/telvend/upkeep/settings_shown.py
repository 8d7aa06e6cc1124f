"""Every setting as people may see it, on the command line and in the console: secrets are stars."""

from collections.abc import Mapping, Sequence
from typing import Any

from telvend import provider_tables
from telvend.config import PREFIX, SECRETS, Settings, described

Row = tuple[str, Any, str, str, str]
"""Name, value, where it came from, the variable of the environment, what it is."""


def rows_of(settings: Settings, origins: Mapping[str, str]) -> list[Row]:
    """Return a row for each setting. `origins`: where each value came from, as `config.load` found it."""
    rows: list[Row] = []
    for name, text in described().items():
        value: Any = getattr(settings, name)
        if name in SECRETS:
            value = None if value is None else "********"
        elif name == "number_prefixes":
            value = inline_prefixes(value)
        elif isinstance(value, dict) and name == "second_person_above":
            value = f"{{ {', '.join(f'{code} = {chr(34)}{amount}{chr(34)}' for code, amount in value.items())} }}"
        elif name in ("simulators", "providers") or isinstance(value, tuple):
            value = ", ".join(value)
        rows.append((name, value, origins.get(name, ""), PREFIX + name.upper(), text))
    sentences = provider_tables.described()
    for provider, table in settings.providers.items():
        for key, value in provider_tables.shown(table).items():
            name = f"providers.{provider}.{key}"
            origin = origins.get(name, origins.get("providers", ""))
            rows.append((name, value, origin, provider_tables.variable_of(provider, key), sentences[key]))
    return rows


def inline_prefixes(prefixes: Mapping[str, Sequence[str]]) -> str:
    """In TOML's inline form, as it may stand in the environment; "" for none."""
    tables = [
        f"{region} = [{', '.join(f'{chr(34)}{text}{chr(34)}' for text in texts)}]" for region, texts in prefixes.items()
    ]
    return f"{{{', '.join(tables)}}}" if tables else ""
