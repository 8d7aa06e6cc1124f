"""Traces of sales for OpenTelemetry: from the request that places an order to what its provider says and what that settles.

    tracing.start("http://127.0.0.1:4318", version)     in a process that serves; needs telvend[tracing]
    if tracing.on: ...                                  everywhere else: without it nothing is computed and nothing imported

The trace of a sale has the number that its reference gives, and so has its first span, `place`. A worker in another process finds
both from the reference alone, so that nothing about traces is stored with an order, and a sale that is delivered a day later is
still one trace. Spans carry the order's own reference and what was sold, never a number, a name or an address of anybody.

    place                a request has bought: from the call until it is durable
      batch              the transaction that it shared
      attempt, requery   a worker begins an attempt, or asks about one
        provider call    one request to a provider
      settle             what was said becomes the state of the order

`OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and the other variables of OpenTelemetry mean what they mean elsewhere.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

Attributes = Mapping[str, str | int | float | bool]

_PATH: Final = "/v1/traces"
_EXPORT_WITHIN_S: Final = 5

on = False
"""Whether this process traces. Read it as `tracing.on`: it changes."""

_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None
_numbers: Any = None


class TracingMissing(Exception):
    """The libraries of OpenTelemetry are not installed. The message is one sentence."""


def start(endpoint: str, version: str, exporter: "SpanExporter | None" = None) -> None:
    """Send spans to a collector, by OTLP over HTTP. `exporter` takes its place in tests. Raises TracingMissing."""
    global on, _provider, _tracer, _numbers
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError as error:
        raise TracingMissing(
            "otlp_endpoint is set, and OpenTelemetry is not installed: pip install 'telvend[tracing]'."
        ) from error
    _numbers = _numbers_of_sales()
    resource = Resource.create({"service.name": "telvend", "service.version": version})
    _provider = TracerProvider(resource=resource, id_generator=_numbers)
    if exporter is None:
        address = endpoint if endpoint.endswith(_PATH) else endpoint.rstrip("/") + _PATH
        _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(address, timeout=_EXPORT_WITHIN_S)))
    else:
        _provider.add_span_processor(SimpleSpanProcessor(exporter))
    _tracer = _provider.get_tracer("telvend", version)
    on = True


def stop() -> None:
    """Send what waits, and trace no more."""
    global on, _provider, _tracer
    on, _tracer = False, None
    if _provider is not None:
        _provider.shutdown()
        _provider = None


def now() -> int:
    """Return the time at which a span begins, in nanoseconds; 0 where nothing is traced."""
    return time.time_ns() if on else 0


def placed(reference: str, began: int, attributes: Attributes) -> None:
    """Record that an order was placed: the first span of its trace, which has begun at `began` and ends now."""
    if _tracer is None or not began:
        return
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind

    _numbers.use(*_numbers_of(reference))
    try:
        span = _tracer.start_span("place", Context(), SpanKind.SERVER, _named(reference, attributes), start_time=began)
    finally:
        _numbers.use()
    span.end()


def record(name: str, reference: str, began: int, attributes: Attributes) -> None:
    """Record a span of the sale that has begun at `began` and ends now."""
    if _tracer is None or not began:
        return
    _tracer.start_span(name, _sale(reference), attributes=_named(reference, attributes), start_time=began).end()


def begin(name: str, reference: str, attributes: Attributes) -> "Span | None":
    """Begin a span of the sale, which `end` ends; None where nothing is traced."""
    if _tracer is None:
        return None
    return _tracer.start_span(name, _sale(reference), attributes=_named(reference, attributes))


def begin_call(within: "Span | None", attributes: Attributes) -> "Span | None":
    """Begin the span of a request to a provider, inside of another span."""
    if _tracer is None or within is None:
        return None
    from opentelemetry.trace import SpanKind, set_span_in_context

    return _tracer.start_span("provider call", set_span_in_context(within), SpanKind.CLIENT, dict(attributes))


def end(span: "Span | None", *, failed: bool = False, **attributes: str | int | float | bool) -> None:
    """End a span with what came of it. `failed`: it is shown as an error."""
    if span is None:
        return
    span.set_attributes(attributes)
    if failed:
        from opentelemetry.trace import StatusCode

        span.set_status(StatusCode.ERROR)
    span.end()


def _named(reference: str, attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {"order.reference": reference, **attributes}


def _numbers_of(reference: str) -> tuple[int, int]:
    """The numbers of the trace and of its first span. OpenTelemetry wants 128 and 64 bits, neither of them zero."""
    digest = hashlib.sha256(f"telvend sale {reference}".encode()).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


def _sale(reference: str) -> "Context":
    """The context of the first span of a sale, which another process may have recorded."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    trace, first = _numbers_of(reference)
    # The sampler decides by the number of the trace, so that every process decides the same.
    taken = _provider is not None and _provider.sampler.should_sample(None, trace, "place").decision.is_sampled()  # type: ignore[no-untyped-call]
    sampled = TraceFlags(TraceFlags.SAMPLED if taken else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace, first, is_remote=True, trace_flags=sampled)))


def _numbers_of_sales() -> Any:
    """A generator of numbers that gives chosen ones to the next span, and random ones to all others."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class NumbersOfSales(RandomIdGenerator):
        def __init__(self) -> None:
            self.use()

        def use(self, trace: int = 0, span: int = 0) -> None:
            self._trace, self._span = trace, span

        def generate_trace_id(self) -> int:
            return self._trace or super().generate_trace_id()

        def generate_span_id(self) -> int:
            return self._span or super().generate_span_id()

    return NumbersOfSales()
