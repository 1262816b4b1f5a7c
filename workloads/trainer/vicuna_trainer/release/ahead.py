"""Reads ahead in a thread, so that storage, checksums and arithmetic work at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def ahead(source: Iterator[T], depth: int = 2) -> Iterator[T]:
    """What `source` yields, up to `depth` pieces of it early. What it raises comes out here."""
    pieces: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: tuple[bool, T | BaseException | None]) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                pieces.put(item, timeout=0.1)
                return

    def run() -> None:
        try:
            for piece in source:
                put((True, piece))
                if stopped.is_set():
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            more, piece = pieces.get()
            if more:
                yield piece  # type: ignore[misc]
            elif piece is None:
                return
            else:
                raise piece  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
