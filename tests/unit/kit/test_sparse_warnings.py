"""Warnings that come at most once a minute."""

from typing import Any

from telvend.kit.sparse_warnings import SparseWarnings


class Lines:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def warning(self, event: str, **facts: Any) -> None:
        self.said.append({"event": event, **facts})


def test_the_first_is_said_at_once_and_the_rest_are_counted() -> None:
    now = 0.0
    lines = Lines()
    once = SparseWarnings(lines, lambda: now)  # type: ignore[arg-type]
    for _ in range(5):
        once.warning("full", "a", client="10.0.0.1")
    once.warning("full", "b", client="10.0.0.2")
    now = 60.0
    once.warning("full", "a", client="10.0.0.3")
    now = 120.0
    once.warning("full", "a", client="10.0.0.3")
    assert lines.said == [
        {"event": "full", "client": "10.0.0.1"},
        {"event": "full", "client": "10.0.0.2"},
        {"event": "full", "client": "10.0.0.3", "not_logged": 4},
        {"event": "full", "client": "10.0.0.3"},
    ]


def test_keys_that_clients_choose_are_bounded() -> None:
    once = SparseWarnings(Lines(), lambda: 0.0)  # type: ignore[arg-type]
    for number in range(5000):
        once.warning("full", str(number))
    assert len(once._said) == 1000
