"""Several conversations in one sequence, so that no room is padded: which ones, the same in every process and every run.

Best fit, decreasing (Ding et al., "Fewer Truncations Improve Language Modeling", 2024, section 3; TRL's "bfd"): the longest first,
each into the fullest sequence that still has room. No conversation is cut or lost. What is packed cannot see its neighbours:
positions begin anew with each, and attention goes no further back (see `batches.tensors`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from .dataset import TokenDataset


def pack(lengths: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """Indices of what goes into each sequence of at most `room` tokens; every index once. No length exceeds `room`."""
    packs: list[list[int]] = []
    # The room that some sequences have left, ascending, and which they are.
    rooms: list[int] = []
    having: dict[int, list[int]] = {}
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        at = bisect_left(rooms, length)
        if at == len(rooms):
            number, left = len(packs), room
            packs.append([])
        else:
            left = rooms[at]
            number = having[left].pop()
            if not having[left]:
                del rooms[at], having[left]
        packs[number].append(index)
        left -= length
        if left > 0:
            if left not in having:
                insort(rooms, left)
                having[left] = []
            having[left].append(number)
    return [tuple(members) for members in packs]


@dataclass(frozen=True)
class Sequences:
    """The rows of micro-batches: row i holds the samples `members[i]` of the dataset."""

    dataset: TokenDataset
    members: list[tuple[int, ...]]
    packed: bool

    @staticmethod
    def of(dataset: TokenDataset, packing: bool, room: int) -> Sequences:
        """Each sample in a row of its own, or as many as go into `room` tokens."""
        if not packing:
            return Sequences(dataset, [(index,) for index in range(len(dataset))], False)
        return Sequences(dataset, pack([dataset.length(index) for index in range(len(dataset))], room), True)

    @property
    def fingerprint(self) -> str:
        """Changes when any row does."""
        return f"{self.dataset.fingerprint}{'-packed' if self.packed else ''}"

    def __len__(self) -> int:
        return len(self.members)

    def length(self, row: int) -> int:
        """Tokens of a row."""
        return sum(self.dataset.length(index) for index in self.members[row])

    def target_count(self, row: int) -> int:
        """Tokens of a row on which the loss falls."""
        return sum(self.dataset.target_count(index) for index in self.members[row])

    def names(self, row: int) -> list[str]:
        """Ids of the samples of a row."""
        return [self.dataset.names[index] for index in self.members[row]]
