"""wrk as the load generator, where it is installed: it takes fewer of the cores than ours (load.py), and is what others use.

It says nothing of the requests that are under way when its time is over: their number is at most that of the connections.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.load import Load

_DONE: Final = """
done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "us": %d, "p50": %d, "p99": %d, "longest": %d, "refused": %d, "lost": %d}\\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
"""

_PURCHASES: Final = """
local number, heads = %d, {}
for key in io.lines("%s") do
    heads[#heads + 1] = "POST /api/v1/purchase HTTP/1.1\\r\\nhost: 127.0.0.1\\r\\nx-api-key: " .. key ..
        "\\r\\ncontent-type: application/json\\r\\ncontent-length: 92\\r\\n\\r\\n"
end
request = function()
    number = number + 1
    return heads[number %% #heads + 1] .. string.format(
        '{"network":"MTN","phoneNumber":"024%%07d","capacity":"1GB","reference":"bench-%%010d"}', number %% 10000000, number)
end
"""

_READS: Final = """
local number, requests = 0, {}
for line in io.lines("%s") do
    local path, key = line:match("(%%S+) (%%S+)")
    requests[#requests + 1] = "GET " .. path .. " HTTP/1.1\\r\\nhost: 127.0.0.1\\r\\nx-api-key: " .. key .. "\\r\\n\\r\\n"
end
request = function()
    number = number + 1
    return requests[number %% #requests + 1]
end
"""


class WrkFailed(Exception):
    """wrk did not end well. The message is what it printed."""


def installed() -> bool:
    """Whether wrk is on this system."""
    return shutil.which("wrk") is not None


async def buy(port: int, keys: Sequence[str], first: int, *, connections: int, seconds: int) -> Load:
    """Buy with these keys in turn, under references from number `first` on."""
    return await _run(port, lambda file: _PURCHASES % (first, file), keys, connections, seconds)


async def read(port: int, paths_and_keys: Sequence[tuple[str, str]], *, connections: int, seconds: int) -> Load:
    """Read these paths round and round."""
    lines = [f"{path} {key}" for path, key in paths_and_keys]
    return await _run(port, lambda file: _READS % file, lines, connections, seconds)


async def _run(port: int, script: Callable[[Path], str], lines: Sequence[str], connections: int, seconds: int) -> Load:
    with tempfile.TemporaryDirectory(prefix="telvend-bench-wrk-") as folder:
        data, lua = Path(folder) / "lines", Path(folder) / "script.lua"
        data.write_text("".join(f"{line}\n" for line in lines))
        lua.write_text(script(data) + _DONE)
        process = await asyncio.create_subprocess_exec(
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "15s", "-s", str(lua)),
            f"http://127.0.0.1:{port}/",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            printed = (await process.communicate())[0].decode(errors="replace")
        except asyncio.CancelledError:
            process.kill()
            raise
    result = printed.partition("RESULT ")[2].partition("\n")[0]
    if process.returncode != 0 or not result:
        raise WrkFailed(printed or f"wrk ended with {process.returncode}")
    found = json.loads(result)
    succeeded = found["requests"] - found["refused"]
    errors = {"not 2xx": found["refused"], "connections or time-outs": found["lost"]}
    return Load(
        per_second=succeeded / found["us"] * 1e6,
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
        longest_ms=found["longest"] / 1000,
        succeeded=succeeded,
        errors={name: count for name, count in errors.items() if count},
    )
