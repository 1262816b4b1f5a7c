"""The work on one batch of records, done by any process: first cleaning, then, once duplicates are known, splitting and writing.

Each step ends by writing a small file that says so; what lacks it is done again, and gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from vicuna_trainer.storage import Storage, open_storage

from .clean import Conversation, Rejected, clean, parse
from .config import Config
from .duplicates import KEPT, REASONS, hash64, row_type
from .minhash import signature
from .records import Batch
from .split import Piece, split
from .tokens import Counter, TokenizerText

SETS = ("train", "validation")

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("model", pa.string()),
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
        ("tokens", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Place:
    """Where the work goes: the output's URI, the directory of intermediate files below it."""

    output: str
    work: str


@dataclass(frozen=True)
class Decisions:
    """What was decided on the conversations of a part, one entry each: why it goes, whether it is for validation; and, by its
    number, which record (file, number) a duplicate repeats."""

    reasons: bytes
    validation: bytes
    repeats: dict[int, tuple[str, int]]


def clean_name(part: int) -> str:
    """The file whose presence says that a part is cleaned."""
    return f"clean-{part:06}.json"


def split_name(part: int) -> str:
    """The file whose presence says that a part is split and written."""
    return f"split-{part:06}.json"


def conversations_name(part: int) -> str:
    """The cleaned conversations of a part, and its rejected records, in the records' order."""
    return f"clean-{part:06}.jsonl.zst"


def rows_name(part: int) -> str:
    """The rows for `duplicates` of a part's cleaned conversations."""
    return f"rows-{part:06}.npy"


class Worker:
    """One process's tools: configuration, tokenizer, storage."""

    def __init__(self, config: Config, tokenizer: TokenizerText, place: Place) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._counter: Counter | None = None
        self._place = place
        self._output = open_storage(place.output)

    @property
    def _tokens(self) -> Counter:
        if self._counter is None:
            self._counter = self._tokenizer.open()
        return self._counter

    def clean(self, part: int, file: int, source_format: str, batch: Batch) -> dict[str, Any]:
        """Cleans a batch of file number `file`. Returns what it wrote last. Raises OSError."""
        near = self._config.clean.near_duplicates is not None and self._config.clean.enabled("nearDuplicates")
        rows: list[tuple] = []
        lines = []
        stem = batch.file.rpartition(".")[0]
        found = [
            (number, f"{stem}-{number}" + (f".{at}" if at else ""), value, original)
            for number, record in enumerate(batch.records, batch.first)
            for at, (value, original) in enumerate(parse(record))
        ]
        for number, fallback_id, value, original in found:
            cleaned = value if isinstance(value, Rejected) else clean(value, fallback_id, source_format, self._config)
            if isinstance(cleaned, Rejected):
                lines.append(_rejected(batch.file, number, cleaned, original))
                continue
            about = {"file": batch.file, "record": number, "edits": sorted(cleaned.edits), "language": cleaned.language}
            lines.append({**about, "kept": cleaned.value()})
            identity = hash64(cleaned.id) if cleaned.given_id else 0
            place = hash64(str(self._config.seed), cleaned.id, "" if cleaned.given_id else str(file))
            last = (signature(cleaned.messages),) if near else ()
            rows.append((file, number, identity, hash64(*cleaned.messages[:2]), place, *last))
        content = io.BytesIO()
        np.save(content, np.array(rows, dtype=row_type(near)), allow_pickle=False)
        self._write(conversations_name(part), _compressed(lines))
        self._write(rows_name(part), content.getvalue())
        done = {"file": file, "records": len(found), "rows": len(rows)}
        self._write(clean_name(part), json.dumps(done).encode())
        return done

    def split(self, part: int, decisions: Decisions) -> dict[str, Any]:
        """Writes a part's share of the output. Returns what it wrote last. Raises OSError."""
        writer = _PartWriter(self._output, f"part-{part:06}")
        tally = _Tally()
        row = 0
        for line in _uncompressed(self._output.read(f"{self._place.work}/{conversations_name(part)}")):
            if "kept" not in line:
                writer.reject(line)
                tally.rejected[line["reason"]] += 1
                continue
            conversation = Conversation.from_value(line["kept"])
            reason = decisions.reasons[row]
            pieces, rounds = split(conversation, self._config.split, self._tokens) if reason == KEPT else ([], Tally())
            if pieces:
                name = SETS[decisions.validation[row]]
                writer.add(name, pieces)
                tally.keep(name, pieces, line)
                tally.edited.update(rounds)
            else:
                file, record = decisions.repeats.get(row, (None, None))
                detail = f"record {record} of {file}" if file is not None else "no round fits into split.maxTokens"
                rejected = Rejected(REASONS.get(reason, "longRound"), detail)
                value = {"id": conversation.id, "conversations": _messages(conversation.system, conversation.messages)}
                writer.reject(_rejected(line["file"], line["record"], rejected, value))
                tally.rejected[rejected.reason] += 1
            row += 1
        done = {**tally.value(), "files": writer.close()}
        self._write(split_name(part), json.dumps(done).encode())
        return done

    def write_identity(self, conversations: list[Conversation]) -> dict[str, Any]:
        """Writes the identity conversations, all for training; tells as `split` does."""
        writer = _PartWriter(self._output, "part-identity")
        tally = _Tally()
        for conversation in conversations:
            pieces, _ = split(conversation, self._config.split, self._tokens)
            writer.add("train", pieces)
            tally.keep("train", pieces, {"edits": [], "language": None})
        return {**tally.value(), "files": writer.close()}

    def _write(self, name: str, content: bytes) -> None:
        self._output.write(f"{self._place.work}/{name}", content)


