"""Which conversations repeat an earlier one, in memory that does not grow with their number.

Every conversation has a row of fixed size in a file on the local disk. Rows with the same key are found by sorting the keys, a part
of them at a time, so that only that part is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .minhash import PERMUTATIONS, band_keys, band_shape

# Rows whose keys are sorted at once: about 100 MB.
ROWS_AT_ONCE = 2_000_000
# Rows that are read at once.
_CHUNK = 50_000
# Of the rows with the same band, each is compared with this many at most: a phrase that everybody uses must not take for ever.
_COMPARED = 32

KEPT, DUPLICATE_ID, DUPLICATE_START, NEAR_DUPLICATE = range(4)
REASONS = {DUPLICATE_ID: "duplicateId", DUPLICATE_START: "duplicateStart", NEAR_DUPLICATE: "nearDuplicates"}


def row_type(near: bool) -> np.dtype:
    """A conversation's row: file and number of its record, hashes of its id (0: it had none), its first round and its place in the
    split, and, where near duplicates are looked for, its signature."""
    fields: list[tuple] = [("file", "<u4"), ("record", "<u8"), ("id", "<u8"), ("start", "<u8"), ("place", "<u8")]
    return np.dtype([*fields, ("signature", "<u2", (PERMUTATIONS,))] if near else fields)


def hash64(*texts: str) -> int:
    """A number below 2^64 that tells texts apart, never 0."""
    digest = blake2b(digest_size=8)
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "little") or 1


@dataclass
class Verdicts:
    """For each row why it goes (KEPT: it stays), and the row that it repeats (-1)."""

    reason: np.ndarray
    repeats: np.ndarray


def find_duplicates(
    rows: np.ndarray, rules: set[str], threshold: float | None, scratch: Path, on_step: Callable[[int, int], None]
) -> Verdicts:
    """Decides on all rows; `on_step(done, total)` is called after each step.

    `rules`: which of duplicateId and duplicateStart apply; `threshold`: least similarity of near duplicates, or None. Of those that
    are the same, the first stays; a near duplicate repeats one that stays.
    """
    count = len(rows)
    verdicts = Verdicts(_array(scratch / "reason", np.uint8, count), _array(scratch / "repeats", np.int64, count))
    verdicts.repeats[:] = -1
    bands, width = band_shape(threshold) if threshold is not None else (0, 0)
    steps = 2 + bands
    if "duplicateId" in rules:
        _exact(rows, "id", DUPLICATE_ID, verdicts)
    on_step(1, steps)
    if "duplicateStart" in rules:
        _exact(rows, "start", DUPLICATE_START, verdicts)
    on_step(2, steps)
    if threshold is not None:
        with open(scratch / "pairs", "wb") as pairs:
            for band in range(bands):
                _similar(rows, band, width, threshold, verdicts, pairs)
                on_step(3 + band, steps)
        _resolve(scratch / "pairs", count, verdicts)
    return verdicts


def validation_limit(rows: np.ndarray, verdicts: Verdicts, fraction: float) -> int:
    """The place below which a kept row is for validation: the nearest number of rows to `fraction`, and at least one if any."""
    bins = np.zeros(1 << 16, dtype=np.int64)
    for start, chunk in _chunks(rows):
        kept = verdicts.reason[start : start + len(chunk)] == KEPT
        bins += np.bincount((chunk["place"][kept] >> np.uint64(48)).astype(np.int64), minlength=1 << 16)
    total = int(bins.sum())
    wanted = min(total - 1, max(1, round(fraction * total))) if fraction > 0 else 0
    if wanted <= 0:
        return 0
    reached = np.cumsum(bins)
    chosen = int(np.searchsorted(reached, wanted))
    places = []
    for start, chunk in _chunks(rows):
        kept = verdicts.reason[start : start + len(chunk)] == KEPT
        found = chunk["place"][kept]
        places.append(found[(found >> np.uint64(48)) == chosen])
    inside = np.sort(np.concatenate(places))
    return int(inside[wanted - 1 - (int(reached[chosen - 1]) if chosen else 0)]) + 1


def _exact(rows: np.ndarray, name: str, reason: int, verdicts: Verdicts) -> None:
    for keys, numbers in _sorted_parts(rows, lambda chunk: chunk[name], verdicts):
        first = np.concatenate([[True], keys[1:] != keys[:-1]])
        first_of = numbers[np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))]
        repeated = ~first & (keys != 0)
        verdicts.reason[numbers[repeated]] = reason
        verdicts.repeats[numbers[repeated]] = first_of[repeated]


def _similar(rows: np.ndarray, band: int, width: int, threshold: float, verdicts: Verdicts, pairs: BinaryIO) -> None:
    """Appends (later row, earlier row) of all pairs with this band in common that are similar enough."""
    for keys, numbers in _sorted_parts(rows, lambda chunk: band_keys(chunk["signature"], band, width), verdicts):
        same = np.flatnonzero(keys[1:] == keys[:-1])
        done = 0
        for start in same.tolist():
            if start < done:
                continue
            end = start + 2
            while end < len(keys) and keys[end] == keys[start]:
                end += 1
            done = end
            found = _pairs(rows, numbers[start:end], threshold)
            if found:
                pairs.write(np.array(found, dtype=np.int64).tobytes())


def _pairs(rows: np.ndarray, group: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    signatures = rows["signature"][group]
    found: list[tuple[int, int]] = []
    distinct = [0]
    for place in range(1, len(group)):
        equal = (signatures[distinct] == signatures[place]).mean(axis=1) >= threshold
        if equal.any():
            found += [(int(group[place]), int(group[distinct[other]])) for other in np.flatnonzero(equal)]
        elif len(distinct) < _COMPARED:
            distinct.append(place)
    return found


def _resolve(path: Path, count: int, verdicts: Verdicts) -> None:
    """A row goes when a row before it that stays is similar: in the rows' order, a part of the rows at a time."""
    if path.stat().st_size == 0:
        return
    pairs = np.memmap(path, dtype=np.int64, mode="r").reshape(-1, 2)
    for first in range(0, count, ROWS_AT_ONCE):
        own = [part[(part[:, 0] >= first) & (part[:, 0] < first + ROWS_AT_ONCE)] for _, part in _chunks(pairs)]
        ordered = np.unique(np.concatenate(own), axis=0)
        for later, earlier in ordered.tolist():
            if verdicts.reason[later] == KEPT and verdicts.reason[earlier] == KEPT:
                verdicts.reason[later] = NEAR_DUPLICATE
                verdicts.repeats[later] = earlier


def _sorted_parts(
    rows: np.ndarray, key_of: Callable[[np.ndarray], np.ndarray], verdicts: Verdicts
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(keys, row numbers) of the kept rows by key, then number; rows with the same key come in the same part."""
    parts = np.uint64(-(-len(rows) // ROWS_AT_ONCE))
    for part in range(int(parts)):
        keys, numbers = [], []
        for start, chunk in _chunks(rows):
            found = key_of(chunk)
            own = (found % parts == np.uint64(part)) & (verdicts.reason[start : start + len(chunk)] == KEPT)
            keys.append(found[own])
            numbers.append(np.flatnonzero(own) + start)
        all_keys, all_numbers = np.concatenate(keys), np.concatenate(numbers)
        if len(all_keys) > 0:
            order = np.argsort(all_keys, kind="stable")
            yield all_keys[order], all_numbers[order]


def _chunks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(rows), _CHUNK):
        yield start, rows[start : start + _CHUNK]


def _array(path: Path, kind: type, count: int) -> np.ndarray:
    return np.memmap(path, dtype=kind, mode="w+", shape=(count,)) if count else np.zeros(0, dtype=kind)
