"""The stand-in's HTTP server: GraphQL, the stream of a run's lines, and storage for files."""

import base64
import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.wandb_server.answers import Answers
from tests.wandb_server.kept import Kept

KEY = "a" * 40
STREAM = re.compile(r"/files/(?:.*/)?([^/]+)/file_stream")
STORED = re.compile(r"/storage/(runs|artifacts)/([^/]+)/(.+)")


class WandbServer:
    """Serves on a free port of loopback from `start` to `stop`; what it was sent is in `kept`.

    Attributes:
        seconds: how long each answer takes.
        status: HTTP status that answers everything, or None.
    """

    def __init__(self) -> None:
        self.kept = Kept()
        self.seconds = 0.0
        self.status: int | None = None
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._port = 0
        self.start()
        self._answers = Answers(self.kept, self.address)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send W&B's client here."""
        return {"WANDB_BASE_URL": self.address, "WANDB_API_KEY": KEY}

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut those that are open."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def away(self) -> Iterator[None]:
        """A server that goes away and comes back."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def answer(self, path: str, key: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the JSON that answer a request."""
        time.sleep(self.seconds)
        if path.startswith("/sdk/otel"):  # how long W&B's client took: not of interest
            return 200, {}
        if self.status is not None:
            return self.status, {"errors": [{"message": f"refused with {self.status}"}]}
        if stored := STORED.fullmatch(path):
            room, owner, name = stored.groups()
            files = self.kept.runs[owner].files if room == "runs" else self.kept.artifacts[owner]["files"]
            files[name] = body
            return 200, {}
        if key != KEY:
            return 401, {"errors": [{"message": "user is not logged in"}]}
        if path == "/graphql":
            asked = json.loads(body)
            operation = asked.get("operationName") or re.search(r"\b(?:query|mutation)\s+(\w+)", asked["query"])[1]
            with self._lock:
                data = self._answers.to(operation, asked.get("variables") or {})
            return (200, {"data": data}) if data is not None else (400, {"errors": [{"message": operation}]})
        if stream := STREAM.fullmatch(path):
            with self._lock:
                return 200, self._stream(stream[1], json.loads(body))
        self.kept.unknown.append(path)
        return 404, {}

    def _stream(self, run_id: str, sent: dict[str, Any]) -> dict[str, Any]:
        run = self.kept.runs[run_id]
        for name, lines in sent.get("files", {}).items():
            run.stream(name, lines["offset"], lines["content"])
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]
        return {"exitcode": None, "limits": {}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server._connections.add(self.request)
                super().setup()

            def handle(self) -> None:
                with suppress(ConnectionError):  # the client went away, or `stop` cut it off
                    super().handle()

            def finish(self) -> None:
                server._connections.discard(self.request)
                with suppress(OSError):
                    super().finish()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                login = self.headers.get("Authorization", "").removeprefix("Basic ")
                key = base64.b64decode(login).decode().partition(":")[2]
                status, content = server.answer(self.path, key, body)
                answer = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST

            def log_message(self, *_: Any) -> None:
                """Not on the screen."""

        return Handler
