"""A stream of bytes → its JSON records, each still as bytes, without holding more than one of them.

The records of a JSON array are found by counting brackets outside of strings, not by parsing: so the parsing is left to all cores,
and a record that is not JSON spoils itself alone. (An incremental parser such as ijson ends at the first fault of a file.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 32 << 20
BATCH_BYTES = 8 << 20
BATCH_RECORDS = 4096
# What is kept of a record that is too large.
EXCERPT_BYTES = 1000

_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BETWEEN = b", \t\r\n"


@dataclass(frozen=True)
class TooLarge:
    """A record of more than MAX_RECORD_BYTES: only its beginning."""

    beginning: bytes


@dataclass(frozen=True)
class Batch:
    """Consecutive records of one file; `first` is the first one's number in it, from 0; `ends_at` the byte after the last."""

    file: str
    first: int
    ends_at: int
    records: list[bytes | TooLarge] = field(repr=False)


def batches(file: str, read: Callable[[int], bytes], limit: int = MAX_RECORD_BYTES) -> Iterator[Batch]:
    """The records of a file in batches that depend on its content alone. `read(n)` gives at most n bytes, none at the end."""
    records: list[bytes | TooLarge] = []
    held = first = ends_at = 0
    for ends_at, record in split(read, limit):
        records.append(record)
        held += len(record) if isinstance(record, bytes) else EXCERPT_BYTES
        if held >= BATCH_BYTES or len(records) >= BATCH_RECORDS:
            yield Batch(file, first, ends_at, records)
            first += len(records)
            records, held = [], 0
    if records:
        yield Batch(file, first, ends_at, records)


def split(read: Callable[[int], bytes], limit: int = MAX_RECORD_BYTES) -> Iterator[tuple[int, bytes | TooLarge]]:
    """Pairs (offset after the record, record) of a JSON array, or of lines where the first character is no `[`.

    What stands between records of an array and is no comma is a record too, as is an end of file within the array: nothing is
    passed over in silence.
    """
    begun = read(CHUNK_BYTES)
    while begun and not begun.removeprefix(b"\xef\xbb\xbf").strip() and (more := read(CHUNK_BYTES)):
        begun += more
    skipped = len(begun) - len(begun.removeprefix(b"\xef\xbb\xbf").lstrip())
    if begun[skipped : skipped + 1] == b"[":
        yield from _array(begun, skipped + 1, read, limit)
    else:
        yield from _lines(begun, skipped, read, limit)


def _lines(buffer: bytes, start: int, read: Callable[[int], bytes], limit: int) -> Iterator[tuple[int, bytes | TooLarge]]:
    base = 0  # offset of buffer[0] in the file
    excerpt: bytes | None = None  # of the line that is being passed over
    while True:
        end = buffer.find(b"\n", start)
        if end >= 0:
            line = buffer[start:end]
            if excerpt is not None or len(line) > limit:
                yield base + end + 1, TooLarge((excerpt or line)[:EXCERPT_BYTES])
            elif line.strip():
                yield base + end + 1, line
            excerpt, start = None, end + 1
            continue
        rest = buffer[start:]
        if len(rest) > limit and excerpt is None:
            excerpt = rest[:EXCERPT_BYTES]
        if excerpt is not None:
            rest = b""
        base += len(buffer) - len(rest)
        more = read(CHUNK_BYTES)
        if not more:
            if excerpt is not None:
                yield base, TooLarge(excerpt)
            elif rest.strip():
                yield base + len(rest), rest
            return
        buffer, start = rest + more, 0


class _Scanner:
    """Where in an array we are. Positions are those of `buffer`; what lies before `start` is not needed any more."""

    def __init__(self, buffer: bytes, start: int) -> None:
        self.buffer = buffer
        self.base = 0
        self.start = start
        self.position = start
        self.depth = 1
        self.in_string = False
        self.in_record = False
        self.excerpt: bytes | None = None


def _array(buffer: bytes, start: int, read: Callable[[int], bytes], limit: int) -> Iterator[tuple[int, bytes | TooLarge]]:
    scan = _Scanner(buffer, start)
    while True:
        yield from _scan(scan, limit)
        rest = scan.buffer[scan.start :]
        if scan.excerpt is None and len(rest) > limit:
            scan.excerpt = rest[:EXCERPT_BYTES]
        keep = rest if scan.excerpt is None else scan.buffer[scan.position :]
        position = scan.position - (len(scan.buffer) - len(keep))
        scan.base += len(scan.buffer) - len(keep)
        more = read(CHUNK_BYTES)
        scan.buffer, scan.start, scan.position = keep + more, 0, position
        if not more:
            if scan.excerpt is not None:
                yield scan.base + len(keep), TooLarge(scan.excerpt)
            elif keep.strip(_BETWEEN) or scan.depth > 0:
                yield scan.base + len(keep), keep.strip(_BETWEEN)
            return


def _scan(scan: _Scanner, limit: int) -> Iterator[tuple[int, bytes | TooLarge]]:
    """All records that end in the buffer; leaves `position` where the scan goes on when there is more."""
    buffer = scan.buffer
    while True:
        if scan.in_string:
            matched = _IN_STRING.match(buffer, scan.position)
            scan.position = matched.end() if matched else scan.position
            if buffer[scan.position : scan.position + 1] != b'"':
                return  # its end, or what a backslash escapes, is yet to be read
            scan.position += 1
            scan.in_string = False
        found = _STRUCTURE.search(buffer, scan.position)
        if found is None:
            scan.position = len(buffer)
            return
        scan.position = found.end()
        character = found.group()
        if character == b'"':
            scan.in_string = True
        elif character in (b"{", b"["):
            if scan.depth == 1 and not scan.in_record:
                yield from _between(scan, found.start())
                scan.in_record = True
            scan.depth += 1
        else:
            scan.depth -= 1
            if scan.depth == 1 and scan.in_record:
                record = buffer[scan.start : found.end()]
                too_large = scan.excerpt is not None or len(record) > limit
                yield scan.base + found.end(), TooLarge((scan.excerpt or record)[:EXCERPT_BYTES]) if too_large else record
                scan.start, scan.excerpt, scan.in_record = found.end(), None, False
            elif scan.depth <= 0:
                yield from _between(scan, found.start())
                scan.start, scan.depth = found.end(), 0


def _between(scan: _Scanner, end: int) -> Iterator[tuple[int, bytes | TooLarge]]:
    """What stands between two records, if it is more than a comma."""
    odd = scan.buffer[scan.start : end].strip(_BETWEEN)
    if scan.excerpt is not None:
        yield scan.base + end, TooLarge(scan.excerpt)
        scan.excerpt = None
    elif odd:
        yield scan.base + end, odd
    scan.start = end
