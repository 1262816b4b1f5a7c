"""The files of the sources, read once from beginning to end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vicuna_trainer.exits import BAD_INPUT, TrainingError
from vicuna_trainer.storage import Storage, open_storage, split_file

from .config import Source
from .records import Batch, batches

SUFFIXES = (".json", ".jsonl")


@dataclass(frozen=True)
class InputFile:
    """A file of a source; `name` is its path below the source's directory, `version` changes when the file does."""

    source: Source
    storage: Storage
    path: str
    name: str
    bytes: int
    version: str


@dataclass
class InputDigest:
    """What was found in a file; its records are counted by who parses them."""

    records: int = 0
    sha256: str = ""

    def value(self) -> dict[str, Any]:
        return {"records": self.records, "sha256": self.sha256}


def list_inputs(sources: tuple[Source, ...]) -> list[InputFile]:
    """All files, in the order of the sources, then of their names. Raises TrainingError (64, 66), OSError."""
    return [file for source in sources for file in _files(source)]


def read_batches(file: InputFile, digest: InputDigest) -> Iterator[Batch]:
    """The file's batches; `digest` is complete after the last. Raises OSError."""
    hashed = hashlib.sha256()
    with file.storage.open(file.path, "rb") as stream:

        def read(size: int) -> bytes:
            # Never less than asked for before the end, so that batches do not depend on how a storage answers.
            chunk = b""
            while len(chunk) < size and (more := stream.read(size - len(chunk))):
                chunk += more
            hashed.update(chunk)
            return chunk

        yield from batches(file.name, read)
        while read(1 << 20):
            pass  # what follows the records is white space, but counts in the hash
    digest.sha256 = hashed.hexdigest()


def _files(source: Source) -> list[InputFile]:
    parent, name = split_file(source.uri)
    storage = open_storage(parent)
    sizes = storage.sizes(name)
    if name.endswith(SUFFIXES):
        sizes = {path: size for path, size in sizes.items() if path == ""}
        names = {name: name} if sizes else {}
    else:
        names = {path: f"{name}/{path}" for path in sorted(sizes) if path.endswith(SUFFIXES)}
    if not names:
        raise TrainingError(
            BAD_INPUT, f"There are no conversations at {source.uri}: it must be a .json or .jsonl file, or a directory of such."
        )
    return [
        InputFile(source, storage, path, shown, sizes["" if shown == name else shown], storage.version(path))
        for shown, path in names.items()
    ]
