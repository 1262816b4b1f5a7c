"""How far the work is: a line for who watches, and reports to the operator, which never delay or fail it."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

REPORT_SECONDS = 5.0
REPORT_TIMEOUT_SECONDS = 2.0
LINE_SECONDS = 10.0
TERMINAL_SECONDS = 0.2


@dataclass(frozen=True)
class State:
    """`done` of `total` units (None: not known) of a stage; `etaSeconds` until its end, or None."""

    stage: str
    done: int
    total: int | None
    unit: str
    etaSeconds: int | None

    def line(self) -> str:
        """For a person."""
        of = "" if self.total is None else f" of {_amount(self.total, self.unit)}"
        share = f" ({100 * self.done / self.total:.0f} %)" if self.total else ""
        left = "" if self.etaSeconds is None or self.done == self.total else f", {_duration(self.etaSeconds)} left"
        return f"{self.stage}: {_amount(self.done, self.unit)}{of} {_unit(self.unit)}{share}{left}"


class Progress:
    """Keeps the state, prints it, and hands it to `on_state`. The time left is of the stage, from its own rate so far."""

    def __init__(self, on_state: Callable[[State], None] = lambda _: None, clock: Callable[[], float] = time.monotonic) -> None:
        self._on_state = on_state
        self._clock = clock
        self._stage = ""
        self._started = (0.0, 0)
        self._printed_at = float("-inf")
        self._is_terminal = sys.stderr.isatty()

    def update(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Sets where the work is. What is done at a stage's first call was done before."""
        now = self._clock()
        if stage != self._stage:
            self._stage, self._started, self._printed_at = stage, (now, done), float("-inf")
        eta = None
        since, before = self._started
        if total is not None and done > before:
            eta = round((total - done) * (now - since) / (done - before))
        state = State(stage, done, total, unit, eta)
        self._on_state(state)
        ended = done == total
        if ended and self._printed_at == float("inf"):
            return
        if ended or now - self._printed_at >= (TERMINAL_SECONDS if self._is_terminal else LINE_SECONDS):
            self._printed_at = float("inf") if ended else now
            end = "\n" if ended or not self._is_terminal else ""
            start = "\r\x1b[K" if self._is_terminal else ""
            print(f"{start}{state.line()}", end=end, file=sys.stderr, flush=True)


class Reporter:
    """Sends the newest state to the operator, at most every 5 s, from a thread of its own."""

    def __init__(self, url: str, token_file: str) -> None:
        self._url = url
        self._token_file = token_file
        self._changed = threading.Event()
        self._state: State | None = None
        self._failed = False
        threading.Thread(target=self._run, daemon=True).start()

    def __call__(self, state: State) -> None:
        """Replaces what is to be sent."""
        self._state = state
        self._changed.set()

    def _run(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            try:
                self._send(asdict(self._state) if self._state else {})
                self._failed = False
            except (OSError, ValueError) as error:
                if not self._failed:
                    print(f"The operator cannot be told of the progress ({error}); the work goes on.", file=sys.stderr)
                self._failed = True
            time.sleep(REPORT_SECONDS)

    def _send(self, report: dict[str, Any]) -> None:
        # Read anew each time: the kubelet replaces the token before it expires.
        with open(self._token_file, encoding="ascii") as file:
            headers = {"Authorization": f"Bearer {file.read().strip()}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url, json.dumps(report).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=REPORT_TIMEOUT_SECONDS):
            pass


def _amount(value: int, unit: str) -> str:
    return f"{value / 1e6:,.1f}" if unit == "bytes" else f"{value:,}"


def _unit(unit: str) -> str:
    return "MB" if unit == "bytes" else unit


def _duration(seconds: int) -> str:
    if seconds < 100:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
