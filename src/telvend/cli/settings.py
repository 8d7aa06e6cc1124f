"""`telvend settings`: every setting, its value and where that came from."""

import typer

from telvend.cli.common import Output, emit, fail, table
from telvend.cli.options import DatabaseUrl, DataDir, Json, Where
from telvend.cli.secret_arguments import warn_of_password
from telvend.config import SettingsRefused, load
from telvend.kit.secret import Secret
from telvend.upkeep.settings_shown import rows_of

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
    rows = rows_of(loaded.settings, loaded.origins)
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
