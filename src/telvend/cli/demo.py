"""`telvend demo`."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo() -> None:
    """A furnished shop."""
