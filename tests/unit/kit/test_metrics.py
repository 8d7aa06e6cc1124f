"""Metrics: one process, several, and processes that are gone. Each test has a process of its own, as the library needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECORD = """
import os, sys
from pathlib import Path
from telvend.kit import metrics
from telvend.dialects.metrics import rate_limited, request_finished
from telvend.fulfilment.metrics import provider_answered
"""


def run(code: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", RECORD + code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


EVERYTHING = """
request_finished("netpluse", "/purchase", 200, 0.004)
request_finished("netpluse", "/purchase", 200, 0.004)
request_finished("netpluse", "/purchase", 402, 0.2)
rate_limited("netpluse", "purchase")
metrics.lane_batch("orders", 33, 7)
provider_answered("simulator", "deliver", "delivered", 1.1)
provider_answered("simulator", "ask", "unknown", 0.1)
metrics.pool("reads", 10, 3)
orders = metrics.Reading("telvend_orders", "Orders by state.", "state", "mode", formerly="telvend_sales")
print(metrics.render([orders.family({("open", "live"): 12, ("final", "test"): 3})]).decode())
"""

EXPECTED = """
telvend_http_requests_total{dialect="netpluse",route="/purchase",status="200"} 2.0
telvend_http_requests_total{dialect="netpluse",route="/purchase",status="402"} 1.0
telvend_http_request_duration_seconds_bucket{dialect="netpluse",le="0.005",route="/purchase",status="200"} 2.0
telvend_http_request_duration_seconds_bucket{dialect="netpluse",le="0.1",route="/purchase",status="402"} 0.0
telvend_http_request_duration_seconds_bucket{dialect="netpluse",le="+Inf",route="/purchase",status="402"} 1.0
telvend_http_request_duration_seconds_count{dialect="netpluse",route="/purchase",status="200"} 2.0
telvend_http_requests_rate_limited_total{dialect="netpluse",kind="purchase"} 1.0
telvend_lane_queued_entries{lane="orders"} 7.0
telvend_lane_batch_entries_bucket{lane="orders",le="32.0"} 0.0
telvend_lane_batch_entries_bucket{lane="orders",le="64.0"} 1.0
telvend_provider_requests_total{operation="deliver",outcome="delivered",provider="simulator"} 1.0
telvend_provider_requests_total{operation="requery",outcome="unknown",provider="simulator"} 1.0
telvend_provider_request_duration_seconds_count{provider="simulator"} 2.0
telvend_database_connections{pool="reads"} 10.0
telvend_database_connections_in_use{pool="reads"} 3.0
telvend_orders{mode="live",state="open"} 12.0
telvend_orders{mode="test",state="final"} 3.0
telvend_rate_limited_total{dialect="netpluse",kind="purchase"} 1.0
telvend_lane_depth{lane="orders"} 7.0
telvend_lane_batch_size_bucket{lane="orders",le="32.0"} 0.0
telvend_lane_batch_size_bucket{lane="orders",le="64.0"} 1.0
telvend_lane_batch_size_sum{lane="orders"} 33.0
telvend_provider_outcomes_total{outcome="deliver delivered",provider="simulator"} 1.0
telvend_provider_outcomes_total{outcome="ask unknown",provider="simulator"} 1.0
telvend_provider_duration_seconds_count{provider="simulator"} 2.0
telvend_pool_size{pool="reads"} 10.0
telvend_pool_in_use{pool="reads"} 3.0
telvend_sales{mode="live",state="open"} 12.0
""".strip().splitlines()


def values(text: str) -> dict[str, str]:
    """The samples, with their labels in alphabetical order whichever way they were written."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            bare, _, labels = name.partition("{")
            samples[f"{bare}{{{','.join(sorted(labels.rstrip('}').split(',')))}}}"] = value
    return samples


@pytest.mark.parametrize("prepared", [True, False])
def test_everything_that_is_recorded_is_rendered(tmp_path: Path, prepared: bool) -> None:
    before = "metrics.prepare(Path(sys.argv[1]))\n" if prepared else ""
    rendered = run(before + EVERYTHING, str(tmp_path / "metrics"))
    samples = values(rendered)
    assert {line: samples.get(line.rpartition(" ")[0]) for line in EXPECTED} == {
        line: line.rpartition(" ")[2] for line in EXPECTED
    }
    assert "# TYPE telvend_http_requests_total counter" in rendered
    assert "# TYPE telvend_http_request_duration_seconds histogram" in rendered
    assert "# TYPE telvend_lane_batch_size histogram" in rendered
    assert (
        "# HELP telvend_pool_size Deprecated, and gone in the next version: telvend_database_connections.\n" in rendered
    )
    assert (
        "# HELP telvend_rate_limited_total Deprecated, and gone in the next version: telvend_http_requests_rate_limited_total.\n"
        in rendered
    )
    assert bool(list(tmp_path.glob("metrics/*.db"))) == prepared


THREE_PROCESSES = """
directory = Path(sys.argv[1])
metrics.prepare(directory)
children = []
for number in (1, 2):
    go_read, go_write = os.pipe()
    done_read, done_write = os.pipe()
    child = os.fork()
    if not child:
        request_finished("netpluse", "/ping", 200, 0.001)
        metrics.lane_batch("orders", 1, number)
        os.write(done_write, b".")
        os.read(go_read, 1)
        os._exit(0)
    os.read(done_read, 1)
    children.append((child, go_write))
request_finished("netpluse", "/ping", 200, 0.001)
metrics.lane_batch("orders", 1, 4)

def show():
    print([line.rpartition(" ")[2] for line in metrics.render().decode().splitlines()
           if line.startswith(("telvend_lane_queued_entries", "telvend_http_requests_total{"))])

show()
child, go = children[1]
os.write(go, b".")
os.waitpid(child, 0)
metrics.process_ended(child)
show()
os.write(children[0][1], b".")
os.waitpid(children[0][0], 0)
"""


def test_processes_are_summed_and_an_ended_one_keeps_its_counts_and_loses_its_depth(tmp_path: Path) -> None:
    before, after = run(THREE_PROCESSES, str(tmp_path)).splitlines()
    assert before == "['7.0', '3.0']"
    assert after == "['5.0', '3.0']"


def test_files_of_processes_of_an_earlier_run_are_removed_at_start(tmp_path: Path) -> None:
    run("metrics.prepare(Path(sys.argv[1]))\n" + EVERYTHING, str(tmp_path))
    (tmp_path / "somebody's.txt").write_text("stays")
    mine = tmp_path / f"counter_{os.getpid()}.db"
    mine.write_bytes(b"")
    run("metrics.prepare(Path(sys.argv[1]))", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, "first-process", "somebody's.txt"])


