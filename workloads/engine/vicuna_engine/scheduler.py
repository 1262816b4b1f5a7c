"""Who computes what in the next step. Pure: no tensors, no threads, no clock of its own.

Every step runs a batch of tokens through the model: one token of each sequence that is being continued, then as many prompt
tokens of the others as still fit, first come, first served. A sequence is admitted, in order of arrival, once the cache has a
range as long as it can become. The first in the queue is never overtaken, so a long one cannot starve.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from .kv_ranges import Copy, KvRange, KvRanges

# Attention reads keys in spans of this many, and no segment crosses the end of one: how far a token's attention reads then
# depends on the token's position alone, and so do the bits of its result.
SPAN = 64


@dataclass(eq=False)
class Sequence:
    """Tokens that pass through the model. `tokens` grows while an answer is generated, up to `limit` in all."""

    tokens: list[int]
    limit: int
    pooled: bool = False
    """Whether the outputs of all its tokens are wanted (for an embedding), not the last one's alone."""
    held: KvRange | None = None

    @property
    def remaining(self) -> int:
        """Tokens still to compute before the next output."""
        return len(self.tokens) - (self.held.computed if self.held else 0)


@dataclass(frozen=True)
class Segment:
    """Tokens `first` to `first + count` of one sequence, all within one span. `last`: an output follows from it."""

    sequence: Sequence
    first: int
    count: int
    last: bool


@dataclass(frozen=True)
class Step:
    """What the model is to do next: copies within the cache, then the segments, in one batch."""

    segments: tuple[Segment, ...]
    copies: tuple[Copy, ...]


@dataclass
class Scheduler:
    """Holds waiting and running sequences; `plan` gives the next step, `computed` notes that it is done."""

    ranges: KvRanges
    most_sequences: int
    """Sequences that run at the same time."""
    tokens_per_step: int
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)

    def add(self, sequence: Sequence) -> None:
        """Queues a sequence. Its limit must fit the cache."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Takes a sequence out, finished or not; its rows become free."""
        if sequence.held is not None:
            self.running.remove(sequence)
            self.ranges.release(sequence.held)
            sequence.held = None
        else:
            self.waiting.remove(sequence)

    def plan(self) -> Step | None:
        """The next step; None when nothing is to be done."""
        copies = tuple(self._admit())
        segments: list[Segment] = []
        budget = self.tokens_per_step
        # Those with one token to go come first: a long prompt must not hold up the answers that are being read.
        for sequence in sorted(self.running, key=lambda s: s.remaining > 1):
            for segment in _segments(sequence, budget):
                segments.append(segment)
                budget -= segment.count
            if budget == 0:
                break
        return Step(tuple(segments), copies) if segments else None

    def computed(self, step: Step) -> None:
        """Notes that the step's tokens are in the cache."""
        for segment in step.segments:
            if segment.sequence.held is not None:
                segment.sequence.held.computed = segment.first + segment.count

    def _admit(self) -> Iterator[Copy]:
        while self.waiting and len(self.running) < self.most_sequences:
            sequence = self.waiting[0]
            # An embedding needs every token's output, so it cannot skip any.
            reserved = self.ranges.reserve([] if sequence.pooled else sequence.tokens, sequence.limit)
            if reserved is None:
                return
            sequence.held, copy = reserved
            sequence.held.tokens = sequence.tokens
            self.running.append(self.waiting.popleft())
            if copy is not None:
                yield copy


def _segments(sequence: Sequence, budget: int) -> Iterator[Segment]:
    assert sequence.held is not None
    first, end = sequence.held.computed, len(sequence.tokens)
    while first < end and budget > 0:
        count = min(end - first, budget, SPAN - first % SPAN)
        yield Segment(sequence, first, count, last=first + count == end)
        first += count
        budget -= count
