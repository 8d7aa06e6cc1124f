"""Traces of sales: one trace from the request to what a provider has said, nothing of anybody in it, nothing at all when off."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from telvend.bootstrap import work
from telvend.config import Settings, SettingsRefused, SimulatorSettings
from telvend.database.connections import Database
from telvend.kit import tracing
from telvend.kit.mode import Mode
from telvend.kit.money import GHS, Money
from telvend.orders.model import Order
from telvend.upkeep.preparation import prepare_database

STEERED = {"simulator": SimulatorSettings(live=True, timeout_s=0.2)}
PHONES = {"delivered": "+233241230000", "silent": "+233241230017"}


@pytest.fixture
def traced() -> Iterator[InMemorySpanExporter]:
    """Traces this process into memory."""
    exporter = InMemorySpanExporter()
    tracing.start("", "0", exporter)
    yield exporter
    tracing.stop()
    assert not tracing.on


@pytest.fixture
async def settings(database: Database, tmp_path: Path) -> Settings:
    await prepare_database(database, lambda _: None)
    return Settings(data_dir=str(tmp_path), own_network=False, simulators=STEERED)


async def sell(settings: Settings, url: str, phone: str, *, until_final: bool = True) -> Order:
    """Sell a bundle in a shop whose work runs, twice under one reference."""
    async with work(settings, url) as shop:
        await shop.watch.look()
        services = shop.services
        try:
            ama = await services.resellers.add("ama@example.com", "Ama", "0241234567")
            await services.credits.add(ama.id, Money(100_000, GHS), Mode.LIVE, "opening")
        except Exception:
            ama = await services.resellers.find("ama@example.com")
        caller = await services.resellers.caller_without_key(ama.email, "netpluse", Mode.LIVE)
        network = services.catalogue.snapshot.network("GH", "MTN")
        assert network is not None
        wanted: dict[str, Any] = {"network": network, "size": "1GB", "subscriber": phone, "prefix": "NPAPI"}
        placed = await services.orders.buy_bundle(caller, client_reference=f"secret-{phone}", **wanted)
        again = await services.orders.buy_bundle(caller, client_reference=f"secret-{phone}", **wanted)
        assert again.replayed
        if until_final:
            return await services.orders.settled(placed.order, 10)
        await asyncio.sleep(1)
        return placed.order


def by_name(spans: tuple[ReadableSpan, ...]) -> dict[str, ReadableSpan]:
    found = {span.name: span for span in spans}
    assert len(found) == len(spans), [span.name for span in spans]
    return found


async def test_a_sale_is_one_trace_from_its_request_to_its_settlement(
    traced: InMemorySpanExporter, settings: Settings, database_url: str
) -> None:
    order = await sell(settings, database_url, PHONES["delivered"])
    assert order.state == "delivered"
    spans = by_name(traced.get_finished_spans())
    assert set(spans) == {"place", "batch", "attempt", "provider call", "settle"}
    place = spans["place"].context
    assert place is not None
    assert spans["place"].parent is None
    assert spans["place"].kind is SpanKind.SERVER
    for name in ("batch", "attempt", "settle"):
        parent = spans[name].parent
        assert parent is not None
        assert (parent.trace_id, parent.span_id) == (place.trace_id, place.span_id)
    call, attempt = spans["provider call"], spans["attempt"]
    assert call.parent == attempt.context
    assert call.kind is SpanKind.CLIENT
    assert attempt.attributes is not None
    assert (attempt.attributes["provider"], attempt.attributes["outcome"]) == ("simulator", "delivered")
    assert {span.context.trace_id for span in spans.values() if span.context} == {place.trace_id}
    assert all(span.start_time and span.end_time and span.start_time <= span.end_time for span in spans.values())


async def test_an_unknown_outcome_is_an_error_and_a_later_process_goes_on_with_the_trace(
    traced: InMemorySpanExporter, settings: Settings, database: Database, database_url: str
) -> None:
    order = await sell(settings, database_url, PHONES["silent"], until_final=False)
    spans = by_name(traced.get_finished_spans())
    assert spans["provider call"].status.status_code is StatusCode.ERROR
    assert (spans["attempt"].attributes or {})["outcome"] == "unknown"
    place = spans["place"].context
    traced.clear()
    async with database.connection() as tx:
        await tx.execute("update orders set due_at = now() where id = $1", order.id)
    async with work(settings, database_url):
        await asyncio.sleep(1.5)
    later = traced.get_finished_spans()
    assert "requery" in {span.name for span in later}
    assert {span.context.trace_id for span in later if span.context} == {place.trace_id if place else 0}
    requery = next(span for span in later if span.name == "requery")
    assert requery.parent is not None
    assert place is not None
    assert requery.parent.span_id == place.span_id


async def test_nothing_of_a_person_is_in_a_trace(
    traced: InMemorySpanExporter, settings: Settings, database_url: str
) -> None:
    await sell(settings, database_url, PHONES["delivered"])
    text = " ".join(span.to_json() for span in traced.get_finished_spans())
    for secret in ("241230000", "secret-", "ama@", "Ama"):
        assert secret not in text
    assert "GH-MTN-1GB" in text


async def test_when_off_nothing_is_traced(settings: Settings, database_url: str) -> None:
    assert not tracing.on
    assert tracing.now() == 0
    assert tracing.begin("attempt", "x", {}) is None
    tracing.end(None)
    assert (await sell(settings, database_url, PHONES["delivered"])).state == "delivered"


def test_when_off_nothing_of_opentelemetry_is_imported() -> None:
    program = "import sys; from telvend.kit import tracing; from telvend.bootstrap import load_modules; load_modules();"
    program += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_sampler_decides_once_for_a_sale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    exporter = InMemorySpanExporter()
    tracing.start("", "0", exporter)
    try:
        for number in range(64):
            tracing.placed(f"NPAPI-{number}", tracing.now(), {})
            tracing.record("settle", f"NPAPI-{number}", tracing.now(), {})
    finally:
        tracing.stop()
    seen = [((span.attributes or {})["order.reference"], span.name) for span in exporter.get_finished_spans()]
    placed = {reference for reference, name in seen if name == "place"}
    assert 10 < len(placed) < 54
    assert {reference for reference, name in seen if name == "settle"} == placed


async def test_a_shop_without_the_libraries_says_what_to_install(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsRefused, match=r"telvend\[tracing\]"):
        async with work(Settings(data_dir=settings.data_dir, otlp_endpoint="http://127.0.0.1:4318"), database_url):
            pass


def test_spans_reach_a_collector() -> None:
    received: list[tuple[str, int]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            received.append((self.path, len(self.rfile.read(size))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tracing.start(f"http://127.0.0.1:{server.server_port}/", "0")
        tracing.placed("NPAPI-1-abcdef", tracing.now(), {})
        tracing.stop()
        server.shutdown()
    assert [path for path, _ in received] == ["/v1/traces"]
    assert received[0][1] > 0
