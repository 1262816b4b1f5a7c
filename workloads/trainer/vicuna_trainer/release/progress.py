"""How far a command is: to a person on a terminal, to a log, to the operator."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from .task import TaskReporter

TERMINAL_SECONDS = 0.2
LOG_SECONDS = 10.0
BAR = 24
# The first moments say little about the rest.
SETTLED_SECONDS = 2.0


class Progress:
    """Bytes done of `total`; what an earlier run had done already says nothing about the speed of this one."""

    def __init__(
        self,
        stage: str,
        total: int,
        out: TextIO | None = sys.stderr,
        reporter: TaskReporter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage = stage
        self.total = total
        self._out = out
        self._reporter = reporter
        self._clock = clock
        self._started = self._shown = clock()
        self._kept = 0
        self.done = 0
        self._on_terminal = out is not None and out.isatty()

    def keep(self, count: int) -> None:
        """Counts what need not be done again."""
        self._kept += count
        self.add(count)

    def add(self, count: int) -> None:
        """Counts what was done, and shows it where it is time to."""
        self.done += count
        now = self._clock()
        if self._reporter is not None:
            self._reporter.report(self.stage, self.done, self.total, "bytes", self._left(now))
        if now - self._shown >= (TERMINAL_SECONDS if self._on_terminal else LOG_SECONDS):
            self._shown = now
            self._show(self._line(now), "\r")

    def say(self, sentence: str) -> None:
        """A sentence of its own line."""
        self._show(sentence, "\n")

    def end(self) -> None:
        """Shows the last state on a terminal, where a line may be half-way."""
        if self._on_terminal:
            self._show(self._line(self._clock()), "\n")

    def _left(self, now: float) -> float | None:
        seconds, done = now - self._started, self.done - self._kept
        return None if seconds < SETTLED_SECONDS or done <= 0 else (self.total - self.done) * seconds / done

    def _line(self, now: float) -> str:
        share = self.done / self.total if self.total else 1.0
        bar = ("█" * round(share * BAR)).ljust(BAR, "░")
        speed = (self.done - self._kept) / max(now - self._started, 1e-3)
        left = self._left(now)
        rest = "" if left is None or self.done >= self.total else f", {_duration(left)} left"
        return f"{self.stage} {bar} {share:4.0%}  {_size(self.done)} of {_size(self.total)}, {_size(speed)}/s{rest}"

    def _show(self, text: str, end: str) -> None:
        if self._out is None:
            return
        if self._on_terminal:
            self._out.write(f"\r\x1b[K{text}{'' if end == chr(13) else end}")
        else:
            self._out.write(f"{text}\n")
        self._out.flush()


def _size(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
