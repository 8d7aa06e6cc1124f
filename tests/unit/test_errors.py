"""Errors: each is one sentence that may be shown, and holds its facts."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import telvend
from telvend import errors
from telvend.errors import InvalidInput, TelvendError
from telvend.kit.money import GHS, Money


def tree(root: type[TelvendError]) -> Iterator[type[TelvendError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from tree(kind)


def whole_tree() -> Iterator[type[TelvendError]]:
    """Every error of the product, in whatever room it is defined."""
    for module in pkgutil.walk_packages(telvend.__path__, "telvend."):
        # These two are programs: they run when they are imported.
        if module.name not in ("telvend.__main__", "telvend.database.migrations.env"):
            importlib.import_module(module.name)
    waiting = [TelvendError]
    while waiting:
        below = [kind for kind in waiting.pop().__subclasses__() if kind.__module__.startswith("telvend.")]
        yield from below
        waiting += below


def test_the_drawing_at_the_head_of_the_file_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    rooms: dict[str, str] = {}
    parents = ["TelvendError"]
    for line in (errors.__doc__ or "").splitlines():
        before, dash, rest = line.partition("── ")
        if dash:
            depth = (len(before) - 5) // 4 + 1
            name = rest.split()[0]
            parents[depth:] = [name]
            drawn[name] = parents[depth - 1]
            rooms[name] = rest.partition(" · ")[2]
    assert drawn == {kind.__name__: kind.__mro__[1].__name__ for kind in whole_tree()}
    for kind in whole_tree():
        room = rooms[kind.__name__]
        assert kind.__module__.startswith(f"telvend.{room}." if room else errors.__name__), kind


def test_every_error_has_a_sentence_of_its_own_in_the_source() -> None:
    texts = [inspect.getdoc(kind) for kind in tree(TelvendError)]
    assert all(texts)
    assert len(set(texts)) == len(texts)


def test_an_input_without_a_field_is_a_plain_sentence() -> None:
    assert str(InvalidInput("network", "must be one of MTN")) == "network: must be one of MTN"
    assert str(InvalidInput("", "The body is odd.")) == "The body is odd."


def test_what_is_missing_is_said_in_the_currency() -> None:
    error = errors.InsufficientBalance(Money(450, GHS), Money(5, GHS))
    assert str(error) == "Insufficient wallet balance: GHS 4.50 needed, GHS 0.05 available."
    assert (error.required.minor, error.available.minor) == (450, 5)


def test_a_reference_is_not_repeated_to_whoever_guessed_it() -> None:
    assert "my-ref" not in str(errors.ReferenceReused("my-ref"))
    assert "/secret-path" not in str(errors.UnknownPath("/secret-path"))
