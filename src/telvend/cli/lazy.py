"""Commands whose module is imported when they are run, so that a command loads nothing of the others.

The list of commands (`telvend --help`) stands in `__init__.py`, with the help of each; the modules have the rest.
"""

import importlib
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


def _commands_of(module: str, application: str = "app") -> MutableMapping[str, Any]:
    """The commands of a Typer application in a module of this package."""
    app = getattr(importlib.import_module(f"telvend.cli.{module}"), application)
    group: Any = typer.main.get_group(app)
    return group.commands  # type: ignore[no-any-return]


class LazyGroup(TyperGroup):
    """A group whose commands are those of the Typer application `application` in `module`."""

    def __init__(self, name: str, module: str, application: str, **attributes: Any) -> None:
        self._place = (module, application)
        super().__init__(name=name, no_args_is_help=True, **attributes)

    @cached_property
    def _loaded(self) -> MutableMapping[str, Any]:
        return _commands_of(*self._place)

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
        return _commands_of(module)[name]

    @property
    def params(self) -> list[Any]:
        return self._loaded.params  # type: ignore[no-any-return]

    @params.setter
    def params(self, none: list[Any]) -> None:
        """Take the empty list that TyperCommand begins with."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the arguments as the command itself does, which is run then."""
        return self._loaded.make_context(*arguments, **named)
