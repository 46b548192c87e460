"""A collector of traces made of OpenTelemetry's own messages: says its port, then every span as a line of JSON."""

import gzip
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            about = {a.key: a.value.string_value for a in of_resource.resource.attributes}
            for span in (span for of_scope in of_resource.scope_spans for span in of_scope.spans):
                print(json.dumps({
                    "path": self.path,
                    "type": self.headers["content-type"],
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "service": about["service.name"],
                    "name": span.name,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "nanoseconds": span.end_time_unix_nano - span.start_time_unix_nano,
                    "attributes": {a.key: a.value.string_value or a.value.int_value for a in span.attributes},
                    "failed": span.status.code == span.status.STATUS_CODE_ERROR,
                    "error": span.status.message,
                }), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
