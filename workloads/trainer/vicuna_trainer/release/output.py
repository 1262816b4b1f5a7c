"""A directory that is being filled: each file is either finished, with a record of what is in it, or made anew."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from ..storage import Directory, Storage

# Records of finished files; gone once the directory is complete.
RECORDS = ".unfinished"
_LOCK = ".lock"


class Output:
    """`key` says from what the files are made: files made from something else do not count as finished."""

    def __init__(self, storage: Storage, key: str) -> None:
        self.storage = storage
        self._key = key

    def finished(self, name: str) -> dict[str, Any] | None:
        """The record of a file that an earlier run has finished, or None. Raises OSError."""
        try:
            record = json.loads(self.storage.read(f"{RECORDS}/{name}.json"))
            is_whole = record["key"] == self._key and self.storage.sizes(name).get("") == record["bytes"]
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None
        return record if is_whole else None

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[HashingFile]:
        """A file to write; it is there under its name once all has been written without an error."""
        if not isinstance(self.storage, Directory):
            with HashingFile(self.storage, name) as file:
                yield file
            return
        part = f"{name}.part"
        with HashingFile(self.storage, part) as file:
            yield file
        os.replace(self.storage.local(part), self.storage.local(name))

    def finish(self, name: str, record: dict[str, Any]) -> dict[str, Any]:
        """Notes that a file is finished; the record as it is kept."""
        whole = {**record, "key": self._key}
        self.storage.write(f"{RECORDS}/{name}.json", json.dumps(whole).encode())
        return whole

    def complete(self) -> None:
        """Forgets the records."""
        self.storage.delete(RECORDS)


class HashingFile:
    """Write-only; knows `bytes` and `sha256` of what was written. An object that is not closed in peace never comes to be."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._file = storage.open(name, "wb")
        self._syncs = isinstance(storage, Directory)
        self._uri = storage.path_uri(name)
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, data: Any) -> None:
        """Raises OSError."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.bytes += len(view)
        self._translated(lambda: self._file.write(view))

    @property
    def sha256(self) -> str:
        """Of all that was written, in hexadecimal digits."""
        return self._hash.hexdigest()

    def __enter__(self) -> HashingFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is not None:
            with contextlib.suppress(Exception):
                discard = getattr(self._file, "discard", None)
                if discard is None:
                    self._file.close()
                else:
                    discard()
                    self._file.closed = True  # or its end would send what there is
            return
        if self._syncs:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._translated(self._file.close)

    def _translated(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except OSError:
            raise
        except Exception as error:  # object stores' clients have exceptions of their own
            raise OSError(f"{self._uri}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def alone(storage: Storage, waits: Callable[[], None]) -> Iterator[None]:
    """Keeps others on this machine out of a local directory; calls `waits` where another one is at it."""
    if not isinstance(storage, Directory):
        yield
        return
    os.makedirs(storage.root, exist_ok=True)
    with open(storage.local(_LOCK), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def key_of(parts: dict[str, Any]) -> str:
    """One string for what something is made from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
