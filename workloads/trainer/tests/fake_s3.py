"""A small S3: objects in memory, multipart uploads, listings; and the ways in which a real one fails."""

from __future__ import annotations

import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class FakeS3:
    """`objects` by "bucket/key". `latency` in seconds before each answer; `dead` breaks connections; `full` refuses writes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.latency = 0.0
        self.dead = False
        self.full = False
        self.writes = 0
        self.dies_after_writes: int | None = None
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """What the pods get from the credentials' Secret."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def __enter__(self):
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def _handle(self):
                store._handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, handler):
        body = self._body(handler)
        is_write = handler.command in ("PUT", "POST")
        if is_write:
            self.writes += 1
            if self.dies_after_writes is not None and self.writes > self.dies_after_writes:
                self.dead = True
        if self.dead:
            handler.close_connection = True
            handler.connection.close()
            return
        time.sleep(self.latency)
        url = urlsplit(handler.path)
        name = unquote(url.path).lstrip("/")
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        if is_write and self.full and "delete" not in query:
            self._answer(handler, 507, b"<Error><Code>XMinioStorageFull</Code><Message>disk full</Message></Error>")
            return
        with self._lock:
            status, content, headers = getattr(self, f"_{handler.command.lower()}")(handler, name, query, body)
        self._answer(handler, status, content, headers)

    @staticmethod
    def _body(handler):
        if handler.headers.get("Transfer-Encoding") == "chunked":
            raise AssertionError("chunked uploads are not expected")
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if "aws-chunked" in handler.headers.get("Content-Encoding", ""):
            raise AssertionError("checksum trailers are not expected")
        return body

    def _answer(self, handler, status, content=b"", headers=None):
        handler.send_response(status)
        for key, value in (headers or {}).items():
            handler.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def _get(self, handler, name, query, body):
        bucket, _, key = name.partition("/")
        if not key:
            return self._list(bucket, query)
        if name not in self.objects:
            return 404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", {}
        content = self.objects[name]
        headers = {"ETag": f'"{hash(content) & 0xFFFFFFFF:x}"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        span = re.match(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        if span is None:
            return 200, content, headers
        first, last = int(span[1]), min(int(span[2] or len(content) - 1), len(content) - 1)
        part = content[first : last + 1]
        return 206, part, {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}

    def _head(self, handler, name, query, body):
        if "/" not in name:
            return 200, b"", {}
        if name not in self.objects:
            return 404, b"", {}
        content = self.objects[name]
        tag = f'"{hash(content) & 0xFFFFFFFF:x}"'
        return 200, b"", {"Content-Length": str(len(content)), "ETag": tag, "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}

    def _put(self, handler, name, query, body):
        if "uploadId" in query:
            self._uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.objects[name] = body
        return 200, b"", {"ETag": f'"{hash(body) & 0xFFFFFFFF:x}"'}

    def _post(self, handler, name, query, body):
        if "delete" in query:
            bucket = name.partition("/")[0]
            for key in re.findall(r"<Key>(.*?)</Key>", body.decode()):
                self.objects.pop(f"{bucket}/{key}", None)
            return 200, b"<DeleteResult/>", {}
        if "uploads" in query:
            upload = uuid.uuid4().hex
            self._uploads[upload] = {}
            xml = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return 200, xml.encode(), {}
        parts = self._uploads.pop(query["uploadId"])
        self.objects[name] = b"".join(parts[number] for number in sorted(parts))
        return 200, b'<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>', {}

    def _delete(self, handler, name, query, body):
        if "uploadId" in query:
            self._uploads.pop(query["uploadId"], None)
        else:
            self.objects.pop(name, None)
        return 204, b"", {}

    def _list(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        contents, groups = [], set()
        for name in sorted(self.objects):
            if not name.startswith(f"{bucket}/{prefix}"):
                continue
            key = name[len(bucket) + 1 :]
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                groups.add(prefix + rest.split(delimiter)[0] + delimiter)
                continue
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[name])}</Size>"
                f'<ETag>"x"</ETag><LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>'
            )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(group)}</Prefix></CommonPrefixes>" for group in sorted(groups))
        xml = (
            f"<ListBucketResult><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
            f"<KeyCount>{len(contents) + len(groups)}</KeyCount>{''.join(contents)}{common}</ListBucketResult>"
        )
        return 200, xml.encode(), {"Content-Type": "application/xml"}
