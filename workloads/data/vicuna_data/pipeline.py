"""The whole preparation: clean all records, find the duplicates among them, split and write the rest, tell what was done.

The output depends on the configuration and the inputs alone, not on the number of cores nor on how often the work was interrupted:
records are cut into parts by their content, each part is cleaned and later written by itself, and only the step between sees all.

    OUTPUT/train/part-*.jsonl            what VicunaTraining reads
    OUTPUT/validation/part-*.jsonl
    OUTPUT/parquet/{train,validation}/   the same
    OUTPUT/rejected/part-*.jsonl         every record that was set aside, with its reason
    OUTPUT/card.md, card.json            written last: where they are, the work is done
    OUTPUT/work/KEY/                     parts in progress, gone at the end
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from vicuna_trainer.exits import BAD_CONFIGURATION, BAD_INPUT, TrainingError
from vicuna_trainer.storage import Storage, open_storage

from .card import CARD, CARD_TEXT, VERSION, card_text, make_card
from .config import Config
from .duplicates import REASONS, Verdicts, find_duplicates, row_type, validation_limit
from .identity import identity_conversations
from .inputs import InputDigest, InputFile, list_inputs, read_batches
from .parts import Decisions, Place, Worker, clean_name, clean_part, rows_name, split_name, split_part, start
from .pool import Pool
from .progress import Progress
from .tokens import TokenizerText

WORK = "work"
DIRECTORIES = ("train", "validation", "parquet", "rejected")
_INPUTS = "inputs.json"


def prepare(config: Config, tokenizer: TokenizerText, workers: int, progress: Progress) -> dict[str, Any]:
    """Does all that is not done yet and returns the result (see `config`). Raises TrainingError, OSError."""
    files = list_inputs(config.sources)
    output = open_storage(config.output)
    key = _key(config, tokenizer, files)
    finished = _begin(output, key)
    if finished is not None:
        return finished["result"]
    place = Place(config.output, f"{WORK}/{key}")
    pool = Pool(workers, start, (config, tokenizer, place))
    try:
        run = _Run(config, tokenizer, files, output, place, pool, progress)
        return run.all(key)
    finally:
        pool.close()


def _key(config: Config, tokenizer: TokenizerText, files: list[InputFile]) -> str:
    """Tells preparations apart that would not write the same."""
    inputs = [[file.source.uri, file.name, file.version] for file in files]
    text = json.dumps(
        [VERSION, config.settings(), inputs, tokenizer.definition, tokenizer.begins, tokenizer.anchor], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _begin(output: Storage, key: str) -> dict[str, Any] | None:
    """The card if this very preparation is finished already; otherwise makes room for it.

    Raises TrainingError (64) where there are files that no preparation left.
    """
    names = set(output.children(""))
    if CARD in names:
        card = json.loads(output.read(CARD))
        if card.get("key") == key:
            output.delete(WORK)
            return card
        print(f"{output.uri} has the result of another preparation, which this one replaces.", file=sys.stderr)
        output.delete(CARD)
        output.delete(CARD_TEXT)
    elif WORK not in names and (found := names.intersection(DIRECTORIES)):
        raise TrainingError(
            BAD_CONFIGURATION,
            f"{output.uri} has a directory {min(found)} that no preparation made: give an output of its own, or remove it.",
        )
    for other in output.children(WORK):
        if other != key:
            output.delete(f"{WORK}/{other}")
    return None


@dataclass(frozen=True)
class _Part:
    """A cleaned part: its rows are `first` and those after it."""

    first: int
    rows: int


class _Run:
    def __init__(
        self,
        config: Config,
        tokenizer: TokenizerText,
        files: list[InputFile],
        output: Storage,
        place: Place,
        pool: Pool,
        progress: Progress,
    ) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._files = files
        self._output = output
        self._place = place
        self._pool = pool
        self._progress = progress
        self._finished = set(output.children(place.work))

    def all(self, key: str) -> dict[str, Any]:
        digests, parts = self._clean()
        scratch = Path(tempfile.mkdtemp(prefix="vicuna-data-"))
        try:
            rows = self._rows(parts, scratch)
            verdicts = self._duplicates(rows, scratch)
            written = self._split(parts, rows, verdicts)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return self._finish(key, digests, written)

    def _clean(self) -> tuple[list[InputDigest], list[_Part]]:
        done: dict[int, dict[str, Any]] = {}
        if _INPUTS in self._finished:
            known = json.loads(self._output.read(f"{self._place.work}/{_INPUTS}"))
            digests = [InputDigest(**digest) for digest in known["digests"]]
            counts = known["rows"]
        else:
            digests = [InputDigest() for _ in self._files]
            sizes: dict[int, int] = {}
            total = sum(file.bytes for file in self._files)
            bytes_done = 0
            for part, result in self._pool.run(clean_part, self._batches(digests, sizes, done)):
                done[part] = result
                bytes_done += sizes.pop(part)
                self._progress.update("clean", bytes_done, total, "bytes")
            counts = [done[part]["rows"] for part in range(len(done))]
            for result in done.values():
                digests[result["file"]].records += result["records"]
            known = {"digests": [digest.value() for digest in digests], "rows": counts}
            self._output.write(f"{self._place.work}/{_INPUTS}", json.dumps(known).encode())
        firsts = np.cumsum([0, *counts]).tolist()
        return digests, [_Part(first, count) for first, count in zip(firsts, counts, strict=False)]

    def _batches(
        self, digests: list[InputDigest], sizes: dict[int, int], done: dict[int, dict[str, Any]]
    ) -> Iterator[tuple[Any, ...]]:
        """The tasks of `clean_part`; parts that are finished go to `done` instead."""
        part = 0
        for number, file in enumerate(self._files):
            before = 0
            for batch in read_batches(file, digests[number]):
                if clean_name(part) in self._finished:
                    done[part] = json.loads(self._output.read(f"{self._place.work}/{clean_name(part)}"))
                else:
                    sizes[part] = batch.ends_at - before
                    yield part, number, file.source.format, batch
                before = batch.ends_at
                part += 1

    def _rows(self, parts: list[_Part], scratch: Path) -> np.ndarray:
        """The rows of all parts, in a file of the local disk."""
        count = sum(part.rows for part in parts)
        kind = row_type(self._near is not None)
        if count == 0:
            return np.zeros(0, dtype=kind)
        rows = np.memmap(scratch / "rows", dtype=kind, mode="w+", shape=(count,))
        for number, part in enumerate(parts):
            with self._output.open(f"{self._place.work}/{rows_name(number)}", "rb") as file:
                rows[part.first : part.first + part.rows] = np.lib.format.read_array(file, allow_pickle=False)
        return rows

    @property
    def _near(self) -> float | None:
        rules = self._config.clean
        return rules.near_duplicates if rules.enabled("nearDuplicates") else None

    def _duplicates(self, rows: np.ndarray, scratch: Path) -> Verdicts:
        rules = {rule for rule in REASONS.values() if self._config.clean.enabled(rule)}

        def on_step(done: int, total: int) -> None:
            self._progress.update("duplicates", done, total, "steps")

        return find_duplicates(rows, rules, self._near, scratch, on_step)

    def _split(self, parts: list[_Part], rows: np.ndarray, verdicts: Verdicts) -> list[dict[str, Any]]:
        limit = validation_limit(rows, verdicts, self._config.validation_fraction)
        written: dict[int, dict[str, Any]] = {}
        total = len(rows)
        conversations_done = 0

        def tasks() -> Iterator[tuple[Any, ...]]:
            nonlocal conversations_done
            for number, part in enumerate(parts):
                if split_name(number) in self._finished:
                    written[number] = json.loads(self._output.read(f"{self._place.work}/{split_name(number)}"))
                    conversations_done += part.rows
                else:
                    yield number, self._decisions(part, rows, verdicts, limit)

        for number, result in self._pool.run(split_part, tasks()):
            written[number] = result
            conversations_done += parts[number].rows
            self._progress.update("split", conversations_done, total, "conversations")
        return [written[number] for number in range(len(parts))]

    def _decisions(self, part: _Part, rows: np.ndarray, verdicts: Verdicts, limit: int) -> Decisions:
        span = slice(part.first, part.first + part.rows)
        repeats = {}
        for local in np.flatnonzero(verdicts.repeats[span] >= 0).tolist():
            earlier = rows[int(verdicts.repeats[part.first + local])]
            repeats[local] = (self._files[int(earlier["file"])].name, int(earlier["record"]))
        validation = (rows["place"][span] < np.uint64(limit)).astype(np.uint8)
        return Decisions(np.asarray(verdicts.reason[span]).tobytes(), validation.tobytes(), repeats)

    def _finish(self, key: str, digests: list[InputDigest], written: list[dict[str, Any]]) -> dict[str, Any]:
        read = sum(digest.records for digest in digests)
        if not any(part["train"]["conversations"] for part in written):
            reasons = sum((Tally(part["rejected"]) for part in written), Tally())
            most = ", ".join(f"{count} for {name}" for name, count in reasons.most_common(3))
            raise TrainingError(
                BAD_INPUT,
                f"Of {read} records in {self._config.sources[0].uri} none is left ({most or 'there are none'}): "
                f"see {self._output.path_uri('rejected')} and correct sources or clean.",
            )
        identity = None
        if self._config.identity is not None:
            worker = Worker(self._config, self._tokenizer, self._place)
            identity = worker.write_identity(identity_conversations(self._config.identity))
        card = make_card(key, self._config, self._tokenizer, self._files, digests, written, identity)
        self._sweep({file["path"] for file in card["files"]})
        self._output.write(CARD_TEXT, card_text(card).encode())
        self._output.write(CARD, json.dumps(card, indent=1, ensure_ascii=False).encode())
        self._output.delete(WORK)
        return card["result"]

    def _sweep(self, ours: set[str]) -> None:
        """Deletes what other preparations, or one that was killed, left among our files."""
        for directory in DIRECTORIES:
            for path in self._output.sizes(directory):
                if f"{directory}/{path}" not in ours:
                    self._output.delete(f"{directory}/{path}")