class _Tally:
    def __init__(self) -> None:
        self._sets = {name: Tally({"conversations": 0, "pieces": 0, "tokens": 0}) for name in SETS}
        self.rejected: Tally[str] = Tally()
        self.edited: Tally[str] = Tally()
        self._languages: Tally[str] = Tally()

    def keep(self, name: str, pieces: list[Piece], line: dict[str, Any]) -> None:
        self._sets[name].update(conversations=1, pieces=len(pieces), tokens=sum(piece.tokens for piece in pieces))
        self.edited.update(line["edits"])
        if line["language"] is not None:
            self._languages[line["language"]] += 1

    def value(self) -> dict[str, Any]:
        return {**self._sets, "rejected": self.rejected, "edited": self.edited, "languages": self._languages}


class _PartWriter:
    def __init__(self, output: Storage, name: str) -> None:
        self._output = output
        self._name = name
        self._pieces: dict[str, list[dict[str, Any]]] = {name: [] for name in SETS}
        self._rejected: list[dict[str, Any]] = []

    def add(self, name: str, pieces: list[Piece]) -> None:
        for piece in pieces:
            messages = _messages(piece.system, piece.messages)
            self._pieces[name].append({"id": piece.id, "model": piece.model, "conversations": messages, "tokens": piece.tokens})

    def reject(self, line: dict[str, Any]) -> None:
        self._rejected.append(line)

    def close(self) -> list[dict[str, Any]]:
        """Writes what there is: [{path, bytes, sha256}]."""
        files = {}
        for name, pieces in self._pieces.items():
            if not pieces:
                continue
            files[f"{name}/{self._name}.jsonl"] = _lines([{k: v for k, v in piece.items() if v is not None} for piece in pieces])
            table = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(pieces, schema=_SCHEMA), table, compression="zstd")
            files[f"parquet/{name}/{self._name}.parquet"] = table.getvalue()
        if self._rejected:
            files[f"rejected/{self._name}.jsonl"] = _lines(self._rejected)
        for path, content in files.items():
            self._output.write(path, content)
        return [
            {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for path, content in files.items()
        ]


def _messages(system: str | None, messages: Sequence[str]) -> list[dict[str, str]]:
    """In ShareGPT form."""
    opening = [] if system is None else [{"from": "system", "value": system}]
    return opening + [{"from": ("human", "gpt")[at % 2], "value": text} for at, text in enumerate(messages)]


def _rejected(file: str, number: int, why: Rejected, value: Any) -> dict[str, Any]:
    deeper = value
    for _ in range(50):
        deeper = [deeper]
    try:
        json.dumps(deeper)
    except RecursionError:  # what JSON's reader just took is too deep for its writer, some levels further out
        value = "(nested too deeply to be written again)"
    line = {"file": file, "record": number, "reason": why.reason, "detail": why.detail, "value": value}
    return {name: found for name, found in line.items() if found not in (None, "")}


def _lines(values: list[dict[str, Any]]) -> bytes:
    # Half a surrogate pair, which UTF-8 does not have, stays JSON's escape.
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    return text.encode("utf-8", "backslashreplace")


def _compressed(values: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(_lines(values))
    return sink.getvalue().to_pybytes()


def _uncompressed(content: bytes) -> Iterator[dict[str, Any]]:
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        for line in stream.read().splitlines():
            yield json.loads(line)


_worker: Worker | None = None


def start(config: Config, tokenizer: TokenizerText, place: Place) -> None:
    """Makes this process a worker, which ends with the process that started it, however that one ends."""
    global _worker
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is a process for each core already
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
    _worker = Worker(config, tokenizer, place)


def clean_part(*arguments: Any) -> dict[str, Any]:
    """`Worker.clean` of this process's worker."""
    assert _worker is not None
    return _worker.clean(*arguments)


def split_part(*arguments: Any) -> dict[str, Any]:
    """`Worker.split` of this process's worker."""
    assert _worker is not None
    return _worker.split(*arguments)
