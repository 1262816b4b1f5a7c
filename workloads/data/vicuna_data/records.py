"""A stream of bytes → its JSON records, each still as bytes, without holding more than one of them.

The records of a JSON array are found by counting brackets outside of strings, not by parsing: so the parsing is left to all cores,
and a record that is not JSON spoils itself alone. (An incremental parser such as ijson ends at the first fault of a file.) Where a
bracket or a quote is missing, the count is wrong and what follows seems part of the same record: `salvage` finds it in there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

CHUNK_BYTES = 1 << 20
MAX_RECORD_BYTES = 32 << 20
BATCH_BYTES = 8 << 20
BATCH_RECORDS = 4096
# What is kept of a record that is too large.
EXCERPT_BYTES = 1000

_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BETWEEN = b", \t\r\n"
_RECORD_START = re.compile(r'\{\s*"(?:id|conversations|messages|items)"\s*:')
_LISTS = ("conversations", "messages", "items")
# Starts that turn out to be none, before the rest is given up.
_VAIN_STARTS = 100


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
    begun = b""
    while (len(begun) < 3 or not begun.removeprefix(b"\xef\xbb\xbf").strip()) and (more := read(CHUNK_BYTES)):
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


def salvage(record: bytes) -> list[bytes | dict[str, Any]]:
    """What is no JSON, in parts: the conversations in it that are whole, as values, and the bytes between them."""
    parts: list[bytes | dict[str, Any]] = []
    done = 0
    for start, end, value in _embedded(record, 0):
        parts += [record[done:start], value]
        done = end
    parts.append(record[done:])
    return [part for part in parts if not isinstance(part, bytes) or part.strip(_BETWEEN + b"[]")] or [record]


def _embedded(content: bytes, at: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(start, end, value) of the whole conversations in a text, from byte `at` on."""
    text = content.decode(errors="surrogateescape")
    position, vain = len(content[:at].decode(errors="surrogateescape")), 0
    counted, offset = 0, 0
    while vain < _VAIN_STARTS and (found := _RECORD_START.search(text, position)):
        position = found.end()
        try:
            value, end = json.JSONDecoder().raw_decode(text, found.start())
        except (ValueError, RecursionError):
            vain += 1
            continue
        if any(isinstance(value.get(name), list) for name in _LISTS):
            start = offset + len(text[counted : found.start()].encode(errors="surrogateescape"))
            offset = start + len(text[found.start() : end].encode(errors="surrogateescape"))
            counted = position = end
            yield start, offset, value


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

    def back_to_a_start(self, text: bytes) -> bytes | None:
        """What `text`, which is too large for one record, has before the first whole conversation in it, where the scan goes on;
        None where there is none."""
        following = next(_embedded(text, 1), None)
        if following is None:
            return None
        self.start = self.position = self.start + following[0]
        self.depth, self.in_string, self.in_record = 1, False, False
        return text[: following[0]].rstrip(_BETWEEN)


def _array(buffer: bytes, start: int, read: Callable[[int], bytes], limit: int) -> Iterator[tuple[int, bytes | TooLarge]]:
    scan = _Scanner(buffer, start)
    while True:
        yield from _scan(scan, limit)
        rest = scan.buffer[scan.start :]
        if scan.excerpt is None and len(rest) > limit:
            fragment = scan.back_to_a_start(rest)
            if fragment is not None:
                yield scan.base + scan.start, fragment
                continue
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
                if scan.excerpt is None and len(record) > limit and (fragment := scan.back_to_a_start(record)) is not None:
                    yield scan.base + scan.start, fragment
                    continue
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
