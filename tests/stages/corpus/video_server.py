"""A real HTTP server on localhost that misbehaves as video sites do."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CHUNK = 2048


@dataclass
class Reply:
    """How a path is answered.

    Attributes:
        body: served with support for ranges unless `ranges` is false.
        cut_after: bytes after which the connection is cut, in each of the first `cuts` requests.
        pause_s: between pieces of 2 KiB.
        statuses: given to the first requests, one each, before the body is served; the last repeats if `body` is None.
    """

    body: bytes | None = None
    kind: str = "video/mp4"
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    cuts: int = 1
    pause_s: float = 0.0
    ranges: bool = True


@dataclass
class Server:
    """A running server; `replies` may be changed at any time, `requests` has (path, Range header) of what came."""

    address: str
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://{self.address}/{path}"

    def asked(self, path: str) -> list[str | None]:
        """Range headers of the requests for a path."""
        return [given for name, given in self.requests if name == path]


@contextmanager
def serve() -> Iterator[Server]:
    server = Server("")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.split("?")[0].lstrip("/")
            server.requests.append((path, self.headers.get("Range")))
            server.cookies.append(self.headers.get("Cookie"))
            _answer(self, server.replies.get(path) or Reply(statuses=[404]))

        def log_message(self, *_: object) -> None: ...

    class Listener(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # clients that hang up

    listener = Listener(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.address = f"127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def _answer(handler: http.server.BaseHTTPRequestHandler, reply: Reply) -> None:
    if reply.statuses:
        status = reply.statuses.pop(0) if len(reply.statuses) > 1 or reply.body is not None else reply.statuses[0]
        handler.send_response(status)
        for name, value in {"Content-Length": "0", **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        return
    body, start = reply.body, 0
    given = handler.headers.get("Range")
    if given and reply.ranges:
        start = int(given.removeprefix("bytes=").split("-")[0])
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    else:
        handler.send_response(200)
    handler.send_header("Content-Type", reply.kind)
    handler.send_header("Content-Length", str(len(body) - start))
    handler.end_headers()
    _send(handler, body[start:], reply)


def _send(handler: http.server.BaseHTTPRequestHandler, body: bytes, reply: Reply) -> None:
    cut = None
    if reply.cut_after is not None and reply.cuts > 0 and len(body) > CHUNK:
        cut, reply.cuts = reply.cut_after, reply.cuts - 1
    sent = 0
    while sent < len(body):
        if cut is not None and sent >= cut:
            handler.wfile.flush()
            handler.connection.close()
            handler.close_connection = True
            return
        piece = body[sent : sent + CHUNK]
        try:
            handler.wfile.write(piece)
        except OSError:
            return
        sent += len(piece)
        time.sleep(reply.pause_s)
