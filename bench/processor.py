"""What the processes of a server compute. Unlike a rate it says the same on a machine that is busy with other things.

Source: Documentation/scheduler/sched-stats.rst, /proc/PID/task/TID/schedstat: "time spent on the cpu", in nanoseconds.
"""

from pathlib import Path

import msgspec

from bench import memory


class Spent(msgspec.Struct, frozen=True):
    """Seconds of a processor: of `telvend serve` with its workers, and of PostgreSQL's processes."""

    serve_s: float
    postgres_s: float

    def since(self, before: "Spent", requests: int) -> dict[str, str]:
        """What each of so many requests took since `before`, as notes of a result."""
        return {
            name: f"{(now - then) / max(1, requests) * 1e6:.0f} µs"
            for name, now, then in (
                ("telvend serve computed for each", self.serve_s, before.serve_s),
                ("PostgreSQL", self.postgres_s, before.postgres_s),
            )
        }


def spent(pid: int) -> Spent:
    """What the server `pid` has computed until now, as far as its processes still live."""
    serve_s = postgres_s = 0.0
    for process in memory.of_server(pid):
        try:
            tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
            seconds = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
        except OSError:
            continue  # It has just ended.
        if process.is_postgres:
            postgres_s += seconds
        else:
            serve_s += seconds
    return Spent(serve_s, postgres_s)