REPLACE_A_WORKER = """
import subprocess
metrics.prepare(Path(sys.argv[1]))
worker = '''
import sys
from pathlib import Path
from telvend.kit import metrics
from telvend.dialects.metrics import request_finished
metrics.prepare(Path(sys.argv[1]))
request_finished("netpluse", "/ping", 200, 0.001)
'''
for _ in range(3):
    subprocess.run([sys.executable, "-c", worker, sys.argv[1]], check=True)
print(metrics.render().decode())
"""


def test_a_worker_that_takes_the_place_of_a_dead_one_leaves_its_counts_in_the_sum(tmp_path: Path) -> None:
    samples = values(run(REPLACE_A_WORKER, str(tmp_path)))
    assert samples['telvend_http_requests_total{dialect="netpluse",route="/ping",status="200"}'] == "3.0"


def test_preparing_too_late_is_an_error_and_no_silent_loss(tmp_path: Path) -> None:
    code = """
metrics.lane_batch("orders", 1, 1)
try:
    metrics.prepare(Path(sys.argv[1]))
except RuntimeError as error:
    print(error)
"""
    assert "before the first number" in run(code, str(tmp_path))


def test_the_library_is_not_imported_before_the_first_number() -> None:
    assert run("print('prometheus_client' in sys.modules)") == "False\n"


