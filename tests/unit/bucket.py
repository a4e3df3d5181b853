"""A public bucket on the loopback address, which serves a folder and can misbehave."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 7  # keys


@dataclass
class Bucket:
    """What is served, how, and what was asked for.

    `cut` closes the connection after so many bytes of a key, as often as given; `slow` waits
    after each kilobyte; `mute` never answers a key; `lies` answers other bytes of equal length.
    """

    root: Path
    url: str = ""
    cut: dict[str, list[int]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)
    lies: set[str] = field(default_factory=set)
    ranges: bool = True
    kms: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    ranged: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in files)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url, bucket = urlsplit(self.path), self.bucket
        key = unquote(url.path).lstrip("/")
        if not key:
            return self._send(200, _listing(bucket, parse_qs(url.query)).encode())
        bucket.asked[key] += self.command == "GET"
        path = bucket.root / key
        if bucket.statuses.get(key):
            return self._send(bucket.statuses[key].pop(0), b"")
        if not path.is_file():
            return self._send(404, b"")
        data = path.read_bytes()
        if key in bucket.lies:
            data = bytes(255 - byte for byte in data[:8]) + data[8:]
        if key in bucket.mute:
            time.sleep(3)
            self.close_connection = True
            return None
        wanted = self.headers.get("Range")
        if not wanted or not bucket.ranges:
            return self._send(200, data, key=key)
        bucket.ranged.append(f"{key} {wanted}")
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            return self._send(416, b"")
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self._send(206, data[start:], {"Content-Range": span}, key)

    def _send(
        self, status: int, data: bytes, headers: dict[str, str] | None = None, key: str = ""
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        if self.bucket.kms:
            self.send_header("x-amz-server-side-encryption", "aws:kms")
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.bucket.cut.get(key):
            self.wfile.write(data[: self.bucket.cut[key].pop(0)])
            self.wfile.flush()
            self.close_connection = True
            return
        pause = self.bucket.slow.get(key)
        for start in range(0, len(data), 1000 if pause else max(1, len(data))):
            self.wfile.write(data[start : start + 1000] if pause else data)
            time.sleep(pause or 0)


def _listing(bucket: Bucket, query: dict[str, list[str]]) -> str:
    prefix, after = (query.get(name, [""])[0] for name in ("prefix", "continuation-token"))
    keys = [key for key in bucket.names() if key.startswith(prefix) and key > after]
    page = keys[:PAGE]
    parts = []
    for key in page:
        data = (bucket.root / key).read_bytes()
        etag = hashlib.md5(data).hexdigest()
        etag = f"{etag}-2" if key.endswith((".hdf5", ".mgh")) else etag  # uploaded in parts
        parts.append(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            f"<ETag>&quot;{etag}&quot;</ETag></Contents>"
        )
    more = len(keys) > PAGE
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(parts)}</ListBucketResult>"
    )


@contextmanager
def served(root: Path) -> Iterator[Bucket]:
    """Serve a folder until the block ends."""
    bucket = Bucket(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    server.daemon_threads = True
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
