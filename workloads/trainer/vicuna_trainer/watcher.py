"""Finds and commits the checkpoints of programs that do not know the session: directories named like checkpoint-120 or step_120."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from .exits import TrainingError
from .manifest import MANIFEST, commit_foreign

SCAN_SECONDS = 1.0
# A directory in which nothing has changed for so long is taken for finished.
QUIET_SECONDS = 3.0
_NAME = re.compile(r"(?:checkpoint|step)[-_](\d+)$")


class CheckpointWatcher:
    """Watches a directory in a thread of its own; `on_commit` is told each checkpoint as it is reported."""

    def __init__(self, directory: str, on_commit: Callable[[dict[str, Any]], None], log: Callable[[str], None]) -> None:
        self._directory = directory
        self._on_commit = on_commit
        self._log = log
        self._seen: dict[str, tuple[tuple[Any, ...], float]] = {}
        self.generation = 0
        self.is_active = False

    def start(self) -> None:
        """Begins to watch; commits only while `is_active`, in the name of `generation`."""
        threading.Thread(target=self._run, name="watcher", daemon=True).start()

    def scan(self, now: float) -> list[tuple[int, str]]:
        """(step, path) of the directories that have become quiet and have no manifest, lowest step first. `now` in seconds."""
        quiet = []
        for entry in _directories(self._directory):
            match = _NAME.match(entry.name)
            if match is None or os.path.exists(os.path.join(entry.path, MANIFEST)):
                continue
            state = _state_of(entry.path)
            known, since = self._seen.get(entry.path, ((), now))
            if state != known:
                self._seen[entry.path] = (state, now)
            elif state and now - since >= QUIET_SECONDS:
                quiet.append((int(match[1]), entry.path))
        return sorted(quiet)

    def _run(self) -> None:
        while True:
            time.sleep(SCAN_SECONDS)
            if not self.is_active:
                continue
            for step, path in self.scan(time.monotonic()):
                try:
                    self._on_commit(commit_foreign(path, step, self.generation, 0.0))
                except (OSError, TrainingError) as error:
                    self._log(f"{path} cannot be committed as a checkpoint: {error}")


def _directories(path: str) -> list[os.DirEntry[str]]:
    try:
        return [entry for entry in os.scandir(path) if entry.is_dir()]
    except OSError:
        return []


def _state_of(directory: str) -> tuple[Any, ...]:
    """What changes while somebody writes below the directory."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                status = os.stat(os.path.join(folder, name))
            except OSError:
                continue
            found.append((folder, name, status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))
