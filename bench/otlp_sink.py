"""`python -m bench.otlp_sink PORT`: takes what is sent to a collector of traces, and keeps nothing."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class TracesSink(BaseHTTPRequestHandler):
    """Answers every request alike."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read, and thank."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), TracesSink).serve_forever()
