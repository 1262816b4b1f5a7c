"""The cores: as many processes as this container may use."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from vicuna_trainer.exits import ERROR, TrainingError

# Tasks that are handed out or waiting, for each process: enough to keep it busy, few enough for memory.
TASKS_AHEAD = 2


def usable_cores() -> int:
    """Cores of this process's affinity, and of its cgroup's limit where there is one."""
    cores = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, math.ceil(int(quota) / int(period))))
    return cores


class Pool:
    """Runs functions of modules in `workers` processes, each begun with `start(*arguments)`; with one, in this process."""

    def __init__(self, workers: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._ahead = 1
        self._executor: Executor
        if workers > 1:
            self._ahead = workers * TASKS_AHEAD
            # Not fork: the storage's client has threads.
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(workers, context, start, arguments)
        else:
            start(*arguments)
            self._executor = _Here()

    def run(self, function: Callable[..., Any], tasks: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """(task's first argument, result) of each task, as they end; takes a task when there is room for it."""
        running: dict[Future, int] = {}
        try:
            for task in tasks:
                running[self._executor.submit(function, *task)] = task[0]
                if len(running) >= self._ahead:
                    yield from _ended(running)
            while running:
                yield from _ended(running)
        except BrokenProcessPool:
            raise TrainingError(
                ERROR, "A process of the preparation was killed, most likely for memory: give the pod more, or fewer cores."
            ) from None

    def close(self) -> None:
        """Ends the processes; what they had begun is lost."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _ended(running: dict[Future, int]) -> Iterator[tuple[int, Any]]:
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future.result()


class _Here(Executor):
    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future
