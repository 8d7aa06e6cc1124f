"""Starts what was opened in the order in which it was opened, and closes it in the reverse order.

    async with Lifecycle() as life:
        database = life.opened(await Database.open(url))    # closed at the end
        watch = life.runs(Watch(database))                  # started by `start`, closed at the end
        life.start()

Everything is registered the moment it exists, so that it is closed also where opening or starting what follows fails.
"""

from contextlib import AsyncExitStack
from typing import Protocol, TypeVar


class Starts(Protocol):
    """Works by itself from `start` on, which is called inside the event loop."""

    def start(self) -> None: ...


class Closes(Protocol):
    """Is to be closed, whether it was started or not."""

    async def close(self) -> None: ...


class Runs(Starts, Closes, Protocol):
    """Is started and closed."""


S = TypeVar("S", bound=Starts)
C = TypeVar("C", bound=Closes)
R = TypeVar("R", bound=Runs)


class Lifecycle(AsyncExitStack):
    """See the head of this file. What is closed by another verb is registered with `push_async_callback`, and `starts`."""

    def __init__(self) -> None:
        super().__init__()
        self._to_start: list[Starts] = []

    def opened(self, component: C) -> C:
        """Close it at the end."""
        self.push_async_callback(component.close)
        return component

    def starts(self, component: S) -> S:
        """Start it with the next `start`."""
        self._to_start.append(component)
        return component

    def runs(self, component: R) -> R:
        """Start it with the next `start`, and close it at the end."""
        self.opened(component)
        return self.starts(component)

    def start(self) -> None:
        """Start what has not been started yet, in order."""
        to_start, self._to_start = self._to_start, []
        for component in to_start:
            component.start()