def test_ten_thousand_requests_over_all_routes_take_less_than_two_megabytes(tmp_path: Path) -> None:
    code = """
def resident_kb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
metrics.prepare(Path(sys.argv[1]))
request_finished("netpluse", "/ping", 200, 0.001)
before = resident_kb()
for number in range(10_000):
    request_finished("netpluse", f"/route/{number % 20}", 200 + number % 5, 0.001 * (number % 90))
print(resident_kb() - before)
"""
    assert int(run(code, str(tmp_path))) < 2048


def test_the_files_are_allocated_since_a_full_disk_would_end_the_process_later(tmp_path: Path) -> None:
    run('metrics.prepare(Path(sys.argv[1]))\nrequest_finished("netpluse", "/ping", 200, 0.001)', str(tmp_path))
    sparse = [path.name for path in tmp_path.glob("*.db") if path.stat().st_blocks * 512 < path.stat().st_size]
    assert sparse == []
    assert (next(tmp_path.glob("histogram_*.db"))).stat().st_size == 2 << 20


def test_without_room_on_the_disk_the_numbers_stay_in_the_process(tmp_path: Path) -> None:
    code = """
def full(*_):
    raise OSError(28, "No space left on device")
metrics.prepare(Path(sys.argv[1]))
os.posix_fallocate = full
request_finished("netpluse", "/ping", 200, 0.001)
print(metrics.render().decode())
"""
    samples = values(run(code, str(tmp_path)).partition("\n# ")[2])
    assert samples['telvend_http_requests_total{dialect="netpluse",route="/ping",status="200"}'] == "1.0"
    assert not list(tmp_path.glob("*.db"))


def test_the_file_of_an_ended_process_is_cut_to_what_is_used(tmp_path: Path) -> None:
    code = """
metrics.prepare(Path(sys.argv[1]))
request_finished("netpluse", "/ping", 200, 0.001)
metrics.process_ended(os.getpid())
print(metrics.render().decode())
"""
    samples = values(run(code, str(tmp_path)))
    assert samples['telvend_http_requests_total{dialect="netpluse",route="/ping",status="200"}'] == "1.0"
    assert next(tmp_path.glob("histogram_*.db")).stat().st_size < 8192


def test_gathered_observations_are_what_single_ones_would_have_been(tmp_path: Path) -> None:
    code = """
import asyncio
metrics.prepare(Path(sys.argv[1]))
single = metrics.Histogram("single", "One by one.", buckets=(0.1, 1.0, 5.0))
gathered = metrics.Histogram("gathered", "Written together.", buckets=(0.1, 1.0, 5.0))
observe = gathered.gather()
async def main():
    for value in (0.05, 0.1, 0.1000001, 1.0, 3.0, 5.0, 7.0, 7.0):
        single.observe(value)
        observe(value)
    early = metrics.render().decode()
    assert 'single_count 8.0' in early and 'gathered_count 8.0' not in early
    await asyncio.sleep(2 * metrics.WRITTEN_EVERY_S)
    observe(0.5)
    single.observe(0.5)
    metrics.write_gathered()
    print(metrics.render().decode())
asyncio.run(main())
"""
    samples = values(run(code, str(tmp_path)))
    single = {name.removeprefix("single"): value for name, value in samples.items() if name.startswith("single")}
    assert single["_count{}"] == "9.0"
    assert single == {
        name.removeprefix("gathered"): value for name, value in samples.items() if name.startswith("gathered")
    }


def test_what_is_gathered_is_written_when_the_process_ends(tmp_path: Path) -> None:
    ends = """
import asyncio
metrics.prepare(Path(sys.argv[1]))
async def main():
    request_finished("netpluse", "/ping", 200, 0.001)
asyncio.run(main())
"""
    run(ends, str(tmp_path))
    shows = "os.environ['PROMETHEUS_MULTIPROC_DIR'] = sys.argv[1]\nprint(metrics.render().decode())"
    samples = values(run(shows, str(tmp_path)))
    assert samples['telvend_http_requests_total{dialect="netpluse",route="/ping",status="200"}'] == "1.0"
