"""The supervisor's two lines to the operator, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .operator_client import OperatorClient, delay_after
from .world import World

REPORT_SECONDS = 2.0
# A training step may take milliseconds; what only moves a step or a loss can wait this long.
PROGRESS_SECONDS = 0.25


class Poller:
    """Asks for the world for ever and hands each new one on. Unreachable operator: goes on asking, training goes on."""

    def __init__(self, client: OperatorClient, on_world: Callable[[World], None], log: Callable[[str], None]) -> None:
        self._client = client
        self._on_world = on_world
        self._log = log
        self._after: str | None = None

    def start(self) -> None:
        """Begins to ask."""
        threading.Thread(target=self._run, name="poller", daemon=True).start()

    def _run(self) -> None:
        failures = 0
        while True:
            trouble, pause = self._ask()
            failures = failures + 1 if trouble else 0
            if trouble:
                if failures in (1, 10) or failures % 100 == 0:
                    self._log(f"The operator gives no world ({trouble}); asking again.")
                time.sleep(pause if pause is not None else delay_after(failures))

    def _ask(self) -> tuple[str | None, float | None]:
        try:
            answer = self._client.world(self._after)
        except OSError as error:
            return str(error), None
        if answer.status == 204:
            return None, None
        if answer.status != 200:
            return f"{answer.status} {answer.body.get('message', '')}", answer.retry_after
        try:
            world = World.parse(answer.body)
        except (KeyError, TypeError, ValueError) as error:
            return f"its answer is not a world: {error!r}", None
        self._after = world.revision
        self._on_world(world)
        return None, None


class Reporter:
    """Sends the newest report every 2 s, and at once when it matters."""

    def __init__(
        self,
        client: OperatorClient,
        on_answer: Callable[[dict[str, Any], int, str, str], None],
        log: Callable[[str], None],
    ) -> None:
        self._client = client
        self._on_answer = on_answer
        self._log = log
        self._changed = threading.Condition()
        self._report: dict[str, Any] | None = None
        self._version = 0
        self._urgent = False

    def start(self) -> None:
        """Begins to send."""
        threading.Thread(target=self._run, name="reporter", daemon=True).start()

    def update(self, report: dict[str, Any], urgent: bool) -> None:
        """Replaces the report; `urgent` sends it now."""
        with self._changed:
            self._report = report
            self._version += 1
            self._urgent = self._urgent or urgent
            self._changed.notify()

    def _run(self) -> None:
        failures = 0
        sent_version = 0
        sent_at = 0.0
        while True:
            with self._changed:
                while True:
                    fresh = self._version != sent_version
                    wait = sent_at + (PROGRESS_SECONDS if fresh else REPORT_SECONDS) - time.monotonic()
                    if self._report is not None and (self._urgent or wait <= 0):
                        break
                    self._changed.wait(max(wait, 0.01) if self._report is not None else None)
                report, sent_version, self._urgent = self._report, self._version, False
            sent_at = time.monotonic()
            try:
                answer = self._client.report(report)
            except OSError as error:
                failures += 1
                if failures == 1 or failures % 100 == 0:
                    self._log(f"The operator cannot be told how training fares ({error}); training goes on.")
                self._back_off(delay_after(failures))
                continue
            if answer.status in (429, 503):
                failures += 1
                self._back_off(answer.retry_after or delay_after(failures))
                continue
            failures = 0
            self._on_answer(report, answer.status, answer.code, str(answer.body.get("message", "")))

    def _back_off(self, seconds: float) -> None:
        time.sleep(seconds)
        with self._changed:
            self._urgent = True  # what was not delivered still matters
