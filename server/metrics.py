"""Prometheus metrics; the engines send their timings back with each reply.

``docs/metrics.md`` says what each one means.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from server.messages import BatchRan, Done, ModelStatus
from server.statistics import Statistics

if TYPE_CHECKING:
    from server.cache import AnswerCache
    from server.client import EnginePool

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All that ``/metrics`` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._series: dict[tuple[str, str, int], _Series] = {}
        self.statistics = Statistics()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(
                f"tuneserve_{name}", text, ["model"], registry=self.registry, buckets=buckets
            )

        def counter(name: str, text: str, labels: Iterable[str]) -> Counter:
            return Counter(f"tuneserve_{name}", text, labels, registry=self.registry)

        self.requests = counter(
            "requests", "Requests answered.", ["model", "version", "task", "protocol", "status"]
        )
        self.key_requests = counter("key_requests", "Requests by API key.", ["key", "status"])
        self.bulk_lines = counter("bulk_lines", "Lines of bulk jobs.", ["model", "outcome"])
        self.queue = histogram("queue_seconds", "Wait before the first row ran.", _SECONDS)
        self.tokenize = histogram("tokenize_seconds", "Share of the tokenise call.", _SECONDS)
        self.compute = histogram("compute_seconds", "Batches that held the request.", _SECONDS)
        self.total = histogram("request_seconds", "From body to answer.", _SECONDS)
        self.batch_rows = histogram("batch_rows", "Rows per batch.", _ROWS)
        self.batch_seconds = histogram("batch_seconds", "Time of one backend.run.", _SECONDS)
        self.batches = counter("batches", "Batches, by why they ended.", ["model", "cut"])
        self.real_tokens = counter("tokens_real", "Tokens without padding.", ["model"])
        self.padded_tokens = counter("tokens_padded", "Tokens with padding.", ["model"])
        self.first_token = histogram(
            "first_token_seconds", "From request to first generated token.", _SECONDS
        )
        self.per_token = histogram(
            "token_seconds", "Mean time from one generated token to the next.", _TOKEN_SECONDS
        )
        self.source_tokens = counter("source_tokens", "Tokens read for answers.", ["model"])
        self.generated_tokens = counter("generated_tokens", "Tokens of answers.", ["model"])

    def watch(
        self, engines: "EnginePool", in_flight: Callable[[], int], cache: "AnswerCache"
    ) -> None:
        """Show what is true at the moment of the scrape."""
        self.registry.register(_Now(engines, in_flight, cache))

    def batch_ran(self, ran: BatchRan) -> None:
        """Count one batch."""
        self.statistics.batch_ran(ran)
        self.batch_rows.labels(ran.model).observe(ran.rows)
        self.batch_seconds.labels(ran.model).observe(ran.compute_s)
        self.batches.labels(ran.model, ran.cut).inc()
        self.real_tokens.labels(ran.model).inc(ran.real_tokens)
        self.padded_tokens.labels(ran.model).inc(ran.padded_tokens)

    def answered(
        self,
        model: ModelStatus | None,
        protocol: str,
        status: int,
        total_s: float,
        done: Done | None,
    ) -> None:
        """Count one answer, good or bad, and its times; unknown models share one series.

        Args:
            model: that was asked; None where there is no such.
            protocol: it was asked in.
            status: of HTTP.
            total_s: from the first header to the last byte.
            done: what the engine sent; None where it was not asked or did not answer.
        """
        if model is None:
            self.requests.labels("", "", "", protocol, str(status)).inc()
            return
        series = self._series.get((model.id, protocol, status)) or self._find(
            model, protocol, status
        )
        series.requests.inc()
        series.total.observe(total_s)
        self.statistics.answered(model.id, status, total_s, done)
        if done is not None:
            series.queue.observe(done.queue_s)
            series.tokenize.observe(done.tokenize_s)
            series.compute.observe(done.compute_s)
            if model.generates:
                self._generated(model.id, done)

    def _find(self, model: ModelStatus, protocol: str, status: int) -> "_Series":
        """Look the series up by their labels, which takes longer than to count."""
        labels = model.name, str(model.version), model.task, protocol, str(status)
        found = self._series[model.id, protocol, status] = _Series(
            self.requests.labels(*labels),
            *(
                each.labels(model.id)
                for each in (self.total, self.queue, self.tokenize, self.compute)
            ),
        )
        return found

    def asked(self, key: str, status: int) -> None:
        """Count one answer for a key, by its name."""
        self.key_requests.labels(key, str(status)).inc()

    def _generated(self, model: str, done: Done) -> None:
        self.source_tokens.labels(model).inc(done.tokens_in)
        self.generated_tokens.labels(model).inc(done.tokens_out)
        if done.first_token_s:
            self.first_token.labels(model).observe(done.first_token_s)
        if done.per_token_s:
            self.per_token.labels(model).observe(done.per_token_s)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)


class _Series(NamedTuple):
    """What the answers of one model, protocol and status count in."""

    requests: Counter
    total: Histogram
    queue: Histogram
    tokenize: Histogram
    compute: Histogram


class _Now(Collector):
    """Gauges that are read off the server's state."""

    def __init__(
        self, engines: "EnginePool", in_flight: Callable[[], int], cache: "AnswerCache"
    ) -> None:
        self._engines = engines
        self._in_flight = in_flight
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        """prometheus_client: the samples of this moment."""
        yield GaugeMetricFamily(
            "tuneserve_in_flight", "HTTP requests being answered.", self._in_flight()
        )
        yield GaugeMetricFamily(
            "tuneserve_waiting", "Requests that are with an engine.", self._engines.all_waiting
        )
        if self._cache.on:
            yield from self._cached()
        yield from self._decoding()
        models = [model for model in self._engines.models if model.state == "ready"]
        yield GaugeMetricFamily("tuneserve_models_loaded", "Models that answer.", len(models))
        sizes = GaugeMetricFamily("tuneserve_model_bytes", "Loaded artifact.", labels=["model"])
        for model in models:
            sizes.add_metric([model.id], model.bytes)
        yield sizes

    def _cached(self) -> Iterable[Metric]:
        """What the cache of answers did."""
        asked = CounterMetricFamily(
            "tuneserve_cache_requests", "Requests looked up in the cache.", labels=["found"]
        )
        asked.add_metric(["hit"], self._cache.hits)
        asked.add_metric(["miss"], self._cache.misses)
        yield asked
        yield GaugeMetricFamily("tuneserve_cache_bytes", "Kept answers.", self._cache.bytes)

    def _decoding(self) -> Iterable[Metric]:
        """What generating engines told last; the sum over engines that hold the same model."""
        running = GaugeMetricFamily(
            "tuneserve_rows_running", "Rows being decoded: beams of answers.", labels=["model"]
        )
        waiting = GaugeMetricFamily(
            "tuneserve_rows_waiting", "Rows that wait for the key-value cache.", labels=["model"]
        )
        held = GaugeMetricFamily(
            "tuneserve_kv_tokens", "Tokens whose keys and values are held.", labels=["model"]
        )
        told = self._engines.decoding
        for model in sorted({one.model for one in told}):
            mine = [one for one in told if one.model == model]
            running.add_metric([model], sum(one.running_rows for one in mine))
            waiting.add_metric([model], sum(one.waiting_rows for one in mine))
            held.add_metric([model], sum(one.held_tokens for one in mine))
        yield from (running, waiting, held)
