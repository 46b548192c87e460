"""Records a little of everything with OpenTelemetry's SDK and exports it to each URL that is given."""

import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

resource = Resource({
    "service.name": "shop",
    "service.namespace": "eu",
    "service.instance.id": "i-1",
    "deployment.environment.name": "test",
})
readers = [
    # The interval is never reached: what is exported is exported by the flush.
    PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=url, compression=Compression.Gzip), export_interval_millis=3_600_000
    )
    for url in sys.argv[1:]
]
exponential = View(instrument_name="payload.size", aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider(resource=resource, metric_readers=readers, views=[exponential])
meter = provider.get_meter("till", "1.0")

requests = meter.create_counter("http.server.requests", unit="1", description="Requests served")
requests.add(3, {"http.method": "GET", "http.status_code": 200})
requests.add(1, {"http.method": "PUT", "http.status_code": 500})
meter.create_up_down_counter("queue.length", unit="{item}").add(7)
meter.create_gauge("cpu.utilization", unit="1").set(0.25, {"cpu": "0"})
meter.create_gauge("network.io", unit="By/s").set(12.5)
latency = meter.create_histogram("http.server.duration", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1, 10])
size = meter.create_histogram("payload.size", unit="By")
for value in [0.05, 0.5, 0.7, 20]:
    latency.record(value, {"route": "/buy"})
    size.record(value * 100)
assert provider.force_flush()
provider.shutdown()
