"""Problems of a request's fields, gathered so that every wrong one is named at once. Each dialect says how a field is read."""

from collections.abc import Mapping
from typing import Any

from telvend.errors import InvalidFields


class Problems:
    """What is wrong, by field. A field that is wrong reads as a stand-in until `raise_if_any` is called."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def add(self, name: str, problem: str) -> None:
        """Note what is wrong with a field; the first problem of each is kept."""
        self.problems.setdefault(name, problem)

    def raise_if_any(self) -> None:
        """Raises InvalidFields where anything was wrong."""
        if self.problems:
            raise InvalidFields(self.problems)


class FormFields(Problems):
    """The fields of a body, by name. `values` holds what has been read of a declared form (see forms.py), by attribute."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        super().__init__()
        self._form = form
        self.values: dict[str, Any] = {}
