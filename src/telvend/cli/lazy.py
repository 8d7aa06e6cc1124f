"""Commands whose module is imported when they are run, so that a command loads nothing of the others.

The list of commands (`telvend --help`) stands in `__init__.py`, with the help of each; the modules have the rest.
"""

import importlib
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def _application(module: str, name: str = "app") -> typer.Typer:
    """The Typer application of this name in a module of this package."""
    app: typer.Typer = getattr(importlib.import_module(f"telvend.cli.{module}"), name)
    return app


def _command_of(app: typer.Typer, name: str) -> Any:
    """One command of an application, without its neighbours: Typer takes longest to read parameters. None if it has none."""
    for info in app.registered_commands:
        if info.name == name:
            return typer.main.get_command_from_info(
                info, pretty_exceptions_short=app.pretty_exceptions_short, rich_markup_mode=app.rich_markup_mode
            )
    return None


class LazyGroup(TyperGroup):
    """A group whose commands are those of the Typer application `application` in `module`.

    `default`: the command that is meant where the first word is none of the group's.
    """

    def __init__(self, name: str, module: str, application: str, default: str | None = None, **attributes: Any) -> None:
        self._place = (module, application)
        self._default = default
        super().__init__(name=name, no_args_is_help=default is None, **attributes)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments of the group, with the command that is meant where none is named."""
        if self._default is not None and not (args and (args[0] in ("--help", "-h") or args[0] in self.commands)):
            args = [self._default, *args]
        return super().parse_args(ctx, args)

    @cached_property
    def _loaded(self) -> MutableMapping[str, Any]:
        group: Any = typer.main.get_group(_application(*self._place))
        return group.commands  # type: ignore[no-any-return]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's
        """Return the command that is called; the others are only needed for the help of the group."""
        if "_loaded" in vars(self):
            return self._loaded.get(cmd_name)
        return _command_of(_application(*self._place), cmd_name)

    @property
    def commands(self) -> MutableMapping[str, Any]:
        return self._loaded

    @commands.setter
    def commands(self, none: MutableMapping[str, Any]) -> None:
        """Take the empty dictionary that TyperGroup begins with."""


class LazyCommand(TyperCommand):
    """The command of the same name of the Typer application in `module`."""

    def __init__(self, name: str, module: str, **attributes: Any) -> None:
        self._place = (name, module)
        super().__init__(name, **attributes)

    @cached_property
    def _loaded(self) -> Any:
        name, module = self._place
        return _command_of(_application(module), name)

    @property
    def params(self) -> list[Any]:
        return self._loaded.params  # type: ignore[no-any-return]

    @params.setter
    def params(self, none: list[Any]) -> None:
        """Take the empty list that TyperCommand begins with."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the arguments as the command itself does, which is run then."""
        return self._loaded.make_context(*arguments, **named)
