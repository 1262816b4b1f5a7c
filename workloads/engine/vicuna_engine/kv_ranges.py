"""Which rows of the key-value cache belong to which sequence. Bookkeeping only: the rows themselves are `attention.KvCache`.

A sequence gets one contiguous range, as long as it can ever become, when it is admitted; so it never runs out of memory half-way,
and attention reads its keys in place. What a finished sequence leaves behind is kept until the rows are needed: a later sequence
that begins with the same tokens copies their rows instead of computing them anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

# A copy for fewer tokens than this costs more than it saves.
SHORTEST_PREFIX = 16


@dataclass(eq=False)
class KvRange:
    """Rows `start` to `start + rows`; the first `computed` of them hold keys and values of the first of `tokens`."""

    start: int
    rows: int
    tokens: list[int]
    computed: int = 0


@dataclass(frozen=True)
class Copy:
    """`rows` rows to copy from row `source` to row `target`; the two do not overlap."""

    source: int
    target: int
    rows: int


@dataclass
class KvRanges:
    """First-fit allocation of `rows` rows, with finished ranges kept in order of last use."""

    rows: int
    used: int = 0
    """Rows reserved by sequences that are not finished."""
    _free: list[tuple[int, int]] = field(default_factory=list)
    _active: dict[int, KvRange] = field(default_factory=dict)
    _kept: OrderedDict[int, KvRange] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._free = [(0, self.rows)]

    def reserve(self, tokens: list[int], rows: int) -> tuple[KvRange, Copy | None] | None:
        """A range of `rows` rows for a sequence that begins with `tokens`, and what to copy into it; None if there is no room now.

        At least the last of `tokens` is left to compute: its output is what the sequence needs first.
        """
        source, shared = self._longest_prefix(tokens)
        start = self._allocate(rows, spare=source)
        if start is None and source is not None:
            source, shared = None, 0
            start = self._allocate(rows, spare=None)
        if start is None:
            return None
        held = KvRange(start, rows, tokens, shared)
        self._active[start] = held
        self.used += rows
        if source is None:
            return held, None
        if source.start in self._kept:
            self._kept.move_to_end(source.start)
        return held, Copy(source.start, start, shared)

    def release(self, held: KvRange) -> None:
        """Ends a reservation; its computed rows are kept for those that begin alike, the rest is free."""
        del self._active[held.start]
        self.used -= held.rows
        keep = held.computed if held.computed >= SHORTEST_PREFIX else 0
        if keep:
            self._kept[held.start] = KvRange(held.start, keep, held.tokens[:keep], keep)
        self._give_back(held.start + keep, held.rows - keep)

    def _longest_prefix(self, tokens: list[int]) -> tuple[KvRange | None, int]:
        best, length = None, SHORTEST_PREFIX - 1
        for held in (*self._active.values(), *self._kept.values()):
            shared = _common(held.tokens, tokens, min(held.computed, len(tokens) - 1))
            if shared > length:
                best, length = held, shared
        return (best, length) if best is not None else (None, 0)

    def _allocate(self, rows: int, spare: KvRange | None) -> int | None:
        """The start of free rows; throws away kept ranges, the longest unused first, except `spare`."""
        while (start := self._first_fit(rows)) is None:
            doomed = next((kept for kept in self._kept.values() if kept is not spare), None)
            if doomed is None:
                return None
            del self._kept[doomed.start]
            self._give_back(doomed.start, doomed.rows)
        return start

    def _first_fit(self, rows: int) -> int | None:
        for index, (start, length) in enumerate(self._free):
            if length >= rows:
                self._free[index : index + 1] = [(start + rows, length - rows)] if length > rows else []
                return start
        return None

    def _give_back(self, start: int, rows: int) -> None:
        if rows:
            self._free = list(_merged(sorted([*self._free, (start, rows)])))


def _merged(ranges: list[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    start, length = ranges[0]
    for next_start, next_length in ranges[1:]:
        if next_start == start + length:
            length += next_length
        else:
            yield start, length
            start, length = next_start, next_length
    yield start, length


def _common(a: list[int], b: list[int], limit: int) -> int:
    """How many of the first `limit` items are the same in both."""
    step = 64
    for first in range(0, limit, step):
        last = min(first + step, limit)
        if a[first:last] != b[first:last]:
            return next(i for i in range(first, last) if a[i] != b[i])
    return max(0, limit)
