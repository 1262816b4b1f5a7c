"""Which samples make up which step: a function of the seed alone, so that no interruption and no world size can change it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class DataOrder:
    """Order of `samples` samples in batches of `batch`; every epoch is a permutation of its own, its last batch may be short."""

    samples: int
    batch: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return math.ceil(self.samples / self.batch)

    def total_steps(self, epochs: float, max_steps: int | None) -> int:
        """Optimizer steps of the whole training."""
        total = max(1, math.ceil(epochs * self.steps_per_epoch))
        return total if max_steps is None else min(total, max_steps)

    def epoch_of(self, step: int) -> int:
        """Epoch (from 0) in which step `step` (from 1) falls."""
        return (step - 1) // self.steps_per_epoch

    def of_step(self, step: int) -> list[int]:
        """Indices of the samples of step `step` (from 1), in their order."""
        start = (step - 1) % self.steps_per_epoch * self.batch
        return list(permutation(self.samples, self.seed, self.epoch_of(step))[start : start + self.batch])

    def of_rank(self, step: int, rank: int, world_size: int) -> list[int]:
        """A rank's share: of a step's samples the ones at positions rank, rank + world size, …"""
        return self.of_step(step)[rank::world_size]

    def longest_share(self, step: int, world_size: int) -> int:
        """Samples of the rank that has most: the others fill up with empty ones, since all must take part in each collective."""
        return math.ceil(len(self.of_step(step)) / world_size)


@lru_cache(maxsize=2)
def permutation(samples: int, seed: int, epoch: int) -> tuple[int, ...]:
    """The epoch's order of sample indices. Python keeps `random` stable between versions for string seeds and shuffle."""
    order = list(range(samples))
    random.Random(f"vicuna {seed} {epoch}").shuffle(order)
    return tuple(order)
