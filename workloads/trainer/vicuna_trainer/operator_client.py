"""The two calls of the worker protocol, each on a connection of its own that is kept open."""

from __future__ import annotations

import http.client
import json
import random
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

# The operator answers a long poll after 30 s at the latest; what stays silent for longer is gone.
POLL_TIMEOUT_SECONDS = 40.0
REPORT_TIMEOUT_SECONDS = 5.0
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: `body` is the JSON object it carried, empty where it carried none."""

    status: int
    body: dict[str, Any]
    retry_after: float | None = None

    @property
    def code(self) -> str:
        """The protocol's own name of a refusal, or ''."""
        return str(self.body.get("code", ""))


class OperatorClient:
    """One caller of the operator, for one thread. Every call raises OSError when the operator cannot be reached."""

    def __init__(self, url: str, training: str, token_file: str) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._address = parts.netloc
        self._prefix = f"{parts.path.rstrip('/')}/v1/trainings/{training}"
        self._token_file = token_file
        self._connection: http.client.HTTPConnection | None = None

    def world(self, after: str | None) -> Answer:
        """Waits for a world other than `after`: 200 with it, 204 when there is none yet."""
        query = "" if after is None else f"?after={quote(after, safe='')}"
        return self._call("GET", f"/world{query}", None, POLL_TIMEOUT_SECONDS)

    def report(self, report: dict[str, Any]) -> Answer:
        """Tells the operator how this pod fares."""
        return self._call("POST", "/report", json.dumps(report, allow_nan=False).encode(), REPORT_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Drops the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        for is_last in (False, True):
            reused = self._connection is not None
            try:
                return self._exchange(method, path, body, timeout)
            except (http.client.HTTPException, OSError) as error:
                self.close()
                # A server may close an idle connection at any time: that says nothing of whether it can be reached.
                if is_last or not reused or isinstance(error, TimeoutError):
                    raise error if isinstance(error, OSError) else OSError(f"{type(error).__name__}: {error}") from error
        raise AssertionError("unreachable")

    def _exchange(self, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._address, timeout=timeout)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = {"Authorization": f"Bearer {self._token()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self._connection.request(method, self._prefix + path, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.will_close:
            self.close()
        return Answer(response.status, _json_object(text), _seconds(response.getheader("Retry-After")))

    def _token(self) -> str:
        # Read anew each time: the kubelet replaces the token before it expires.
        with open(self._token_file, encoding="ascii") as file:
            return file.read().strip()


def delay_after(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, jittered so that a gang does not return all at once."""
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(failures - 1, 8)) * random.uniform(0.5, 1.0)


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdigit() else None
