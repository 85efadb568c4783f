"""A server on this machine that hands out one file, or several, with ranges, and counts what it sends; it can misbehave."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class LocalServer:
    """What the server hands out, how it misbehaves, and what it has sent so far."""

    content: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    """For each coming answer: after how many bytes the connection breaks; empty: never."""
    statuses: list[int] = field(default_factory=list)
    """Refusals with which the coming requests are answered."""
    address: str = ""
    sent: list[int] = field(default_factory=list)
    """Bytes sent in each answer."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Further files, by their paths, ``/folder/name``."""

    def file(self, path: str) -> bytes | None:
        """What is handed out at a path."""
        return self.content if path == "/scan.zip" else self.files.get(path)

    @property
    def url(self) -> str:
        return f"{self.address}/scan.zip"


def _handler(server: LocalServer):

    class Handler(BaseHTTPRequestHandler):

        def do_GET(self):
            if server.statuses:
                self.send_error(server.statuses.pop(0))
                return
            content = server.file(self.path)
            if content is None:
                self.send_error(404)
                return
            start = self.start_of_range()
            if start is not None and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            body = content[start or 0:]
            self.send_response(200 if start is None else 206)
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.etag:
                self.send_header("ETag", server.etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            body = body[:server.cut_after.pop(0)] if server.cut_after else body
            server.sent.append(len(body))  # before the last byte goes out: the client may look at it right then
            self.wfile.write(body)

        def start_of_range(self) -> int | None:
            wanted = self.headers.get("Range")
            if not server.ranges or wanted is None or self.headers.get("If-Range", server.etag) != server.etag:
                return None
            return int(wanted.removeprefix("bytes=").removesuffix("-"))

        def log_message(self, *args):
            pass

    return Handler


@contextmanager
def serve(content: bytes, **behaviour):
    """Serve some bytes at ``server.url`` until the block ends."""
    server = LocalServer(content, **behaviour)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
